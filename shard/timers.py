"""Callbacks in log time: due when an entry's time reaches theirs, in an order that every replica shares.

Order is (due time, index of the entry that armed it, number within that entry), never a counter of the process.

A timer that a RELEASE command armed is *owned* by its entry: it is armed again when the live entry is restored, and
dropped when the entry is released, for nothing could arm it again after that. All others belong in the snapshot.

Invariants: between two entries every pending timer is due after the log time (what was due has fired), and the entry of
every owned one is live.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Any, NamedTuple

DROPPED_MIN = 64
"""So many dropped timers may lie in a heap before it is made anew."""


class Timer(NamedTuple):
    """Due in ms since the epoch; fires `method` of the machine of `resource` with `arguments`."""

    due: int
    armed_at: int
    number: int
    resource: int
    method: str
    arguments: tuple[Any, ...]


class Timers:
    """The pending timers of one shard.

    `owners` are the entries that own timers, and how many: an owned timer whose entry is not there was dropped.
    """

    def __init__(self) -> None:
        self._unowned: list[Timer] = []
        self._owned: list[Timer] = []
        self._dropped = 0
        self._of_resource: dict[int, int] = {}  # how many lie in the heaps, dropped ones among them
        self.owners: dict[int, int] = {}
        self.next_due: int | None = None

    def arm(self, timer: Timer, *, owned: bool) -> None:
        """Add a timer."""
        heappush(self._owned if owned else self._unowned, timer)
        self._of_resource[timer.resource] = self._of_resource.get(timer.resource, 0) + 1
        if owned:
            self.owners[timer.armed_at] = self.owners.get(timer.armed_at, 0) + 1
        if self.next_due is None or timer.due < self.next_due:
            self.next_due = timer.due

    def pop_due(self, time: int) -> Timer | None:
        """Take the first timer that is due at log time `time`, or None."""
        if self.next_due is None or self.next_due > time:
            return None
        if not self._owned or (self._unowned and self._unowned[0] < self._owned[0]):
            timer = heappop(self._unowned)
        else:
            timer = heappop(self._owned)
            left = self.owners[timer.armed_at] - 1
            if left:
                self.owners[timer.armed_at] = left
            else:
                del self.owners[timer.armed_at]
        self._taken_out(timer)
        self._settle()
        return timer

    def drop_owned(self, index: int) -> None:
        """The entry at `index` is released, and its timers with it."""
        count = self.owners.pop(index, 0)
        if count:
            self._dropped += count
            if self._dropped > DROPPED_MIN and 2 * self._dropped > len(self._owned):
                self._owned = self.owned()
                heapify(self._owned)
                self._dropped = 0
                self._count()
            self._settle()

    def drop_resource(self, resource: int) -> None:
        """The resource is deleted, and its timers with it. One that has none costs nothing, however many others have."""
        if resource not in self._of_resource:
            return
        self._unowned = [timer for timer in self._unowned if timer.resource != resource]
        self._owned = [timer for timer in self.owned() if timer.resource != resource]
        self.owners = {}
        for timer in self._owned:
            self.owners[timer.armed_at] = self.owners.get(timer.armed_at, 0) + 1
        self._dropped = 0
        heapify(self._unowned)
        heapify(self._owned)
        self._count()
        self._settle()

    def _taken_out(self, timer: Timer) -> None:
        left = self._of_resource[timer.resource] - 1
        if left:
            self._of_resource[timer.resource] = left
        else:
            del self._of_resource[timer.resource]

    def _count(self) -> None:
        self._of_resource = {}
        for timer in chain(self._unowned, self._owned):
            self._of_resource[timer.resource] = self._of_resource.get(timer.resource, 0) + 1

    def unowned(self) -> list[Timer]:
        """A copy of the timers that no entry owns: a heap."""
        return self._unowned.copy()

    def owned(self) -> list[Timer]:
        """The timers that live entries own, in no order."""
        return [timer for timer in self._owned if timer.armed_at in self.owners]

    def _settle(self) -> None:
        """Take dropped timers off the top, so that `next_due` is of a pending one."""
        owned = self._owned
        while self._dropped and owned[0].armed_at not in self.owners:
            self._taken_out(heappop(owned))
            self._dropped -= 1
        tops = [heap[0].due for heap in (self._unowned, owned) if heap]
        self.next_due = min(tops, default=None)
