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

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..caching import KEYS_MAX
from ..changes import MapEvent, Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import EventsPending
from ..protocol.values import checked_int, decode, encode_key, encode_value, ttl_ms
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds

if TYPE_CHECKING:
    from .cached_map import AsyncCachedMap

Key = str | bytes | int


Entries = Mapping[Key, Any] | Iterable[tuple[Key, Any]]


class Versioned(NamedTuple):
    """A value and its version, the log index of the command that wrote it: higher than that of any earlier value."""

    value: Any
    version: int


class AsyncMap(AsyncHandle):
    """The map of that name. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    `ttl`: the key is absent again so many seconds after it was written, rounded up to ms, by the shard's own time, which stands
    still while the shard has no leader. The next write of the key ends it, and without a `ttl` of its own writes for ever.

    Every method raises BadArgument for a key or value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when
    the timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    # -- writing ---------------------------------------------------------------------------------------

    async def put(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key, for `ttl` seconds or for ever; the previous value, or None."""
        return await self._change(put_parts(key, value, ttl), timeout, consistency)

    async def put_many(
        self, entries: Entries, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> None:
        """Put many keys, a mapping or pairs, with few messages. Each put is one command, and they are carried out in order.

        This is not one step: others may see some of them, or write between them. When it raises, none or some of them were
        carried out, of those whose outcome is not known maybe.
        """
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        many = [(self.resource, put_parts(key, value, ttl)) for key, value in pairs]
        await self._command_all(many, timeout, consistency)

    async def put_if_absent(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        parts = ("put_if_absent", encode_key(key), encode_value(value))
        return await self._change(_living(parts, ttl), timeout, consistency)

    async def replace(
        self, key: Key, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the key only if it is there; the previous value, or None when it was absent and nothing was done."""
        parts = ("replace", encode_key(key), encode_value(value))
        return await self._change(_living(parts, ttl), timeout, consistency)

    async def replace_if(
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
        was: bool = await self._command(_living(parts, ttl), timeout, consistency)
        return was

    async def replace_if_version(
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
        was: bool = await self._command(_living(parts, ttl), timeout, consistency)
        return was

    async def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Make the key absent; the value it had, or None."""
        return await self._change(("remove", encode_key(key)), timeout, consistency)

    async def remove_if(self, key: Key, expected: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Make the key absent if its value equals `expected`; whether it did."""
        was: bool = await self._command(("remove_if", encode_key(key), encode_value(expected)), timeout, consistency)
        return was

    async def remove_if_version(
        self,
        key: Key,
        version: int,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Make the key absent if its value is still of that version; whether it was."""
        parts = ("remove_if_version", encode_key(key), checked_int(version))
        was: bool = await self._command(parts, timeout, consistency)
        return was

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

    # -- reading ---------------------------------------------------------------------------------------

    async def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        value = await self._query(("get", encode_key(key)), timeout, consistency)
        return None if value is None else decode(value)

    async def get_or_default(
        self,
        key: Key,
        default: Any,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> Any:
        """The key's value, or `default` when it is absent."""
        value = await self.get(key, timeout=timeout, consistency=consistency)
        return default if value is None else value

    async def get_versioned(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Versioned | None:
        """The key's value and its version, or None."""
        found = await self._query(("get_versioned", encode_key(key)), timeout, consistency)
        return None if found is None else Versioned(decode(found[0]), found[1])

    async def get_many(
        self,
        keys: Iterable[Key],
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> dict[Key, Any]:
        """The values of those keys that are there, all of the same moment."""
        wanted = list(keys)
        found = await self._query(("get_many", *map(encode_key, wanted)), timeout, consistency)
        return {key: decode(value) for key, value in zip(wanted, found, strict=True) if value is not None}

    async def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        found: bool = await self._query(("contains", encode_key(key)), timeout, consistency)
        return found

    async def contains_value(self, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether any key has a value that equals this one. Looks at all of them."""
        found: bool = await self._query(("contains_value", encode_value(value)), timeout, consistency)
        return found

    async def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of keys."""
        size: int = await self._query(("size",), timeout, consistency)
        return size

    async def is_empty(self, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether there is no key."""
        return await self.size(timeout=timeout, consistency=consistency) == 0

    async def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys, in the order in which their values were written; see `items` for large maps."""
        keys = await self._query(("keys",), timeout, consistency)
        return [decode(key) for key in keys]

    async def values(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Any]:
        """All values, in the order in which they were written; see `items` for large maps."""
        values = await self._query(("values",), timeout, consistency)
        return [decode(value) for value in values]

    async def entries(self, *, timeout: Seconds = None, consistency: Level = None) -> list[tuple[Key, Any]]:
        """All keys and values of one moment, in the order in which the values were written; see `items` for large maps."""
        entries = await self._query(("entries",), timeout, consistency)
        return [(decode(key), decode(value)) for key, value in entries]

    async def items(self, *, timeout: Seconds = None, consistency: Level = None) -> AsyncIterator[tuple[Key, Any]]:
        """Iterate over keys and values page by page, in the order in which the values were written: for maps of any size.

        Pages are of different moments. A key that is there all the time comes at least once; one that is written
        meanwhile may come again, or first, with its new value; one that comes or goes meanwhile may come or not. What comes
        was the key's value when its page was read. `timeout` is that of each page.
        """
        after, is_last = 0, False
        while not is_last:
            is_last, after, entries = await self._query(("page", after), timeout, consistency)
            for key, value in entries:
                yield decode(key), decode(value)

    # -- listening -------------------------------------------------------------------------------------

    def cached(self, keys_max: int = KEYS_MAX) -> AsyncCachedMap:
        """The same map with a cache at the client of up to so many keys, kept current by events until it is closed."""
        from .cached_map import AsyncCachedMap

        return AsyncCachedMap(self._client, self.resource, self._commands, self._queries, keys_max)

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


def put_parts(key: Key, value: Any, ttl: Seconds) -> tuple[Any, ...]:
    """The operation that puts a key. Raises BadArgument."""
    return _living(("put", encode_key(key), encode_value(value)), ttl)


def _living(parts: tuple[Any, ...], ttl: Seconds) -> tuple[Any, ...]:
    return parts if ttl is None else (*parts, ttl_ms(ttl))
