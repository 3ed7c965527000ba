# Generated from sorted_map.py by generate.py: change that one and run this again.
"""A replicated map whose keys are in order.

    scores = client.sorted_map("scores")
    scores.put(17, "ada")
    scores.first()                      # (17, "ada"), or None
    scores.ceiling(10)                  # the first entry whose key is 10 or more
    for key, value in scores.range(10, 20):
        ...

Keys are integers of 64 bits by value, before texts by code point, before bytes; values are whatever msgpack holds, but None. All
keys of one map live on one shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..protocol.values import decode
from .base import Level, Seconds
from .entries import Key
from .map_sync import Map
from .ranges_sync import Ranges


class SortedMap(Map, Ranges[tuple[Key, Any]]):
    """The sorted map of that name: a map, whose `keys`, `values`, `entries` and `items` come in order, and `Ranges`.

    Its events are `MapEvent`.
    """

    __slots__ = ()

    def _row(self, row: Any) -> tuple[Key, Any]:
        return decode(row[0]), decode(row[1])

    def _key_of(self, row: Any) -> bytes:
        key: bytes = row[0]
        return key

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[tuple[Key, Any]]:
        """Iterate over all keys and values in order, page by page, as `range` does."""
        for row in self.range(timeout=timeout, consistency=consistency):
            yield row

    def first_key(self, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `first`, or None."""
        return _key(self.first(timeout=timeout, consistency=consistency))

    def last_key(self, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `last`, or None."""
        return _key(self.last(timeout=timeout, consistency=consistency))

    def lower_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `lower`, or None."""
        return _key(self.lower(key, timeout=timeout, consistency=consistency))

    def floor_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `floor`, or None."""
        return _key(self.floor(key, timeout=timeout, consistency=consistency))

    def ceiling_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `ceiling`, or None."""
        return _key(self.ceiling(key, timeout=timeout, consistency=consistency))

    def higher_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `higher`, or None."""
        return _key(self.higher(key, timeout=timeout, consistency=consistency))


def _key(row: tuple[Key, Any] | None) -> Key | None:
    return None if row is None else row[0]
