"""A replicated map from keys to values.

    users = client.map("users")
    previous = await users.put("ada", {"born": 1815})
    ada = await users.get("ada")
    await users.put_if_absent("ada", {"born": 1816})
    await users.remove("ada")

Keys are str, bytes or integers of 64 bits; values are whatever msgpack holds, but None, which means absent. All keys
of one map live on one shard. Reads are linearizable.
"""

from __future__ import annotations

from typing import Any

from ..protocol.values import decode, encode_key, encode_value
from .base import AsyncHandle

Key = str | bytes | int


class AsyncMap(AsyncHandle):
    """The map of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for a key or value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when
    the timeout passes, SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    async def put(self, key: Key, value: Any, *, timeout: float | None = None) -> Any:
        """Set the key; the previous value, or None."""
        previous = await self._command(("put", encode_key(key), encode_value(value)), timeout)
        return None if previous is None else decode(previous)

    async def get(self, key: Key, *, timeout: float | None = None) -> Any:
        """The key's value, or None."""
        value = await self._query(("get", encode_key(key)), timeout)
        return None if value is None else decode(value)

    async def remove(self, key: Key, *, timeout: float | None = None) -> Any:
        """Make the key absent; the value it had, or None."""
        previous = await self._command(("remove", encode_key(key)), timeout)
        return None if previous is None else decode(previous)

    async def put_if_absent(self, key: Key, value: Any, *, timeout: float | None = None) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        existing = await self._command(("put_if_absent", encode_key(key), encode_value(value)), timeout)
        return None if existing is None else decode(existing)

    async def replace(self, key: Key, value: Any, *, timeout: float | None = None) -> Any:
        """Set the key only if it is there; the previous value, or None when it was absent and nothing was done."""
        previous = await self._command(("replace", encode_key(key), encode_value(value)), timeout)
        return None if previous is None else decode(previous)

    async def size(self, *, timeout: float | None = None) -> int:
        """The number of keys."""
        size: int = await self._query(("size",), timeout)
        return size

    async def contains(self, key: Key, *, timeout: float | None = None) -> bool:
        """Whether the key is there."""
        found: bool = await self._query(("contains", encode_key(key)), timeout)
        return found

    async def keys(self, *, timeout: float | None = None) -> list[Key]:
        """All keys, in the order in which their values were written."""
        keys = await self._query(("keys",), timeout)
        return [decode(key) for key in keys]

    async def clear(self, *, timeout: float | None = None) -> None:
        """Remove all keys."""
        await self._command(("clear",), timeout)
