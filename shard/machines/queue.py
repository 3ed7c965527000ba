"""The queue: opaque bytes, first in, first out, and consumers that wait for what comes.

    jobs = client.queue("jobs")
    jobs.offer({"page": 7})
    jobs.poll()                  # the head, or None when the queue is empty
    jobs.take(timeout=5)         # waits for a head, woken by its arrival; None when none came
    jobs.on_change(print)        # called with each change from here on

RELEASE: offer lives in its own entry, from being offered until it is polled, removed, cleared, or surely in the hands of
who took it. poll, remove and clear release their victims and themselves. The queue's order is that of the live indexes
(`Arrivals`), so restoring the live entries in index order restores it, and nothing large is ever in the snapshot.

SNAPSHOT: take, cancel, who waits, who listens, and which item was given to which take. What was given stays live until its
taker says, with a later take, that it arrived. Until then `cancel` puts it back, to the head, since all that is still
there came later. When the taker's session ends it is gone: whether it had arrived nobody knows, and no item is given twice.
Restored, an entry is an item; `restored` then takes out those that the snapshot says were given.

A listener gets an event `change` with [kind, None, old, new]: "added" and "returned" with the new item (the latter at
the head), "removed" with the old one, "cleared" with none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from .arrivals import Arrivals
from .base import RELEASE, SNAPSHOT, Commit, command, query
from .by_session import BySession
from .listeners import Listeners
from .patience import Patience
from .waiting import ANSWER, checked_wait, tell_deleted


class Grant(NamedTuple):
    """An item that was given to a take, and may still come back."""

    session: int
    number: int
    item: bytes


class QueueMachine(Patience):
    """Keeps `items`, `granted` by the index of the item, `waiters` and `listeners`. Nobody waits while there are items."""

    type_name: ClassVar[str] = "queue"

    def __init__(self) -> None:
        super().__init__()
        self.items = Arrivals()
        self.granted: dict[int, Grant] = {}
        self.numbers: BySession[int, int] = BySession()
        self.listeners = Listeners()
        self._installed: list[list[int]] = []

    def _changed(self, kind: str, old: bytes | None, new: bytes | None) -> None:
        """Tell whoever listens; called only where somebody does, so that others pay nothing for it."""
        self.publish(self.listeners.sessions, "change", [kind, None, old, new])

    # -- items -----------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def offer(self, commit: Commit, item: bytes) -> None:
        """Add an item behind all others, or give it to who waits longest."""
        _check(item)
        if self.listeners:
            self._changed("added", None, item)
        self.items[commit.index] = item
        if self.waiters:
            self._serve()

    @offer.restore
    def _restore(self, commit: Commit, item: bytes) -> None:
        self.items[commit.index] = item

    @command(mode=RELEASE)
    def poll(self, commit: Commit) -> bytes | None:
        """Take the head; None when the queue is empty."""
        self.release(commit.index)
        if not self.items:
            return None
        index, item = self.items.take_first()
        self.release(index)
        if self.listeners:
            self._changed("removed", item, None)
        return item

    @command(mode=RELEASE)
    def remove(self, commit: Commit, item: bytes) -> bool:
        """Remove the first item that is equal; whether there was one."""
        _check(item)
        self.release(commit.index)
        found = next((index for index, other in self.items.items() if other == item), None)
        if found is None:
            return False
        del self.items[found]
        self.release(found)
        if self.listeners:
            self._changed("removed", item, None)
        return True

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> None:
        """Remove all items."""
        for index in self.items:
            self.release(index)
        self.release(commit.index)
        if self.listeners and self.items:
            self._changed("cleared", None, None)
        self.items = Arrivals()

    # -- taking ----------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def take(self, commit: Commit, number: int, wait_ms: int | None, arrived: list[int]) -> list[Any] | None:
        """Take the head, or wait for one: the result is [its index, the item], or None when none came in time.

        `arrived`: the indexes of items that earlier takes of this session have got, and will not give back.
        """
        wait_ms = checked_wait(wait_ms)
        _check_numbers(arrived)
        if self.waiters.get(commit.session, number) or number in self.numbers.get(commit.session, ()):
            raise ValueError(f"request {number} of session {commit.session} was made already")
        for index in arrived:
            grant = self.granted.get(index)
            if grant is not None and grant.session == commit.session:
                self._conclude(index)
        if self.items:
            return [self._give(commit.session, number)]
        if wait_ms == 0:
            return [None]
        self.wait(commit, number, wait_ms)
        return None

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> bool:
        """The take of that number is not wanted any more; whether it waited or gave back what it had got."""
        if self.waiters.remove(commit.session, number) is not None:
            return True
        index = self.numbers.get(commit.session, {}).get(number)
        if index is None:
            return False
        item = self._forget_grant(index).item
        self.items.put_back(index, item)
        if self.listeners:
            self._changed("returned", None, item)
        self._serve()
        return True

    def _serve(self) -> None:
        while self.items and (waiter := self.waiters.first()) is not None:
            self.waiters.remove(waiter.session, waiter.number)
            given = self._give(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, given])

    def _give(self, session: int, number: int) -> list[Any]:
        index, item = self.items.take_first()
        self._grant(index, Grant(session, number, item))
        if self.listeners:
            self._changed("removed", item, None)
        return [index, item]

    def _grant(self, index: int, grant: Grant) -> None:
        self.granted[index] = grant
        self.numbers.put(grant.session, grant.number, index)

    def _forget_grant(self, index: int) -> Grant:
        grant = self.granted.pop(index)
        self.numbers.drop(grant.session, grant.number)
        return grant

    def _conclude(self, index: int) -> None:
        """What was given has arrived, or its taker is gone."""
        self._forget_grant(index)
        self.release(index)

    # -- sessions --------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets an event for every change from here on."""
        _check_key(key)
        self.listeners.listen(commit.session, None)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets no more of them."""
        _check_key(key)
        self.listeners.unlisten(commit.session, None)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits and listens no more; what it was given is gone."""
        self.listeners.end(commit.session)
        self.waiters.end(commit.session)
        for index in list(self.numbers.get(commit.session, {}).values()):
            self._conclude(index)

    session_expired = session_closed

    def deleted(self, commit: Commit) -> None:
        """Nothing will come any more for those who wait."""
        tell_deleted(self, self.waiters)

    def watches(self, session: int) -> bool:
        """Only who listens, waits or was given something leaves anything behind."""
        return session in self.listeners.sessions or session in self.waiters or session in self.numbers

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Everything but the items, which are in their live entries."""
        granted = [[index, grant.session, grant.number] for index, grant in self.granted.items()]
        return [self.listeners.state(), self.waiters.state(), granted, list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        listeners, waiters, granted, alarms = state
        self.listeners.install(listeners)
        self.waiters.install(waiters)
        for row in granted:
            _check_numbers(row)
            if len(row) != 3:
                raise ValueError(f"a grant is an item's index, a session and a number, not {row!r:.60}")
        self._installed = granted
        self.install_alarms(alarms)

    def restored(self) -> None:
        """Items that were given to a take are not in the queue. Raises ValueError for one that has no live entry."""
        for index, session, number in self._installed:
            if index not in self.items:
                raise ValueError(f"the item of entry {index} was given to session {session} and is not live")
            self._grant(index, Grant(session, number, self.items.pop(index)))
        self._installed = []

    def live_entries(self) -> Iterable[int]:
        """One entry for each item, given or not."""
        return [*self.items, *self.granted]

    # -- queries ---------------------------------------------------------------------------------------

    @query
    def peek(self, commit: Commit) -> bytes | None:
        """The head, which stays; None when the queue is empty."""
        return next(iter(self.items.values()), None)

    @query
    def size(self, commit: Commit) -> int:
        """How many items are there."""
        return len(self.items)

    @query
    def contains(self, commit: Commit, item: bytes) -> bool:
        """Whether an equal item is there."""
        return item in self.items.values()

    @query
    def values(self, commit: Commit) -> list[bytes]:
        """All items, the head first."""
        return list(self.items.values())


def _check(item: Any) -> None:
    if type(item) is not bytes:
        raise TypeError(f"an item is bytes, not {item!r:.60}")


def _check_key(key: Any) -> None:
    if key is not None:
        raise TypeError(f"a queue has no keys, such as {key!r:.60}")


def _check_numbers(numbers: Any) -> None:
    if type(numbers) is not list or any(type(number) is not int for number in numbers):
        raise TypeError(f"indexes are a list of integers, not {numbers!r:.60}")
