# Generated from set.py by generate.py: change that one and run this again.
"""A replicated set of values.

    tags = client.set("tags")
    tags.add("red")               # whether it is new
    tags.add("guest", ttl=60)
    tags.contains("red")
    tags.on_change(print)

Values are whatever msgpack holds, but None; equal are those of equal msgpack. All values of one set live on one shard.
Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..collection_changes import SetEvent
from ..protocol.values import decode, encode_value
from .base import Level, Seconds
from .entries import living, portions_of
from .keyed_sync import Keyed


class Set(Keyed[Any, SetEvent]):
    """The set of that name; arguments and errors are described at `Spread`, listening at `Keyed`.

    Its events are `SetEvent`.
    """

    __slots__ = ()
    _event_type = SetEvent

    def _encode_key(self, key: Any) -> bytes:
        return encode_value(key)

    def add(self, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Add a value, for `ttl` seconds or for ever; whether it is new.

        If it is there, nothing changes, nor does its time to live.
        """
        is_new: bool = self._command(self._addition(value, ttl), timeout, consistency)
        return is_new

    def add_many(
        self, values: Iterable[Any], *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> int:
        """Add many values with few messages; how many of them are new. Each is a command of its own."""
        many = [(self.resource, self._addition(value, ttl)) for value in values]
        return sum(self._command_all(many, timeout, consistency))

    def _addition(self, value: Any, ttl: Seconds) -> tuple[Any, ...]:
        return living(("add", self._encode_key(value)), ttl)

    def remove(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Remove a value; whether it was there."""
        was: bool = self._command(("remove", self._encode_key(value)), timeout, consistency)
        return was

    def remove_many(self, values: Iterable[Any], *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Remove these values; how many of them were there. One step for each 1000 values or 256 KiB, with few messages."""
        parts = [("remove_many", *some) for some in portions_of(map(self._encode_key, values))]
        return sum(self._command_all([(self.resource, some) for some in parts], timeout, consistency))

    def contains(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the value is there."""
        found: bool = self._query(("contains", self._encode_key(value)), timeout, consistency)
        return found

    def contains_many(
        self,
        values: Iterable[Any],
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> list[bool]:
        """Of each of the values, whether it is there, all at the same moment."""
        parts = ("contains_many", *map(self._encode_key, values))
        found: list[bool] = self._query(parts, timeout, consistency)
        return found

    def values(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """All values of one moment, in the order in which they were added; see `items` for large sets."""
        values = self._query(("values",), timeout, consistency)
        return [decode(value) for value in values]

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[Any]:
        """Iterate over the values page by page, in the order in which they were added: for sets of any size.

        Pages are of different moments. A value that is there all the time comes once; one that comes or goes meanwhile may
        come or not, or again when it went and came. `timeout` is that of each page.
        """
        for value in self._rows(timeout, consistency):
            yield decode(value)
