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

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ..calls import Resource
from ..changes import MapEvent, Resync
from ..consistency import COMMANDS, QUERIES, Consistency, command_level, query_level
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..merging import MergedEvents
from ..options import PARTITIONED
from ..protocol.operations import DELETE, EXISTS, SHARD
from ..protocol.routing import SlotTable
from ..protocol.values import encode_key
from ..streams import Events
from .any_map_sync import AnyMap
from .base import Asked, Level, Seconds
from .entries import Key
from .map_sync import Map

if TYPE_CHECKING:
    from ..sync import Client


class PartitionedMap(AnyMap):
    """The partitioned map of that name: what it does is described at `AnyMap`."""

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

    def _resources(self) -> Sequence[Resource]:
        return [part.resource for part in self._maps.values()]

    def _resource_of(self, key: bytes) -> Resource:
        return self._maps[self._slots.shard_of(key)].resource

    def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        return self._maps[self._slots.shard_of(parts[1])]._command(parts, timeout, consistency)

    def _query(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        return self._maps[self._slots.shard_of(parts[1])]._query(parts, timeout, consistency)

    def _command_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        level = self._commands if consistency is None else command_level(consistency)
        return self._client.perform_all(many, False, timeout, level)

    def _query_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        level = self._queries if consistency is None else query_level(consistency)
        return self._client.perform_all(many, True, timeout, level)

    def exists(self, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether any shard has a map of it; the first use of a key creates that of the key's shard."""
        parts = [(EXISTS, part.resource.name) for part in self._maps.values()]
        found = self._query_all(list(zip(self._shards(), parts, strict=True)), timeout, consistency)
        return any(type_name is not None for type_name in found)

    def _shards(self) -> list[Resource]:
        shards = [Resource("", "shard", shard) for shard in self._maps]
        for shard in shards:
            shard.index = SHARD
        return shards

    def delete(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Delete the map of each shard with all that it holds. Whoever uses the partitioned map afterwards finds it empty."""
        parts = [(DELETE, part.resource.name) for part in self._maps.values()]
        self._command_all(list(zip(self._shards(), parts, strict=True)), timeout, consistency)

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
