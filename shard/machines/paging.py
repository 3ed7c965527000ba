"""Reading what a machine holds in portions, in the order of the live entries, from any index on.

A dictionary can be entered at both ends and not in the middle. So the first page that begins somewhere else writes down what
there is, in its order; later ones look up where to go on, and take what was written since from the dictionary's end. Who
reads no pages, or the newest only, pays nothing for the rest, and who reads all of them pays a few looks at each entry.

What is written down is no state: it follows from the entries, and answers are the same without it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

PAGE_ENTRIES_MAX = 1000
"""Entries in one answer."""

PAGE_BYTES_MAX = 64 * 1024
"""Bytes of keys and values in one answer, unless it is a single entry."""

K = TypeVar("K")
H = TypeVar("H")


class Room:
    """The room in one answer, in number and bytes; the first entry has room whatever its size."""

    __slots__ = ("_bytes", "_entries", "_is_empty")

    def __init__(self, entries: int = 0, size: int | None = None) -> None:
        """`entries`: as many at most; 0 leaves it to PAGE_ENTRIES_MAX, which is the bound in any case. `size`: in bytes."""
        self._entries = min(entries, PAGE_ENTRIES_MAX) if entries else PAGE_ENTRIES_MAX
        self._bytes = PAGE_BYTES_MAX if size is None else size
        self._is_empty = True

    def take(self, size: int) -> bool:
        """Whether an entry of so many bytes fits as well; if so, its room is taken."""
        if not self._is_empty and (self._entries <= 0 or size > self._bytes):
            return False
        self._entries -= 1
        self._bytes -= size
        self._is_empty = False
        return True


class Paging(Generic[K, H]):
    """Finds the keys behind an index in `live`, which holds them in the order of the indexes of their entries."""

    __slots__ = ("_index_of", "_indexes", "_keys", "_live")

    def __init__(self, live: dict[K, H], index_of: Callable[[H], int]) -> None:
        self._live = live
        self._index_of = index_of
        self._keys: list[K] = []
        self._indexes: list[int] = []

    def behind(self, after: int) -> Iterator[tuple[K, int]]:
        """The keys whose entries have a higher index, with it, in order."""
        if after <= 0:
            return ((key, self._index_of(held)) for key, held in self._live.items())
        if not self._keys:
            newest = self._since(after, PAGE_ENTRIES_MAX)
            if newest is not None:
                return iter(newest)
        self._note()
        return self._noted(bisect_right(self._indexes, after))

    def _noted(self, start: int) -> Iterator[tuple[K, int]]:
        live, index_of = self._live, self._index_of
        for place in range(start, len(self._keys)):
            key, index = self._keys[place], self._indexes[place]
            held = live.get(key)
            if held is not None and index_of(held) == index:
                yield key, index

    def _note(self) -> None:
        """Write down what came since the last time, or everything when most of what is written down is gone."""
        if not self._keys or len(self._keys) > 2 * len(self._live) + PAGE_ENTRIES_MAX:
            self._keys = list(self._live)
            self._indexes = list(map(self._index_of, self._live.values()))
            return
        for key, index in self._since(self._indexes[-1]) or ():
            self._keys.append(key)
            self._indexes.append(index)

    def _since(self, after: int, most: int = 0) -> list[tuple[K, int]] | None:
        """What was written behind this index, in order, looked for from the end; None when that is more than `most`, if any."""
        newest = []
        for key, held in reversed(self._live.items()):
            index = self._index_of(held)
            if index <= after:
                break
            newest.append((key, index))
            if most and len(newest) > most:
                return None
        newest.reverse()
        return newest

    def forget(self) -> None:
        """Keep nothing in memory: nobody reads on, as far as is known."""
        self._keys, self._indexes = [], []

    def __repr__(self) -> str:
        return "Paging()"
