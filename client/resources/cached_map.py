"""A map whose values are kept at the client once they were read, and kept current by the map's events.

    async with client.map("users").cached() as users:
        await users.get("ada")  # asks the shard
        await users.get("ada")  # does not
        await users.put("ada", 7)
        await users.get("ada")  # 7

Reads that are answered from here are SEQUENTIAL: they see the changes in the order of the log, each as soon as its event is
here, and everything that was written through this handle.
"""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..caching import KEYS_MAX, MISSING, Cache
from ..calls import Resource
from ..changes import MapEvent
from ..consistency import COMMANDS, QUERIES, Consistency, command_level, query_level
from ..protocol.values import decode, encode_key
from .base import Asked, Level, Seconds
from .entries import Key
from .map import AsyncMap

if TYPE_CHECKING:
    from ..aio import AsyncClient


class AsyncCachedMap(AsyncMap):
    """A cached map, until it is closed; then, and whenever events may be missing, all reads ask the shard.

    `get`, `get_or_default` and `contains` are answered from here if they can be and name no `consistency`; everything else
    is what it is with a map.
    """

    __slots__ = ("__weakref__", "_cache", "_finalizer")

    def __init__(
        self,
        client: AsyncClient,
        resource: Resource,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
        keys_max: int = KEYS_MAX,
    ) -> None:
        super().__init__(client, resource, commands, queries)
        client.check_usable()
        self._cache = Cache(client.listening.lock, keys_max)
        self._finalizer = weakref.finalize(self, client.listening.abandon, resource, self._cache)
        client.listening.open(resource, MapEvent, self._cache, None)

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """Another cached map of the same map, with these levels where a call names none. Raises BadArgument."""
        commands = self._commands if commands is None else command_level(commands)
        queries = self._queries if queries is None else query_level(queries)
        return type(self)(self._client, self.resource, commands, queries, self._cache.keys_max)

    async def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        encoded = encode_key(key)
        value: Any = self._cache.look(encoded) if consistency is None else MISSING
        if value is MISSING:
            value = await self._ask(encoded, timeout, consistency)
        return None if value is None else decode(value)

    async def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        value = self._cache.look(encode_key(key)) if consistency is None else MISSING
        if value is MISSING:
            return await super().contains(key, timeout=timeout, consistency=consistency)
        return value is not None

    async def _ask(self, key: bytes, timeout: Seconds, consistency: Level) -> Any:
        reading = self._cache.read(key)
        if reading is None:
            return await self._query(("get", key), timeout, consistency)
        value = MISSING
        try:
            value = await self._query(("get", key), timeout, consistency)
        finally:
            self._cache.keep(key, reading, value)
        return value

    async def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        with self._cache.writing(parts[1:2]):
            return await super()._command(parts, timeout, consistency)

    async def _command_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        if not many:
            return []
        with self._cache.writing([parts[1] for _, parts in many]):
            return await super()._command_all(many, timeout, consistency)

    def close(self) -> None:
        """Keep nothing any more, and have the shard send no more events for that. Closing twice is fine."""
        if self._finalizer.detach() is not None:
            self._client.listening.close(self.resource, self._cache)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
