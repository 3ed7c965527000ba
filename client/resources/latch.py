"""A replicated latch: it opens when it has been counted down, and until then whoever comes waits.

    ready = client.latch("ready")
    await ready.set_count(3)
    await ready.count_down()
    await ready.wait(timeout=30)
    await ready.reset(2)

A latch whose count was never set is shut. One that has opened stays open, until `reset`.
"""

from __future__ import annotations

from ..gates import number
from ..protocol.errors import DeadlineExceeded
from .base import AsyncHandle, Level, Seconds


class AsyncLatch(AsyncHandle):
    """The latch of that name. `timeout` is in seconds; None means the client's default, math.inf for ever.

    Every method raises BadArgument for what is no number from 1 on, DeadlineExceeded or OutcomeUnknown when the timeout
    passes, ResourceDeleted for who waits at a latch that is deleted, SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    async def set_count(self, count: int, *, timeout: Seconds = None) -> bool:
        """Set the count, if it was never set; whether this call did. So all who use the latch may call it."""
        was_first: bool = await self._command(("set_count", number("a count", count)), timeout, None)
        return was_first

    async def count_down(self, by: int = 1, *, timeout: Seconds = None) -> int:
        """Take so many off the count, but not below 0; how many are left. Raises MachineError while the count is not set."""
        left: int = await self._command(("count_down", number("by", by)), timeout, None)
        return left

    async def wait(self, *, timeout: Seconds = None) -> None:
        """Wait until the count is 0. Raises DeadlineExceeded when it is not in time."""
        if await self._request("wait_open", wait=timeout) is None:
            text = "the latch did not open in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)

    async def count(self, *, timeout: Seconds = None, consistency: Level = None) -> int | None:
        """The count; None while it is not set."""
        count: int | None
        count, _ = await self._query(("status",), timeout, consistency)
        return count

    async def waiting(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many wait."""
        waiting: int
        _, waiting = await self._query(("status",), timeout, consistency)
        return waiting

    async def reset(self, count: int | None = None, *, timeout: Seconds = None) -> None:
        """Begin anew with this count, or with none, whatever it was. Whoever waits goes on waiting."""
        await self._command(("reset", None if count is None else number("a count", count)), timeout, None)
