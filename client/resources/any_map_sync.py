# Generated from any_map.py by generate.py: change that one and run this again.
"""The operations of a map, wherever its keys are: all that maps, sorted maps and partitioned maps have in common.

What is about one key goes to the resource that has it. What is about many is asked of each resource that has some, each of which
answers for itself: the answers of several shards are not of one moment, and a call raises the first error when all have answered
or failed; others have done their part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..calls import Resource
from ..protocol.values import checked_int, decode, encode_key, encode_value
from .base import Level, Seconds
from .entries import Entries, Key, Versioned, living, pairs_of, put_parts
from .keyed_sync import Spread


class AnyMap(Spread):
    """Keys and values. The next write of a key ends its time to live, and without a `ttl` of its own writes for ever."""

    __slots__ = ()

    # -- writing ---------------------------------------------------------------------------------------

    def put(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key, for `ttl` seconds or for ever; the previous value, or None."""
        return self._change(put_parts(key, value, ttl), timeout, consistency)

    def put_many(
        self, entries: Entries, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> None:
        """Put many keys, a mapping or pairs, with few messages. Each put is one command; those of one shard are in order.

        This is not one step: others may see some of them, or write between them. When it raises, none or some of them were
        carried out, of those whose outcome is not known maybe.
        """
        puts = [put_parts(key, value, ttl) for key, value in pairs_of(entries)]
        many = [(self._resource_of(parts[1]), parts) for parts in puts]
        self._command_all(many, timeout, consistency)

    def put_if_absent(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        parts = ("put_if_absent", encode_key(key), encode_value(value))
        return self._change(living(parts, ttl), timeout, consistency)

    def replace(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key only if it is there; the previous value, or None when it was absent and nothing was done."""
        parts = ("replace", encode_key(key), encode_value(value))
        return self._change(living(parts, ttl), timeout, consistency)

    def replace_if(
        self,
        key: Key,
        expected: Any,
        value: Any,
        *,
        ttl: Seconds = None,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Set the key if its value equals `expected`; whether it did. Equal are values of equal msgpack."""
        parts = ("replace_if", encode_key(key), encode_value(expected), encode_value(value))
        was: bool = self._command(living(parts, ttl), timeout, consistency)
        return was

    def replace_if_version(
        self,
        key: Key,
        version: int,
        value: Any,
        *,
        ttl: Seconds = None,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Set the key if its value is still of that version (`get_versioned`); whether it was."""
        parts = ("replace_if_version", encode_key(key), checked_int(version), encode_value(value))
        was: bool = self._command(living(parts, ttl), timeout, consistency)
        return was

    def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Make the key absent; the value it had, or None."""
        return self._change(("remove", encode_key(key)), timeout, consistency)

    def remove_if(self, key: Key, expected: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Make the key absent if its value equals `expected`; whether it did."""
        was: bool = self._command(("remove_if", encode_key(key), encode_value(expected)), timeout, consistency)
        return was

    def remove_if_version(
        self,
        key: Key,
        version: int,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Make the key absent if its value is still of that version; whether it was."""
        parts = ("remove_if_version", encode_key(key), checked_int(version))
        was: bool = self._command(parts, timeout, consistency)
        return was

    # -- reading ---------------------------------------------------------------------------------------

    def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        value = self._query(("get", encode_key(key)), timeout, consistency)
        return None if value is None else decode(value)

    def get_or_default(
        self,
        key: Key,
        default: Any,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> Any:
        """The key's value, or `default` when it is absent."""
        value = self.get(key, timeout=timeout, consistency=consistency)
        return default if value is None else value

    def get_versioned(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Versioned | None:
        """The key's value and its version, which counts among those of its shard, or None."""
        found = self._query(("get_versioned", encode_key(key)), timeout, consistency)
        return None if found is None else Versioned(decode(found[0]), found[1])

    def get_many(
        self,
        keys: Iterable[Key],
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> dict[Key, Any]:
        """The values of those keys that are there; those of one shard are of the same moment."""
        wanted = {encode_key(key): key for key in keys}
        asked: dict[Resource, list[bytes]] = {}
        for key in wanted:
            asked.setdefault(self._resource_of(key), []).append(key)
        many = [(resource, ("get_many", *some)) for resource, some in asked.items()]
        found: dict[bytes, Any] = {}
        for some, values in zip(asked.values(), self._query_all(many, timeout, consistency), strict=True):
            found.update(zip(some, values, strict=True))
        return {key: decode(found[encoded]) for encoded, key in wanted.items() if found[encoded] is not None}

    def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        found: bool = self._query(("contains", encode_key(key)), timeout, consistency)
        return found

    def contains_value(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether any key has a value that equals this one. Looks at all of them."""
        return any(self._query_everywhere(("contains_value", encode_value(value)), timeout, consistency))

    def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys, shard by shard, in the order in which their values were written; see `items` for large maps."""
        found = self._query_everywhere(("keys",), timeout, consistency)
        return [decode(key) for keys in found for key in keys]

    def values(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """All values, shard by shard, in the order in which they were written; see `items` for large maps."""
        found = self._query_everywhere(("values",), timeout, consistency)
        return [decode(value) for values in found for value in values]

    def entries(self, *, timeout: Seconds = None, consistency: Level = None) -> list[tuple[Key, Any]]:
        """All keys and values, each shard's of one moment, in the order in which the values were written; see `items`."""
        found = self._query_everywhere(("entries",), timeout, consistency)
        return [(decode(key), decode(value)) for entries in found for key, value in entries]

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[tuple[Key, Any]]:
        """Iterate over keys and values page by page, in the order in which the values were written: for maps of any size.

        Pages are of different moments. A key that is there all the time comes at least once; one that is written
        meanwhile may come again, or first, with its new value; one that comes or goes meanwhile may come or not. What comes
        was the key's value when its page was read. `timeout` is that of each page.
        """
        for key, value in self._rows(timeout, consistency):
            yield decode(key), decode(value)
