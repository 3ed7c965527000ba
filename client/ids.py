"""The ids that a client has reserved and not given out yet. No calls are made here.

Invariants: every id is given once, and each is above all that this client was given before; one that can be given no more, since
a higher one was, is skipped. Any thread may call anything.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

STOCKS_MAX = 10_000
"""Generators of which a client remembers what it has reserved; of others what is left is skipped."""


class Stock:
    """The reserved ids of one generator, in blocks: the first id that is left, and the one behind the last."""

    __slots__ = ("_blocks", "_given", "_left", "_lock", "_refilling")

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks: deque[tuple[int, int]] = deque()
        self._given: int | None = None
        self._left = 0
        self._refilling = False

    def take(self) -> int | None:
        """The lowest id that is left, or None."""
        with self._lock:
            if not self._blocks:
                return None
            number, end = self._blocks[0]
            if number + 1 == end:
                self._blocks.popleft()
            else:
                self._blocks[0] = (number + 1, end)
            self._left -= 1
            self._given = number
            return number

    def add(self, first: int, count: int) -> None:
        """So many ids from `first` on were reserved; skipped unless they are above all that there were."""
        with self._lock:
            highest = self._blocks[-1][1] - 1 if self._blocks else self._given
            if highest is None or first > highest:
                self._blocks.append((first, first + count))
                self._left += count

    def given(self, number: int) -> None:
        """This id was given without having been here: whatever is not above it is skipped."""
        with self._lock:
            if self._given is None or number > self._given:
                self._given = number
            while self._blocks and self._blocks[0][0] <= number:
                first, end = self._blocks.popleft()
                self._left -= min(end, number + 1) - first
                if end > number + 1:
                    self._blocks.appendleft((number + 1, end))

    def begin_refill(self, least: int) -> bool:
        """Whether there are fewer than that and nobody has begun to fetch more; then the caller does, and calls `end_refill`."""
        with self._lock:
            if self._refilling or self._left >= least:
                return False
            self._refilling = True
            return True

    def end_refill(self) -> None:
        """More has come, or will not."""
        with self._lock:
            self._refilling = False


class Stocks:
    """The stocks of one client, by the name of the generator."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stocks: dict[str, Stock] = {}

    def __len__(self) -> int:
        return len(self._stocks)

    def of(self, name: str) -> Stock:
        """The stock of that generator, which is empty at first."""
        with self._lock:
            stock = self._stocks.get(name)
            if stock is None:
                stock = self._stocks[name] = Stock()
                if len(self._stocks) > STOCKS_MAX:
                    del self._stocks[next(iter(self._stocks))]
            return stock

    def forget(self, name: str) -> None:
        """The generator was deleted: it begins anew, and what was reserved of the old one is not given."""
        with self._lock:
            self._stocks.pop(name, None)
