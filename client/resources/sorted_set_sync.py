# Generated from sorted_set.py by generate.py: change that one and run this again.
"""A replicated set whose values are in order.

    names = client.sorted_set("names")
    names.add("bob")
    names.first()                       # or None
    names.higher("ada")                 # the first one behind "ada"
    for name in names.range("a", "c"):
        ...

Values are integers of 64 bits by value, before texts by code point, before bytes. All values of one set live on one shard. Reads
are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..protocol.values import decode, encode_key
from .base import Level, Seconds
from .entries import Key
from .ranges_sync import Ranges
from .set_sync import Set


class SortedSet(Set, Ranges[Key]):
    """The sorted set of that name: a set, whose `values` and `items` come in order, and `Ranges`.

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

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[Any]:
        """Iterate over all values in order, page by page, as `range` does."""
        for row in self.range(timeout=timeout, consistency=consistency):
            yield row
