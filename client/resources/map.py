"""A replicated map from keys to values.

    users = client.map("users")
    previous = await users.put("ada", {"born": 1815})
    ada = await users.get("ada")
    await users.on_change(print)
    await users.remove("ada")

Keys are str, bytes or integers of 64 bits; values are whatever msgpack holds, but None, which means absent. All keys
of one map live on one shard. Reads are linearizable unless `consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import MapEvent, Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import EventsPending
from ..protocol.values import decode, encode_key, encode_value
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds

Key = str | bytes | int


class AsyncMap(AsyncHandle):
    """The map of that name. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    Every method raises BadArgument for a key or value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when
    the timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    async def put(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key; the previous value, or None."""
        return await self._change(("put", encode_key(key), encode_value(value)), timeout, consistency)

    async def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        value = await self._query(("get", encode_key(key)), timeout, consistency)
        return None if value is None else decode(value)

    async def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Make the key absent; the value it had, or None."""
        return await self._change(("remove", encode_key(key)), timeout, consistency)

    async def put_if_absent(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        return await self._change(("put_if_absent", encode_key(key), encode_value(value)), timeout, consistency)

    async def replace(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key only if it is there; the previous value, or None when it was absent and nothing was done."""
        return await self._change(("replace", encode_key(key), encode_value(value)), timeout, consistency)

    async def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of keys."""
        size: int = await self._query(("size",), timeout, consistency)
        return size

    async def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        found: bool = await self._query(("contains", encode_key(key)), timeout, consistency)
        return found

    async def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys, in the order in which their values were written."""
        keys = await self._query(("keys",), timeout, consistency)
        return [decode(key) for key in keys]

    async def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Remove all keys."""
        await self._command(("clear",), timeout, consistency)

    async def _change(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        try:
            value = await self._command(parts, timeout, consistency)
        except EventsPending as pending:
            pending.result = decode(pending.result) if isinstance(pending.result, bytes) else None
            raise
        return None if value is None else decode(value)

    def events(
        self, key: Key | None = None, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX
    ) -> AsyncEvents[MapEvent]:
        """Iterate over the changes from now on, of one key or of all: `MapEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        encoded = None if key is None else encode_key(key)
        return AsyncEvents(self._client, self.resource, MapEvent, encoded, timeout, buffer)

    async def on_change(
        self, callback: Callable[[MapEvent | Resync], Any], key: Key | None = None, *, timeout: Seconds = None
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, of one key or of all, until the subscription is closed.

        Callbacks of a client run one at a time. What one raises is logged and given to `client.on_error`. An event that
        is not handled within the session's timeout ends the session.
        """
        encoded = None if key is None else encode_key(key)
        return await self._client.on_change(self.resource, MapEvent, encoded, callback, timeout)
