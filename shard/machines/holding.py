"""What is held until it is given back: by whom, since which entry, and who waits for it. Lock, read-write lock, semaphore.

A request says what it `wants`, and the machine in `fits` whether that can be had beside what is held. First come, first
served: whoever comes while somebody waits goes behind them, also if what it wants could be had, so that nobody is passed over
for ever. Whenever somebody leaves, holders or waiters, those that wait are looked at again.

A grant is [token, session, number]: the log index of the entry that granted it, and the request that it is for. It is given
back by the number of its request in its own session, and by nobody else; that session's end gives it back too.

Who holds and who waits follows from many entries (grants, releases, timers, ends of sessions), and is small: SNAPSHOT. Nothing
is restored: the snapshot is the whole state, and the timer of those who wait is in the shard's.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from .base import SNAPSHOT, Commit, command, query
from .patience import Patience
from .waiting import ANSWER, Waiter, Waiters, checked_wait, tell_deleted

STATUS_ROWS_MAX = 100
"""Of so many holders, and as many waiters, `status` tells who they are; of the others only how many."""


class HoldingMachine(Patience):
    """Keeps `holders`, by session and number in the order of their grants, each with the token as its index; and `waiters`.

    `wants` of a waiter is [due, what it wants], of a holder what it has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.holders = Waiters()

    # -- what the machine says -------------------------------------------------------------------------

    def fits(self, wants: Any) -> bool:
        """Whether this can be had beside what is held."""
        raise NotImplementedError

    def count(self, wants: Any, by: int) -> None:
        """One more holder has this (`by` 1), or one less (-1)."""

    def check_wants(self, wants: Any) -> None:
        """Raises TypeError or ValueError for what no request can have wanted."""
        if wants is not None:
            raise TypeError(f"this is not to be had: {wants!r:.60}")

    # -- taking and leaving ----------------------------------------------------------------------------

    def take(self, commit: Commit, number: int, wait_ms: int | None, wants: Any = None) -> list[Any] | None:
        """Take it, or wait for it: [grant], [None] when it is not to be waited for, None while the request waits."""
        wait = checked_wait(wait_ms)
        if self.holders.get(commit.session, number) is not None:
            raise ValueError(f"request {number} holds it already")
        if not self.waiters and self.fits(wants):
            return [self._enter(Waiter(commit.session, number, commit.index, wants))]
        if wait == 0:
            return [None]
        self.wait(commit, number, wait, wants)
        return None

    def leave(self, commit: Commit, number: int) -> bool:
        """Give back what that request of the session was granted; whether it held anything."""
        holder = self.holders.remove(commit.session, number)
        if holder is None:
            return False
        self.count(holder.wants, -1)
        self.serve(commit)
        return True

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The request is taken back: it waits no more, and gives back what it was granted."""
        if self.waiters.remove(commit.session, number) is not None:
            self.serve(commit)
        else:
            self.leave(commit, number)

    @query
    def status(self, commit: Commit) -> list[Any]:
        """Who holds and who waits, the first of each as [index, session, number, wants]; then how many hold, and wait."""
        holders = [_row(holder, holder.wants) for holder in islice(self.holders, STATUS_ROWS_MAX)]
        waiters = [_row(waiter, waiter.wants[1]) for waiter in islice(self.waiters, STATUS_ROWS_MAX)]
        return [holders, waiters, len(self.holders), len(self.waiters)]

    def _enter(self, holder: Waiter) -> list[int]:
        self.holders.add(holder)
        self.count(holder.wants, 1)
        return [holder.index, holder.session, holder.number]

    def serve(self, commit: Commit) -> None:
        """Let in whoever waits longest, and the next, as far as they fit."""
        while (first := self.waiters.first()) is not None and self.fits(first.wants[1]):
            self.waiters.remove(first.session, first.number)
            grant = self._enter(Waiter(first.session, first.number, commit.index, first.wants[1]))
            self.publish(first.session, ANSWER, [first.number, grant])

    # -- what happens to those who wait or hold --------------------------------------------------------

    def waiter_wants(self, due: int | None, wants: Any) -> Any:
        """Beside when its patience ends, a waiter has what it wants."""
        return [due, wants]

    def due(self, waiter: Waiter) -> int | None:
        """When the waiter's patience ends."""
        due: int | None = waiter.wants[0]
        return due

    def give_up(self, commit: Commit) -> None:
        """A timer: who has waited long enough makes way for those behind, who may fit."""
        super().give_up(commit)
        self.serve(commit)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits no more, and what it held is given back."""
        self.waiters.end(commit.session)
        for holder in self.holders.end(commit.session):
            self.count(holder.wants, -1)
        self.serve(commit)

    session_expired = session_closed

    def deleted(self, commit: Commit) -> None:
        """Whoever waits is told, and so is whoever holds: an answer to a request that was granted says that it is lost."""
        tell_deleted(self, self.waiters)
        tell_deleted(self, self.holders)

    def watches(self, session: int) -> bool:
        """Only who holds or waits leaves anything behind."""
        return session in self.waiters or session in self.holders

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The whole state: the holders, who waits, and when timers are due."""
        return [self.holders.state(), self.waiters.state(), list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        holders, waiters, alarms = state
        self.holders.install(holders)
        for holder in self.holders:
            self.check_wants(holder.wants)
            self.count(holder.wants, 1)
        self.waiters.install(waiters)
        for waiter in self.waiters:
            due, wants = waiter.wants
            self.check_wants(wants)
            if due is not None and type(due) is not int:
                raise TypeError(f"patience ends at a time in ms or never, not {due!r:.60}")
        first = self.waiters.first()
        if first is not None and self.fits(first.wants[1]):
            raise ValueError("nobody waits for what can be had")
        self.install_alarms(alarms)


def _row(request: Waiter, wants: Any) -> list[Any]:
    return [request.index, request.session, request.number, wants]
