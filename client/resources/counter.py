"""A replicated counter: a signed integer of 64 bits.

    hits = client.counter("hits")
    await hits.increment()
    await hits.add(10)
    await hits.compare_and_set(11, 0)
    await hits.get()

A counter begins at 0. Going over the ends of 64 bits is an error and changes nothing. Reads are linearizable.
"""

from __future__ import annotations

from ..protocol.values import checked_int
from .base import AsyncHandle


class AsyncCounter(AsyncHandle):
    """The counter of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for a number out of range, DeadlineExceeded or OutcomeUnknown when the timeout
    passes, SessionExpired, MachineError on overflow, Refused and Closed.
    """

    __slots__ = ()

    async def get(self, *, timeout: float | None = None) -> int:
        """The value."""
        value: int = await self._query(("get",), timeout)
        return value

    async def set(self, value: int, *, timeout: float | None = None) -> None:
        """Set the value."""
        await self._command(("set", checked_int(value)), timeout)

    async def add(self, delta: int, *, timeout: float | None = None) -> int:
        """Add to the value; the new value."""
        value: int = await self._command(("add", checked_int(delta)), timeout)
        return value

    async def increment(self, delta: int = 1, *, timeout: float | None = None) -> int:
        """Add `delta`; the new value."""
        value: int = await self._command(("add", checked_int(delta)), timeout)
        return value

    async def decrement(self, delta: int = 1, *, timeout: float | None = None) -> int:
        """Subtract `delta`; the new value."""
        value: int = await self._command(("add", checked_int(-checked_int(delta))), timeout)
        return value

    async def compare_and_set(self, expected: int, new: int, *, timeout: float | None = None) -> bool:
        """Set the value to `new` if it is `expected`; whether it was."""
        was: bool = await self._command(("compare_and_set", checked_int(expected), checked_int(new)), timeout)
        return was
