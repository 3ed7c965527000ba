"""A replicated map whose keys are in order.

    scores = client.sorted_map("scores")
    await scores.put(17, "ada")
    await scores.first()                      # (17, "ada"), or None
    await scores.ceiling(10)                  # the first entry whose key is 10 or more
    async for key, value in scores.range(10, 20):
        ...

Keys are integers of 64 bits by value, before texts by code point, before bytes; values are whatever msgpack holds, but None. All
keys of one map live on one shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ..protocol.values import decode
from .base import Level, Seconds
from .entries import Key
from .map import AsyncMap
from .ranges import AsyncRanges


class AsyncSortedMap(AsyncMap, AsyncRanges[tuple[Key, Any]]):
    """The sorted map of that name: a map, whose `keys`, `values`, `entries` and `items` come in order, and `AsyncRanges`.

    Its events are `MapEvent`.
    """

    __slots__ = ()

    def _row(self, row: Any) -> tuple[Key, Any]:
        return decode(row[0]), decode(row[1])

    def _key_of(self, row: Any) -> bytes:
        key: bytes = row[0]
        return key

    async def items(self, *, timeout: Seconds = None, consistency: Level = None) -> AsyncIterator[tuple[Key, Any]]:
        """Iterate over all keys and values in order, page by page, as `range` does."""
        async for row in self.range(timeout=timeout, consistency=consistency):
            yield row

    async def first_key(self, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `first`, or None."""
        return _key(await self.first(timeout=timeout, consistency=consistency))

    async def last_key(self, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `last`, or None."""
        return _key(await self.last(timeout=timeout, consistency=consistency))

    async def lower_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `lower`, or None."""
        return _key(await self.lower(key, timeout=timeout, consistency=consistency))

    async def floor_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `floor`, or None."""
        return _key(await self.floor(key, timeout=timeout, consistency=consistency))

    async def ceiling_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `ceiling`, or None."""
        return _key(await self.ceiling(key, timeout=timeout, consistency=consistency))

    async def higher_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Key | None:
        """The key of `higher`, or None."""
        return _key(await self.higher(key, timeout=timeout, consistency=consistency))


def _key(row: tuple[Key, Any] | None) -> Key | None:
    return None if row is None else row[0]
