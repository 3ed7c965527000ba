# Generated from map.py by generate.py: change that one and run this again.
"""A replicated map from keys to values.

    users = client.map("users")
    previous = users.put("ada", {"born": 1815})
    users.put("guest", 1, ttl=60)
    ada = users.get("ada")
    users.on_change(print)

Keys are str, bytes or integers of 64 bits; values are whatever msgpack holds, but None, which means absent. All keys
of one map live on one shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..caching import KEYS_MAX
from ..changes import MapEvent
from .any_map_sync import AnyMap
from .entries import Key
from .keyed_sync import Keyed

if TYPE_CHECKING:
    from .cached_map_sync import CachedMap


class Map(Keyed[Key, MapEvent], AnyMap):
    """The map of that name: what it does is described at `AnyMap`, and how it is listened to at `Keyed`.

    Its events are `MapEvent`.
    """

    __slots__ = ()
    _event_type = MapEvent

    def cached(self, keys_max: int = KEYS_MAX) -> CachedMap:
        """The same map with a cache at the client of up to so many keys, kept current by events until it is closed."""
        from .cached_map_sync import CachedMap

        return CachedMap(self._client, self.resource, self._commands, self._queries, keys_max)
