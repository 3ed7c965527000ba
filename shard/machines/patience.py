"""Machines at which requests wait for a limited time: one timer for all of them, or nearly.

With a timer for each, those of requests that were served would pile up until they are due. `wants` of a waiter is when its
patience ends, in ms of log time, or None for ever, unless the machine keeps more there (`waiter_wants` and `due`). Only for
SNAPSHOT commands: a timer that a RELEASE command arms is its entry's own, and would be gone with it though others need it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, ClassVar

from .alarms import Alarmed
from .base import Commit
from .waiting import ANSWER, Waiter, Waiters

STALE_MAX = 64
"""Requests that wait no more may be among the dues, so many and as many again as wait."""


class Patience(Alarmed):
    """Keeps `waiters`, and the `alarms` of those who do not wait for ever. Giving up is answered with None."""

    on_alarm: ClassVar[str] = "give_up"

    def __init__(self) -> None:
        super().__init__()
        self.waiters = Waiters()
        self.dues = Dues()

    def wait(self, commit: Commit, number: int, wait_ms: int | None, wants: Any = None) -> None:
        """The request waits behind all others. Raises ValueError when one of that number waits already."""
        due = None if wait_ms is None else commit.time + wait_ms
        waiter = Waiter(commit.session, number, commit.index, self.waiter_wants(due, wants))
        self.waiters.add(waiter)
        if due is not None:
            self.dues.add(due, waiter, len(self.waiters))
        self.wake_at(due)

    def waiter_wants(self, due: int | None, wants: Any) -> Any:
        """What a waiter keeps: here, when its patience ends."""
        return due

    def due(self, waiter: Waiter) -> int | None:
        """When the waiter's patience ends, out of what it keeps."""
        due: int | None = waiter.wants
        return due

    def gave_up(self, waiter: Waiter) -> None:
        """The request waits no more, and was answered."""

    def give_up(self, commit: Commit) -> None:
        """Log time has reached an alarm: whose patience is at its end gives up."""
        self.drop_alarms(commit.time)
        for waiter in self.dues.take(commit.time, self):
            self.waiters.remove(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, None])
            self.gave_up(waiter)
        self.wake_at(self.dues.first(self))


class Dues:
    """When the patience of each waiter ends, the earliest first: so that nobody looks through all that wait.

    No part of the state, since it follows from the waiters: it is put together when it is first needed, and again once most of
    it is of requests that were served.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int]] | None = None

    def __repr__(self) -> str:
        return "Dues()"

    def add(self, due: int, waiter: Waiter, waiting: int) -> None:
        """One more of now so many that wait."""
        if self._heap is not None:
            heappush(self._heap, (due, waiter.index, waiter.session, waiter.number))
            if len(self._heap) > 2 * waiting + STALE_MAX:
                self._heap = None

    def take(self, time: int, machine: Patience) -> list[Waiter]:
        """Those whose patience has ended by then, in the order in which they came."""
        found, heap = [], self._of(machine)
        while heap and heap[0][0] <= time:
            waiter = _waiter(heappop(heap), machine)
            if waiter is not None:
                found.append(waiter)
        return sorted(found, key=lambda waiter: waiter.index)

    def first(self, machine: Patience) -> int | None:
        """When the next one's ends."""
        heap = self._of(machine)
        while heap and _waiter(heap[0], machine) is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def _of(self, machine: Patience) -> list[tuple[int, int, int, int]]:
        if self._heap is None:
            dues = [(machine.due(waiter), waiter) for waiter in machine.waiters]
            self._heap = [(due, one.index, one.session, one.number) for due, one in dues if due is not None]
            heapify(self._heap)
        return self._heap


def _waiter(entry: tuple[int, int, int, int], machine: Patience) -> Waiter | None:
    _, index, session, number = entry
    waiter = machine.waiters.get(session, number)
    return waiter if waiter is not None and waiter.index == index else None
