"""Virtual time: a heap of events, the one source of chance of a run, and the trace that proves two runs equal.

Nothing in a simulation reads a clock or a random number from anywhere else, so a seed decides everything.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any
from zlib import crc32

MS = 1000
SECOND = 1_000_000
"""Times are whole microseconds since the run began: whole numbers add up the same in any order."""


Event = tuple[int, int, Callable[..., None], tuple[Any, ...]]
"""When, the number in the order of scheduling, which settles what comes first of the same time, and what to call."""


class Scheduler:
    """`now` is virtual. `trace` is a checksum over everything noted; `listener`, if any, is told each note too."""

    def __init__(self, seed: int, listener: Callable[[str], None] | None = None) -> None:
        self.now = 0
        self.rng = Random(seed)
        self.trace = 0
        self.steps = 0
        self._listener = listener
        self._events: list[Event] = []
        self._number = 0

    @property
    def seconds(self) -> float:
        """The same time as the client library counts it."""
        return self.now / SECOND

    def after(self, delay: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action(*arguments)` in `delay` microseconds."""
        self._number = number = self._number + 1
        heapq.heappush(self._events, (self.now + delay if delay > 0 else self.now, number, action, arguments))

    def step(self) -> None:
        """Run the next event."""
        self.now, _, action, arguments = heapq.heappop(self._events)
        self.steps += 1
        action(*arguments)

    def run_until(self, time: int) -> None:
        """Run everything up to `time`."""
        events = self._events
        while events and events[0][0] <= time:
            self.step()
        self.now = max(self.now, time)

    def chance(self, probability: float) -> bool:
        """True with this probability; costs no randomness when it cannot be."""
        return probability > 0 and self.rng.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        # What `randint` draws, from the same bits, without its three calls: this is asked for every message.
        width = high - low + 1
        assert width > 0, f"there is nothing between {low} and {high}"
        draw, bits = self.rng.getrandbits, width.bit_length()
        drawn = draw(bits)
        while drawn >= width:
            drawn = draw(bits)
        return low + drawn

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace = crc32(text.encode(), crc32(self.now.to_bytes(8, "little"), self.trace))
        if self._listener is not None:
            self._listener(f"{self.now / SECOND:10.6f}  {text}")
