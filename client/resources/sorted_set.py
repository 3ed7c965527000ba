"""A replicated set whose values are in order.

    names = client.sorted_set("names")
    await names.add("bob")
    await names.first()                       # or None
    await names.higher("ada")                 # the first one behind "ada"
    async for name in names.range("a", "c"):
        ...

Values are integers of 64 bits by value, before texts by code point, before bytes. All values of one set live on one shard. Reads
are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ..protocol.values import decode, encode_key
from .base import Level, Seconds
from .entries import Key
from .ranges import AsyncRanges
from .set import AsyncSet


class AsyncSortedSet(AsyncSet, AsyncRanges[Key]):
    """The sorted set of that name: a set, whose `values` and `items` come in order, and `AsyncRanges`.

    Its events are `SetEvent`.
    """

    __slots__ = ()

    def _encode_key(self, key: Any) -> bytes:
        return encode_key(key)

    def _row(self, row: Any) -> Key:
        key: Key = decode(row)
        return key

    def _key_of(self, row: Any) -> bytes:
        key: bytes = row
        return key

    async def items(self, *, timeout: Seconds = None, consistency: Level = None) -> AsyncIterator[Any]:
        """Iterate over all values in order, page by page, as `range` does."""
        async for row in self.range(timeout=timeout, consistency=consistency):
            yield row
