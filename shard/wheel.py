"""Many things to look at again at a later tick, at a cost only for those whose tick has come.

A leader has tens of thousands of sessions and ticks twenty times a second: looking at all of them to find the few that are
due would cost more than serving them. Whoever is looked at too early is put back.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Items by the tick at which they are due. An item may be in it several times, and is not taken out early."""

    def __init__(self) -> None:
        self.now = 0
        self._due: dict[int, list[T]] = {}

    def put(self, tick: int, item: T) -> None:
        """Have the item come out at this tick, or with the next `take` if that is over."""
        tick = max(tick, self.now + 1)
        bucket = self._due.get(tick)
        if bucket is None:
            self._due[tick] = [item]
        else:
            bucket.append(item)

    def take(self, now: int) -> list[T]:
        """Everything due up to `now`, which never goes back, in the order of ticks."""
        due: list[T] = []
        for tick in range(self.now + 1, now + 1):
            due += self._due.pop(tick, ())
        self.now = max(self.now, now)
        return due
