"""A replicated counter: a signed integer of 64 bits.

    hits = client.counter("hits")
    await hits.increment()
    await hits.add(10)
    await hits.compare_and_set(11, 0)
    await hits.get()

A counter begins at 0. Going over the ends of 64 bits is an error and changes nothing. Reads are linearizable unless
`consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import CounterEvent, Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.values import checked_int
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds


class AsyncCounter(AsyncHandle):
    """The counter of that name. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    Every method raises BadArgument for a number out of range, DeadlineExceeded or OutcomeUnknown when the timeout
    passes (EventsPending when only listeners are waited for), SessionExpired, MachineError on overflow, Refused and
    Closed.
    """

    __slots__ = ()

    async def get(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The value."""
        value: int = await self._query(("get",), timeout, consistency)
        return value

    async def set(self, value: int, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Set the value."""
        await self._command(("set", checked_int(value)), timeout, consistency)

    async def add(self, delta: int, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Add to the value; the new value."""
        value: int = await self._command(("add", checked_int(delta)), timeout, consistency)
        return value

    async def increment(self, delta: int = 1, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Add `delta`; the new value."""
        value: int = await self._command(("add", checked_int(delta)), timeout, consistency)
        return value

    async def decrement(self, delta: int = 1, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Subtract `delta`; the new value."""
        value: int = await self._command(("add", checked_int(-checked_int(delta))), timeout, consistency)
        return value

    async def get_and_set(self, value: int, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Set the value; the one before."""
        before: int = await self._command(("get_and_set", checked_int(value)), timeout, consistency)
        return before

    async def get_and_add(self, delta: int, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Add to the value; the value before."""
        return await self.add(delta, timeout=timeout, consistency=consistency) - delta

    async def get_and_increment(self, delta: int = 1, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Add `delta`; the value before."""
        return await self.add(delta, timeout=timeout, consistency=consistency) - delta

    async def get_and_decrement(self, delta: int = 1, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Subtract `delta`; the value before."""
        return await self.decrement(delta, timeout=timeout, consistency=consistency) + delta

    async def compare_and_set(
        self,
        expected: int,
        new: int,
        *,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> bool:
        """Set the value to `new` if it is `expected`; whether it was."""
        parts = ("compare_and_set", checked_int(expected), checked_int(new))
        was: bool = await self._command(parts, timeout, consistency)
        return was

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> AsyncEvents[CounterEvent]:
        """Iterate over the changes from now on: `CounterEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return AsyncEvents(self._client, self.resource, CounterEvent, None, timeout, buffer)

    async def on_change(
        self,
        callback: Callable[[CounterEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, until the subscription is closed.

        Callbacks of a client run one at a time. What one raises is logged and given to `client.on_error`. An event that
        is not handled within the session's timeout ends the session.
        """
        return await self._client.on_change(self.resource, CounterEvent, None, callback, timeout)
