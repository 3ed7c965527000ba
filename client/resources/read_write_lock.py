"""A replicated read-write lock: many readers or one writer, first come, first served.

    config = client.read_write_lock("config")
    grant = await config.read(timeout=5)     # beside other readers
    await config.unlock(grant)
    async with config.held_write(timeout=5) as grant:
        ...                                  # alone; send grant.token along with what is written

It is released when the session of its holder ends, which the holder may learn late: only a resource that checks tokens is
protected from one that has not learnt it yet. Whoever holds it for reading and asks for writing waits for itself.
"""

from __future__ import annotations

from functools import partial

from ..grants import Grant
from .base import Seconds
from .holding import AsyncHeld, AsyncHolding, Lost


class AsyncReadWriteLock(AsyncHolding):
    """The read-write lock of that name. `timeout` is in seconds; None means the client's default.

    `lost(grant)` is called once, where callbacks run, when it is known that the grant is lost: its session has ended, or the lock
    was deleted. A client that is cut off cannot know: its `state` is SUSPENDED then.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, ResourceDeleted when it
    waits at a lock that is deleted, Refused and Closed. A request that is cancelled or times out leaves nothing behind:
    what it is granted all the same is given back.
    """

    __slots__ = ()

    async def read(self, *, timeout: Seconds = None, lost: Lost = None) -> Grant:
        """Take it for reading, waiting for so many seconds, math.inf for ever. Raises DeadlineExceeded when it is not had."""
        return await self._wait_for("read", wait=timeout, lost=lost)

    async def try_read(self, *, lost: Lost = None) -> Grant | None:
        """Take it for reading, or None while somebody writes or waits."""
        return await self._take("read", wait=0, lost=lost)

    async def write(self, *, timeout: Seconds = None, lost: Lost = None) -> Grant:
        """Take it for writing, waiting for so many seconds, math.inf for ever. Raises DeadlineExceeded when it is not had."""
        return await self._wait_for("write", wait=timeout, lost=lost)

    async def try_write(self, *, lost: Lost = None) -> Grant | None:
        """Take it for writing, or None while somebody holds it or waits."""
        return await self._take("write", wait=0, lost=lost)

    async def unlock(self, grant: Grant, *, timeout: Seconds = None) -> bool:
        """Release it; False when it was no longer held by this grant: its session had ended. Raises BadArgument.

        When that takes longer than the timeout, or is cancelled, the client goes on trying until the session ends.
        """
        return await self._leave("unlock", grant, timeout)

    def held_read(self, *, timeout: Seconds = None, lost: Lost = None) -> AsyncHeld:
        """For reading, for the time of a block: `async with config.held_read(timeout=5)`. Entering raises what `read` does."""
        return AsyncHeld(partial(self.read, timeout=timeout, lost=lost), self.unlock)

    def held_write(self, *, timeout: Seconds = None, lost: Lost = None) -> AsyncHeld:
        """For writing, for the time of a block. Entering raises what `write` does."""
        return AsyncHeld(partial(self.write, timeout=timeout, lost=lost), self.unlock)
