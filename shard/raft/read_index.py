"""Reads without a log entry: rounds that confirm leadership (paper section 8, thesis 6.4).

A read is served at the commit index of the moment its round started, once a majority has answered that round or a later
one. Every turn's reads share one round, and no round waits for another. Knows nothing of messages or members.

Invariant: a read is only in a round that started after the read arrived; rounds are confirmed in ascending order.
"""

from __future__ import annotations

from collections import deque
from typing import Any


class ReadIndex:
    """The rounds and reads of one leadership; thrown away with it."""

    __slots__ = ("_started", "_waiting", "round")

    def __init__(self) -> None:
        self.round = 0  # identifier of the latest round; the first is 1
        self._waiting: list[Any] = []
        self._started: deque[tuple[int, int, list[Any]]] = deque()  # (round, index, read ids)

    def add(self, read_id: Any) -> None:
        """A read arrived; the next round serves it."""
        self._waiting.append(read_id)

    @property
    def wants_round(self) -> bool:
        """Whether reads have arrived since the latest round started."""
        return bool(self._waiting)

    @property
    def unconfirmed(self) -> bool:
        """Whether a round that serves reads is not yet confirmed."""
        return bool(self._started)

    def start(self, read_index: int | None) -> int:
        """Start a round, return its identifier. With None it serves no read, since this term has not committed yet."""
        self.round += 1
        if self._waiting and read_index is not None:
            self._started.append((self.round, read_index, self._waiting))
            self._waiting = []
        return self.round

    def confirmed(self, through: int) -> list[tuple[Any, int]]:
        """A majority has answered round `through` or later: the (read id, index) that may now be served."""
        assert through <= self.round, f"round {through} was answered, but the latest is {self.round}"
        served: list[tuple[Any, int]] = []
        while self._started and self._started[0][0] <= through:
            _, index, read_ids = self._started.popleft()
            served.extend((read_id, index) for read_id in read_ids)
        return served
