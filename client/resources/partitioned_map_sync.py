# Generated from partitioned_map.py by generate.py: change that one and run this again.
"""A map whose keys are spread over all shards, so that it grows with them.

    users = client.partitioned_map("users")
    users.put("ada", {"born": 1815})
    users.get("ada")
    users.size()
    users.on_change(print)

Each shard has a map of the name "partitioned/" and this one's; a key is on the shard of the slot of its encoding. What is
about one key is what it is with a `Map`. What is about many is asked of all shards at once, each of which answers for
itself: their answers are not of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from ..calls import Resource
from ..changes import MapEvent, Resync
from ..consistency import COMMANDS, QUERIES, Consistency, command_level, query_level
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..merging import MergedEvents
from ..options import PARTITIONED
from ..protocol.operations import DELETE, SHARD
from ..protocol.routing import SlotTable
from ..protocol.values import decode, encode_key, encode_value
from ..streams import Events
from .base import Asked, Level, Seconds
from .map_sync import Entries, Key, Map, Versioned, put_parts

if TYPE_CHECKING:
    from ..sync import Client


class PartitionedMap:
    """The partitioned map of that name. Arguments and errors are those of a map's methods.

    A call about many keys raises the first error when all shards have answered or failed; others have done their part.
    """

    __slots__ = ("_client", "_commands", "_maps", "_queries", "_slots", "name")

    def __init__(
        self,
        client: Client,
        parts: Mapping[int, Resource],
        slots: SlotTable,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
    ) -> None:
        self._client = client
        self._slots = slots
        self._commands = commands
        self._queries = queries
        self._maps = {shard: Map(client, part, commands, queries) for shard, part in parts.items()}
        self.name = next(iter(parts.values())).name.removeprefix(PARTITIONED)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} over {len(self._maps)} shards>"

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """The same partitioned map, with these levels where a call names none. Raises BadArgument."""
        commands = self._commands if commands is None else command_level(commands)
        queries = self._queries if queries is None else query_level(queries)
        parts = {shard: part.resource for shard, part in self._maps.items()}
        return type(self)(self._client, parts, self._slots, commands, queries)

    def shard_of(self, key: Key) -> int:
        """The number of the shard on which the key is."""
        return self._slots.shard_of(encode_key(key))

    def _of(self, key: Key) -> Map:
        return self._maps[self._slots.shard_of(encode_key(key))]

    # -- one key ---------------------------------------------------------------------------------------

    def put(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key, for `ttl` seconds or for ever; the previous value, or None."""
        return self._of(key).put(key, value, ttl=ttl, timeout=timeout, consistency=consistency)

    def put_if_absent(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        return self._of(key).put_if_absent(key, value, ttl=ttl, timeout=timeout, consistency=consistency)

    def replace(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key only if it is there; the previous value, or None when nothing was done."""
        return self._of(key).replace(key, value, ttl=ttl, timeout=timeout, consistency=consistency)

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
        """Set the key if its value equals `expected`; whether it did."""
        return self._of(key).replace_if(key, expected, value, ttl=ttl, timeout=timeout, consistency=consistency)

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
        """Set the key if its value is still of that version; whether it was."""
        part = self._of(key)
        return part.replace_if_version(key, version, value, ttl=ttl, timeout=timeout, consistency=consistency)

    def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Make the key absent; the value it had, or None."""
        return self._of(key).remove(key, timeout=timeout, consistency=consistency)

    def remove_if(self, key: Key, expected: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Make the key absent if its value equals `expected`; whether it did."""
        return self._of(key).remove_if(key, expected, timeout=timeout, consistency=consistency)

    def remove_if_version(
        self,
        key: Key,
        version: int,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Make the key absent if its value is still of that version; whether it was."""
        return self._of(key).remove_if_version(key, version, timeout=timeout, consistency=consistency)

    def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        return self._of(key).get(key, timeout=timeout, consistency=consistency)

    def get_or_default(
        self,
        key: Key,
        default: Any,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> Any:
        """The key's value, or `default` when it is absent."""
        return self._of(key).get_or_default(key, default, timeout=timeout, consistency=consistency)

    def get_versioned(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Versioned | None:
        """The key's value and its version, which counts among those of its shard, or None."""
        return self._of(key).get_versioned(key, timeout=timeout, consistency=consistency)

    def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        return self._of(key).contains(key, timeout=timeout, consistency=consistency)

    # -- many keys ---------------------------------------------------------------------------------------

    def put_many(
        self, entries: Entries, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> None:
        """Put many keys, a mapping or pairs, with few messages to each shard. Each put is one command.

        This is not one step, and not one order: those of one shard are carried out in theirs.
        """
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        many = [(self._of(key).resource, put_parts(key, value, ttl)) for key, value in pairs]
        level = self._commands if consistency is None else command_level(consistency)
        self._client.perform_all(many, False, timeout, level)

    def get_many(
        self,
        keys: Iterable[Key],
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> dict[Key, Any]:
        """The values of those keys that are there; those of one shard are of the same moment."""
        wanted = list(keys)
        by_shard: dict[int, list[Key]] = {}
        for key in wanted:
            by_shard.setdefault(self.shard_of(key), []).append(key)
        asked = [(self._maps[shard].resource, ("get_many", *map(encode_key, some))) for shard, some in by_shard.items()]
        found: dict[Key, Any] = {}
        for some, values in zip(by_shard.values(), self._ask(asked, timeout, consistency), strict=True):
            found |= {key: value for key, value in zip(some, values, strict=True) if value is not None}
        return {key: decode(found[key]) for key in wanted if key in found}

    def contains_value(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether any key has a value that equals this one. Looks at all of them."""
        return any(self._ask_all(("contains_value", encode_value(value)), timeout, consistency))

    def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of keys: the sum of what each shard has when it is asked."""
        return sum(self._ask_all(("size",), timeout, consistency))

    def is_empty(self, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether no shard has a key when it is asked."""
        return self.size(timeout=timeout, consistency=consistency) == 0

    def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys, shard by shard, and in each in the order in which their values were written."""
        return [decode(key) for keys in self._ask_all(("keys",), timeout, consistency) for key in keys]

    def values(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """All values, shard by shard, and in each in the order in which they were written."""
        return [decode(value) for values in self._ask_all(("values",), timeout, consistency) for value in values]

    def entries(self, *, timeout: Seconds = None, consistency: Level = None) -> list[tuple[Key, Any]]:
        """All keys and values, shard by shard, and in each in the order in which the values were written."""
        found = self._ask_all(("entries",), timeout, consistency)
        return [(decode(key), decode(value)) for entries in found for key, value in entries]

    def items(self, *, timeout: Seconds = None, consistency: Level = None) -> Iterator[tuple[Key, Any]]:
        """Iterate over keys and values page by page, one shard after the other, as a map's `items` does."""
        for part in self._maps.values():
            for key, value in part.items(timeout=timeout, consistency=consistency):
                yield key, value

    def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Remove all keys, of each shard in one step; what is put meanwhile may stay."""
        self._command_all(("clear",), timeout, consistency)

    def delete(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Delete the map of each shard with all that it holds. Whoever uses the partitioned map afterwards finds it empty."""
        parts = [(DELETE, part.resource.name) for part in self._maps.values()]
        shards = [Resource("", "shard", shard) for shard in self._maps]
        for shard in shards:
            shard.index = SHARD
        level = self._commands if consistency is None else command_level(consistency)
        self._client.perform_all(zip(shards, parts, strict=True), False, timeout, level)

    def _command_all(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        level = self._commands if consistency is None else command_level(consistency)
        asked = [(part.resource, parts) for part in self._maps.values()]
        return self._client.perform_all(asked, False, timeout, level)

    def _ask_all(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        return self._ask([(part.resource, parts) for part in self._maps.values()], timeout, consistency)

    def _ask(self, asked: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        level = self._queries if consistency is None else query_level(consistency)
        return self._client.perform_all(asked, True, timeout, level)

    # -- listening -------------------------------------------------------------------------------------

    def events(
        self, key: Key | None = None, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX
    ) -> Events[MapEvent] | MergedEvents[MapEvent]:
        """Iterate over the changes from now on, of one key or of all: `MapEvent`, and `Resync` where some were missed.

        Those of one shard come in their order, and `index` counts there; those of different shards come in no order. A
        Resync is about one shard, and so is "cleared". `buffer` is for each shard.
        """
        if key is not None:
            return self._of(key).events(key, timeout=timeout, buffer=buffer)
        resources = [part.resource for part in self._maps.values()]
        return MergedEvents(self._client, resources, MapEvent, timeout, buffer)

    def on_change(
        self, callback: Callable[[MapEvent | Resync], Any], key: Key | None = None, *, timeout: Seconds = None
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, of one key or of all, until the subscription is closed."""
        if key is not None:
            return self._of(key).on_change(callback, key, timeout=timeout)
        parts: list[Subscription] = []
        whole = Subscription(callback, lambda _: _close(parts))
        try:
            for part in self._maps.values():
                parts.append(part.on_change(callback, timeout=timeout))
        except BaseException:
            whole.close()
            raise
        return whole


def _close(parts: list[Subscription]) -> None:
    for part in parts:
        part.close()
