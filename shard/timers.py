"""Callbacks in log time: due when an entry's time reaches theirs, in an order that every replica shares.

Order is (due time, index of the entry that armed it, number within that entry), never a counter of the process.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple


class Timer(NamedTuple):
    """Due in ms since the epoch; fires `method` of the machine of `resource` with `arguments`."""

    due: int
    armed_at: int
    number: int
    resource: int
    method: str
    arguments: tuple[Any, ...]


class Timers:
    """The pending timers of one shard."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self.next_due: int | None = None

    def arm(self, timer: Timer) -> None:
        """Add a timer."""
        heapq.heappush(self._heap, timer)
        self.next_due = self._heap[0].due

    def pop_due(self, time: int) -> Timer | None:
        """Take the first timer that is due at log time `time`, or None."""
        if not self._heap or self._heap[0].due > time:
            return None
        timer = heapq.heappop(self._heap)
        self.next_due = self._heap[0].due if self._heap else None
        return timer
