"""The latch: it opens, for good, when it has been counted down to 0; until then whoever comes waits.

    ready = client.latch("ready")
    ready.set_count(3)           # whether this was the first to set it
    ready.count_down()           # how many are left
    ready.wait(timeout=30)       # returns when none is left
    ready.reset(2)               # shut again

SNAPSHOT: the count follows from many entries, and who waits too; both are small. Nothing is restored: the snapshot is the whole
state, and the timers of those who wait are in the shard's.

A latch whose count was never set is shut, so that who comes before it is set does not pass. Whoever waits when it is reset goes
on waiting, for the new count. The answer to a request is True, or None when its time was over.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, command, query
from .patience import Patience
from .waiting import ANSWER, checked_wait, tell_deleted

COUNT_MAX = (1 << 63) - 1


class LatchMachine(Patience):
    """Keeps the `count` (None: never set), and the `waiters`: none while it is 0."""

    type_name: ClassVar[str] = "latch"

    def __init__(self) -> None:
        super().__init__()
        self.count: int | None = None

    @command(mode=SNAPSHOT)
    def set_count(self, commit: Commit, count: int) -> bool:
        """Set the count, if it has never been set; whether this did."""
        count = _checked(count)
        if self.count is not None:
            return False
        self.count = count
        return True

    @command(mode=SNAPSHOT)
    def reset(self, commit: Commit, count: int | None) -> None:
        """Begin anew with that count, or with none set, whatever it was."""
        if count is not None and type(count) is not int:
            raise TypeError(f"a count is a whole number or nil, not {count!r:.60}")
        self.count = None if count is None else _checked(count)

    @command(mode=SNAPSHOT)
    def count_down(self, commit: Commit, by: int) -> int:
        """Take so many off the count, down to 0 at most; how many are left."""
        by = _checked(by)
        if self.count is None:
            raise ValueError("the latch has no count yet")
        self.count = max(0, self.count - by)
        if not self.count:
            for waiter in list(self.waiters):
                self.waiters.remove(waiter.session, waiter.number)
                self.publish(waiter.session, ANSWER, [waiter.number, True])
        return self.count

    @command(mode=SNAPSHOT)
    def wait_open(self, commit: Commit, number: int, wait_ms: int | None) -> list[Any] | None:
        """Wait until the count is 0: [True], [None] when that is not to be waited for, None while the request waits."""
        wait_ms = checked_wait(wait_ms)
        if self.count == 0:
            return [True]
        if wait_ms == 0:
            return [None]
        self.wait(commit, number, wait_ms)
        return None

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The request is taken back."""
        self.waiters.remove(commit.session, number)

    @query
    def status(self, commit: Commit) -> list[Any]:
        """The count, or None when it was never set, and how many wait."""
        return [self.count, len(self.waiters)]

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits no more; what it counted down stays counted."""
        self.waiters.end(commit.session)

    session_expired = session_closed

    def deleted(self, commit: Commit) -> None:
        """A latch that is deleted never opens."""
        tell_deleted(self, self.waiters)

    def watches(self, session: int) -> bool:
        """Only who waits leaves anything behind."""
        return session in self.waiters

    def snapshot(self) -> Any:
        """The whole state: the count, who waits, and when the timer is due."""
        return [self.count, self.waiters.state(), list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        count, waiters, alarms = state
        if count is not None and (type(count) is not int or not 0 <= count <= COUNT_MAX):
            raise TypeError(f"a count is a whole number from 0 on or nil, not {count!r:.60}")
        self.count = count
        self.waiters.install(waiters)
        self.install_alarms(alarms)
        if count == 0 and self.waiters:
            raise ValueError("nobody waits for a latch that is open")


def _checked(count: int) -> int:
    if not 1 <= count <= COUNT_MAX:
        raise ValueError(f"a latch counts from 1 to {COUNT_MAX}, not {count}")
    return count
