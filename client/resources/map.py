"""A replicated map from keys to values.

    users = client.map("users")
    previous = await users.put("ada", {"born": 1815})
    await users.put("guest", 1, ttl=60)
    ada = await users.get("ada")
    await users.on_change(print)

Keys are str, bytes or integers of 64 bits; values are whatever msgpack holds, but None, which means absent. All keys
of one map live on one shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..caching import KEYS_MAX
from ..changes import MapEvent
from .any_map import AsyncAnyMap
from .entries import Key
from .keyed import AsyncKeyed

if TYPE_CHECKING:
    from .cached_map import AsyncCachedMap


class AsyncMap(AsyncKeyed[Key, MapEvent], AsyncAnyMap):
    """The map of that name: what it does is described at `AsyncAnyMap`, and how it is listened to at `AsyncKeyed`.

    Its events are `MapEvent`.
    """

    __slots__ = ()
    _event_type = MapEvent

    def cached(self, keys_max: int = KEYS_MAX) -> AsyncCachedMap:
        """The same map with a cache at the client of up to so many keys, kept current by events until it is closed."""
        from .cached_map import AsyncCachedMap

        return AsyncCachedMap(self._client, self.resource, self._commands, self._queries, keys_max)
