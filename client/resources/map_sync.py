# Generated from map.py by generate.py: change that one and run this again.
"""A replicated map from keys to values.

    users = client.map("users")
    previous = users.put("ada", {"born": 1815})
    ada = users.get("ada")
    users.on_change(print)
    users.remove("ada")

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
from ..streams import Events
from .base import Handle, Level, Seconds

Key = str | bytes | int


class Map(Handle):
    """The map of that name. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    Every method raises BadArgument for a key or value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when
    the timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    def put(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key; the previous value, or None."""
        return self._change(("put", encode_key(key), encode_value(value)), timeout, consistency)

    def get(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The key's value, or None."""
        value = self._query(("get", encode_key(key)), timeout, consistency)
        return None if value is None else decode(value)

    def remove(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Make the key absent; the value it had, or None."""
        return self._change(("remove", encode_key(key)), timeout, consistency)

    def put_if_absent(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key unless it is there; None when it was set, else the value that is there."""
        return self._change(("put_if_absent", encode_key(key), encode_value(value)), timeout, consistency)

    def replace(self, key: Key, value: Any, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Set the key only if it is there; the previous value, or None when it was absent and nothing was done."""
        return self._change(("replace", encode_key(key), encode_value(value)), timeout, consistency)

    def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of keys."""
        size: int = self._query(("size",), timeout, consistency)
        return size

    def contains(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether the key is there."""
        found: bool = self._query(("contains", encode_key(key)), timeout, consistency)
        return found

    def keys(self, *, timeout: Seconds = None, consistency: Level = None) -> list[Key]:
        """All keys, in the order in which their values were written."""
        keys = self._query(("keys",), timeout, consistency)
        return [decode(key) for key in keys]

    def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Remove all keys."""
        self._command(("clear",), timeout, consistency)

    def _change(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        try:
            value = self._command(parts, timeout, consistency)
        except EventsPending as pending:
            pending.result = decode(pending.result) if isinstance(pending.result, bytes) else None
            raise
        return None if value is None else decode(value)

    def events(
        self, key: Key | None = None, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX
    ) -> Events[MapEvent]:
        """Iterate over the changes from now on, of one key or of all: `MapEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        encoded = None if key is None else encode_key(key)
        return Events(self._client, self.resource, MapEvent, encoded, timeout, buffer)

    def on_change(
        self, callback: Callable[[MapEvent | Resync], Any], key: Key | None = None, *, timeout: Seconds = None
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, of one key or of all, until the subscription is closed.

        Callbacks of a client run one at a time. What one raises is logged and given to `client.on_error`. An event that
        is not handled within the session's timeout ends the session.
        """
        encoded = None if key is None else encode_key(key)
        return self._client.on_change(self.resource, MapEvent, encoded, callback, timeout)
