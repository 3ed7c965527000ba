"""A replicated lock: one holder at a time, first come, first served.

    lock = client.lock("printer")
    grant = await lock.lock(timeout=5)
    ...                                  # send grant.token along, and have what is written to refuse lower ones
    await lock.unlock(grant)
    await lock.try_lock()                # None while somebody holds it

A lock is released when the session of its holder ends, which the holder may learn late: only a resource that checks tokens
is protected from one that has not learnt it yet.
"""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.errors import BadArgument, DeadlineExceeded
from .base import AsyncHandle, Level, Seconds


class Grant(NamedTuple):
    """Who holds the lock: `token` grows with every grant; `session` and `number` say to which request it was granted."""

    token: int
    session: int
    number: int


class AsyncLock(AsyncHandle):
    """The lock of that name. `timeout` is in seconds; None means the client's default.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, Refused and Closed.
    A request that is cancelled or times out leaves nothing behind: what it is granted all the same is given back.
    """

    __slots__ = ()

    async def lock(self, *, timeout: Seconds = None) -> Grant:
        """Take the lock, waiting for so many seconds, with math.inf for ever. Raises DeadlineExceeded when it is not had."""
        answer = await self._request("lock", wait=timeout)
        if answer is None:
            text = "the lock was not granted in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        return Grant(*answer)

    async def try_lock(self) -> Grant | None:
        """Take the lock if nobody holds it, else None."""
        answer = await self._request("lock", wait=0)
        return None if answer is None else Grant(*answer)

    async def unlock(self, grant: Grant, *, timeout: Seconds = None) -> bool:
        """Release the lock; False when it was no longer this grant's: its session had ended. Raises BadArgument."""
        number = _checked(grant).number
        held: bool = await self._command(("unlock", number), timeout, None)
        return held

    def held(self, *, timeout: Seconds = None) -> AsyncHeld:
        """The lock for the time of a block: `async with lock.held(timeout=5) as grant`. Entering raises what `lock` does."""
        return AsyncHeld(self, timeout)

    async def holder(self, *, timeout: Seconds = None, consistency: Level = None) -> Grant | None:
        """Who holds the lock, or None."""
        holder, _ = await self._query(("status",), timeout, consistency)
        return None if holder is None else Grant(*holder)

    async def waiting(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many requests wait for the lock."""
        waiting: int
        _, waiting = await self._query(("status",), timeout, consistency)
        return waiting


class AsyncHeld:
    """A lock that is held while its block runs; to be used once."""

    __slots__ = ("_grant", "_lock", "_timeout")

    def __init__(self, lock: AsyncLock, timeout: Seconds) -> None:
        self._lock = lock
        self._timeout = timeout

    async def __aenter__(self) -> Grant:
        self._grant = await self._lock.lock(timeout=self._timeout)
        return self._grant

    async def __aexit__(self, *error: object) -> None:
        await self._lock.unlock(self._grant)


def _checked(grant: Grant) -> Grant:
    # By shape, since the blocking lock has a Grant of its own.
    if not isinstance(grant, tuple) or len(grant) != 3 or any(type(part) is not int for part in grant):
        raise BadArgument(f"a lock is released with its grant, not with {grant!r:.60}")
    return grant
