"""Bytes in order: a list in blocks, in which one is found, added and taken out in a few microseconds however many there are.

One list would move half of them at every change, and a tree of objects costs Python more than moving a block. Where the
blocks begin and end depends on the history, and nothing that anybody is told depends on that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

BLOCK_MAX = 512
"""In one block; a full one is halved, and neighbours that fit in half of one are joined."""


class Ordered:
    """Different bytes, in ascending order.

    `_firsts` has the first of each block, or what was its first: all that the block has is there or behind it, and all that
    earlier blocks have is before it.
    """

    __slots__ = ("_blocks", "_count", "_firsts")

    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = []
        self._firsts: list[bytes] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield from block

    def __repr__(self) -> str:
        return f"Ordered({list(self)})"

    def add(self, place: bytes) -> None:
        """Add one that is not there."""
        self._count += 1
        if not self._blocks:
            self._blocks.append([place])
            self._firsts.append(place)
            return
        number = max(bisect_right(self._firsts, place) - 1, 0)
        block = self._blocks[number]
        insort(block, place)
        self._firsts[number] = block[0]
        if len(block) > BLOCK_MAX:
            half = len(block) // 2
            self._blocks.insert(number + 1, block[half:])
            self._firsts.insert(number + 1, block[half])
            del block[half:]

    def remove(self, place: bytes) -> None:
        """Take out one that is there."""
        self._count -= 1
        number = bisect_right(self._firsts, place) - 1
        block = self._blocks[number]
        at = bisect_left(block, place)
        assert block[at] == place, f"{place!r:.60} is not in its block"
        del block[at]
        if not block:
            del self._blocks[number], self._firsts[number]
        elif number and len(block) + len(self._blocks[number - 1]) <= BLOCK_MAX // 2:
            self._blocks[number - 1] += block
            del self._blocks[number], self._firsts[number]

    def clear(self) -> None:
        """Take out all."""
        self._blocks.clear()
        self._firsts.clear()
        self._count = 0

    def rank(self, place: bytes) -> int:
        """How many are before this place."""
        number = max(bisect_right(self._firsts, place) - 1, 0)
        if not self._blocks:
            return 0
        return sum(map(len, self._blocks[:number])) + bisect_left(self._blocks[number], place)

    def ascending(self, start: bytes) -> Iterator[bytes]:
        """Those from this place on. Nothing may be added or removed meanwhile."""
        number = max(bisect_right(self._firsts, start) - 1, 0)
        for at in range(number, len(self._blocks)):
            block = self._blocks[at]
            yield from block[bisect_left(block, start) :] if at == number else block

    def descending(self, stop: bytes) -> Iterator[bytes]:
        """Those before this place, the last of them first. Nothing may be added or removed meanwhile."""
        number = max(bisect_right(self._firsts, stop) - 1, 0)
        for at in range(min(number, len(self._blocks) - 1), -1, -1):
            block = self._blocks[at]
            yield from reversed(block[: bisect_left(block, stop)] if at == number else block)
