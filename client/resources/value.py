"""A replicated value: one value, or none, that may have a time to live.

    leader = client.value("leader")
    await leader.set("host-1", ttl=30)
    await leader.get()
    await leader.compare_and_set("host-1", "host-2", ttl=30)
    await leader.on_change(print)

A value is whatever msgpack holds, but None, which means that there is none. Reads are linearizable unless `consistency`
or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import Resync, ValueEvent
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import EventsPending
from ..protocol.values import decode, encode_value, ttl_ms
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds


class AsyncValue(AsyncHandle):
    """The value of that name. `timeout` is in seconds; None means the client's default.

    `ttl`: the value is gone so many seconds after it was set, rounded up to ms, by the shard's own time, which stands still
    while the shard has no leader. The next set ends it, and without a `ttl` of its own sets for ever.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    Every method raises BadArgument for a value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when the
    timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    async def get(self, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The value, or None."""
        value = await self._query(("get",), timeout, consistency)
        return None if value is None else decode(value)

    async def set(self, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None) -> None:
        """Set the value, for `ttl` seconds or for ever."""
        await self._command(("set", encode_value(value), ttl_ms(ttl)), timeout, consistency)

    async def get_and_set(
        self, value: Any, *, ttl: Seconds = None, timeout: Seconds = None, consistency: Level = None
    ) -> Any:
        """Set the value; the one before, or None."""
        return await self._change(("get_and_set", encode_value(value), ttl_ms(ttl)), timeout, consistency)

    async def compare_and_set(
        self,
        expected: Any,
        value: Any,
        *,
        ttl: Seconds = None,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Set the value if it equals `expected`, None: if there is none; whether it did. Equal are values of equal msgpack."""
        encoded = None if expected is None else encode_value(expected)
        parts = ("compare_and_set", encoded, encode_value(value), ttl_ms(ttl))
        was: bool = await self._command(parts, timeout, consistency)
        return was

    async def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Have no value; the one that was there, or None."""
        return await self._change(("clear",), timeout, consistency)

    async def _change(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        try:
            value = await self._command(parts, timeout, consistency)
        except EventsPending as pending:
            pending.result = decode(pending.result) if isinstance(pending.result, bytes) else None
            raise
        return None if value is None else decode(value)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> AsyncEvents[ValueEvent]:
        """Iterate over the changes from now on: `ValueEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return AsyncEvents(self._client, self.resource, ValueEvent, None, timeout, buffer)

    async def on_change(
        self,
        callback: Callable[[ValueEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, until the subscription is closed.

        Callbacks of a client run one at a time. What one raises is logged and given to `client.on_error`. An event that
        is not handled within the session's timeout ends the session.
        """
        return await self._client.on_change(self.resource, ValueEvent, None, callback, timeout)
