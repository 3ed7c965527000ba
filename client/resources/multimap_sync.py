# Generated from multimap.py by generate.py: change that one and run this again.
"""A replicated multimap: keys with any number of different values each.

    members = client.multimap("members")
    members.put("reds", "ada")              # whether that is new
    members.put("reds", "bob", ttl=60)
    members.get("reds")                     # ["ada", "bob"]
    members.on_change(print)

Keys are str, bytes or integers of 64 bits; values are whatever msgpack holds, but None. All keys of one multimap live on one
shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..collection_changes import MultimapEvent
from ..protocol.errors import EventsPending
from ..protocol.values import decode, encode_key, encode_value
from .base import Level, Seconds
from .entries import Entries, Key, pairs_of, put_parts
from .keyed_sync import Keyed


class Multimap(Keyed[Key, MultimapEvent]):
    """The multimap of that name; arguments and errors are described at `Spread`, listening at `Keyed`.

    Its events are `MultimapEvent`.
    """

    __slots__ = ()
    _event_type = MultimapEvent

    # -- writing ---------------------------------------------------------------------------------------

    def put(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> bool:
        """Give the key one more value, for `ttl` seconds or for ever; whether it is new.

        If the key has it, nothing changes, nor does its time to live.
        """
        is_new: bool = self._command(put_parts(key, value, ttl), timeout, consistency)
        return is_new

    def put_many(
        self, entries: Entries, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> int:
        """Put many entries, a mapping or pairs, with few messages; how many are new. Each is a command of its own."""
        many = [(self.resource, put_parts(key, value, ttl)) for key, value in pairs_of(entries)]
        return sum(self._command_all(many, timeout, consistency))

    def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """Make the key absent; the values it had. One step for each 1000 values or MiB; `timeout` is that of each."""
        values: list[Any] = []
        is_last = False
        while not is_last:
            try:
                is_last, some = self._command(("remove", encode_key(key)), timeout, consistency)
            except EventsPending as pending:
                answer: Any = pending.result
                pending.result = values + _decoded(answer[1])
                raise
            values += _decoded(some)
        return values

    def remove_entry(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Take this value from the key; whether it had it."""
        parts = ("remove_entry", encode_key(key), encode_value(value))
        was: bool = self._command(parts, timeout, consistency)
        return was

    def remove_value(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Take this value from all keys; how many had it. Looks at all of them.

        One step for each 1000 keys or 64 KiB; `timeout` is that of each. What gets the value meanwhile loses it as well.
        """
        removed, after, is_last = 0, 0, False
        while not is_last:
            parts = ("remove_value", encode_value(value), after)
            try:
                is_last, after, count = self._command(parts, timeout, consistency)
            except EventsPending as pending:
                answer: Any = pending.result
                pending.result = removed + answer[2]
                raise
            removed += count
        return removed

    # -- reading ---------------------------------------------------------------------------------------

    def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """The values of the key, in the order in which they were put; none when it is absent."""
        return _decoded(self._query(("get", encode_key(key)), timeout, consistency))

    def count(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many values the key has."""
        count: int = self._query(("count", encode_key(key)), timeout, consistency)
        return count

    def contains_key(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key has a value."""
        found: bool = self._query(("contains_key", encode_key(key)), timeout, consistency)
        return found

    def contains_entry(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key has this value."""
        parts = ("contains_entry", encode_key(key), encode_value(value))
        found: bool = self._query(parts, timeout, consistency)
        return found

    def contains_value(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether any key has this value. Looks at all of them."""
        found: bool = self._query(("contains_value", encode_value(value)), timeout, consistency)
        return found

    def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys of one moment, each once, in the order of the oldest value that each has."""
        return _decoded(self._query(("keys",), timeout, consistency))

    def entries(self, *, timeout: Seconds = None, consistency: Level = None) -> list[tuple[Key, Any]]:
        """All keys with each of their values, of one moment, in the order in which they were put; see `items`."""
        entries = self._query(("entries",), timeout, consistency)
        return [(decode(key), decode(value)) for key, value in entries]

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[tuple[Key, Any]]:
        """Iterate over the same page by page: for multimaps of any size.

        Pages are of different moments. An entry that is there all the time comes once; one that comes or goes meanwhile
        may come or not, or again when it went and came. `timeout` is that of each page.
        """
        for key, value in self._rows(timeout, consistency):
            yield decode(key), decode(value)


def _decoded(values: Any) -> list[Any]:
    return [decode(value) for value in values]
