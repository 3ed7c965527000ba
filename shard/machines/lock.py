"""The lock: one holder at a time, who is served in the order in which they came, and a token that grows with every grant.

    lock = client.lock("printer")
    grant = lock.lock(timeout=5)     # grant.token is above that of every grant before
    lock.unlock(grant)
    lock.try_lock()                  # None while somebody holds it

SNAPSHOT: who holds the lock and who waits follows from many entries (grants, releases, timers, ends of sessions), and is
small. Nothing is restored: the snapshot is the whole state, and the timers of those who wait are in the shard's.

A grant is [token, session, number]: the log index of the entry that granted it, and the request that it is for. One entry
grants a lock once at most, so tokens grow strictly. A lock is released by the number of its request in its own session, and
by nobody else; that session's end releases it too.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, StateMachine, command, query
from .waiting import ANSWER, Waiter, Waiters, checked_wait, tell_deleted


class LockMachine(StateMachine):
    """Keeps the `holder`, whose `index` is the token, and the `waiters`: none while nobody holds it."""

    type_name: ClassVar[str] = "lock"

    def __init__(self) -> None:
        super().__init__()
        self.holder: Waiter | None = None
        self.waiters = Waiters()

    @command(mode=SNAPSHOT)
    def lock(self, commit: Commit, number: int, wait_ms: int | None) -> list[Any] | None:
        """Take the lock, or wait for it: [grant], [None] when it is not to be waited for, None while the request waits."""
        wait = checked_wait(wait_ms)
        request = Waiter(commit.session, number, commit.index)
        if self.holder is None:
            self.holder = request
            return [_grant(request)]
        if self._holds(commit.session, number):
            raise ValueError(f"request {number} holds the lock already")
        if wait == 0:
            return [None]
        self.waiters.add(request)
        if wait is not None:
            self.schedule(commit.time + wait, "give_up", commit.session, number, commit.index)
        return None

    @command(mode=SNAPSHOT)
    def unlock(self, commit: Commit, number: int) -> bool:
        """Release what that request of the session was granted; whether it held the lock."""
        if not self._holds(commit.session, number):
            return False
        self._next(commit)
        return True

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The request is taken back: it waits no more, and gives back what it was granted."""
        if self.waiters.remove(commit.session, number) is None:
            self.unlock(commit, number)

    @query
    def status(self, commit: Commit) -> list[Any]:
        """The grant of who holds the lock, or None, and how many wait."""
        return [None if self.holder is None else _grant(self.holder), len(self.waiters)]

    def _holds(self, session: int, number: int) -> bool:
        return self.holder is not None and (self.holder.session, self.holder.number) == (session, number)

    def _next(self, commit: Commit) -> None:
        first = self.waiters.first()
        self.holder = None
        if first is not None:
            self.waiters.remove(first.session, first.number)
            self.holder = first._replace(index=commit.index)
            self.publish(first.session, ANSWER, [first.number, _grant(self.holder)])

    def give_up(self, commit: Commit, session: int, number: int, index: int) -> None:
        """A timer: the request that came at that index has waited long enough, if it still waits."""
        waiter = self.waiters.get(session, number)
        if waiter is not None and waiter.index == index:
            self.waiters.remove(session, number)
            self.publish(session, ANSWER, [number, None])

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits no more, and what it held is released."""
        self.waiters.end(commit.session)
        if self.holder is not None and self.holder.session == commit.session:
            self._next(commit)

    session_expired = session_closed

    def deleted(self, commit: Commit) -> None:
        """Whoever waits for a lock that is deleted is told."""
        tell_deleted(self, self.waiters)

    def watches(self, session: int) -> bool:
        """Only who holds or waits leaves anything behind."""
        return session in self.waiters or (self.holder is not None and self.holder.session == session)

    def snapshot(self) -> Any:
        """The whole state: the holder, and who waits."""
        return [None if self.holder is None else _grant(self.holder), self.waiters.state()]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        holder, waiters = state
        if holder is not None:
            token, session, number = holder
            if not type(token) is type(session) is type(number) is int:
                raise TypeError(f"a grant is a token, a session and a number, not {holder!r:.60}")
            self.holder = Waiter(session, number, token)
        self.waiters.install(waiters)
        if self.holder is None and self.waiters:
            raise ValueError("nobody waits for a lock that nobody holds")


def _grant(holder: Waiter) -> list[int]:
    return [holder.index, holder.session, holder.number]
