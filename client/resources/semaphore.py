"""A replicated semaphore: so many permits, of which each holder has some; first come, first served.

    slots = client.semaphore("uploads", 3)     # at most 3 permits are held at once
    async with slots.held(timeout=5) as grant:
        ...
    grant = await slots.acquire(2)
    await slots.release(grant)

Permits are given back when the session of their holder ends, which the holder may learn late: until then more may be at work
than there are permits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from ..calls import Resource
from ..consistency import COMMANDS, QUERIES, Consistency
from ..grants import Grant
from ..protocol.errors import BadArgument
from .base import Level, Seconds
from .holding import AsyncHeld, AsyncHolding, Lost

if TYPE_CHECKING:
    from ..aio import AsyncClient


class AsyncSemaphore(AsyncHolding):
    """The semaphore of that name. `timeout` is in seconds; None means the client's default.

    `capacity` is how many permits there are, which the first request settles for all: a request of a handle that names another
    number raises MachineError. Without one, any will do.

    `lost(grant)` is called once, where callbacks run, when it is known that the grant is lost: its session has ended, or the
    semaphore was deleted. A client that is cut off cannot know: its `state` is SUSPENDED then.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, ResourceDeleted when it
    waits at a semaphore that is deleted, Refused and Closed. A request that is cancelled or times out leaves nothing behind:
    what it is granted all the same is given back.
    """

    __slots__ = ("_capacity",)

    def __init__(
        self,
        client: AsyncClient,
        resource: Resource,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
        *,
        capacity: int | None = None,
    ) -> None:
        super().__init__(client, resource, commands, queries)
        self._capacity = None if capacity is None else _checked("capacity", capacity)

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """The same semaphore, with these levels where a call names none. Raises BadArgument."""
        found = super().with_consistency(commands=commands, queries=queries)
        found._capacity = self._capacity
        return found

    async def acquire(self, permits: int = 1, *, timeout: Seconds = None, lost: Lost = None) -> Grant:
        """Take so many permits, all or none, waiting for so many seconds, math.inf for ever.

        Raises DeadlineExceeded when they are not had, MachineError for more than there are.
        """
        _checked("permits", permits)
        return await self._wait_for("acquire", permits, self._capacity, wait=timeout, lost=lost)

    async def try_acquire(self, permits: int = 1, *, lost: Lost = None) -> Grant | None:
        """Take so many permits if they are free and nobody waits, else None. Raises MachineError for more than there are."""
        return await self._take("acquire", _checked("permits", permits), self._capacity, wait=0, lost=lost)

    async def release(self, grant: Grant, *, timeout: Seconds = None) -> bool:
        """Give back what was granted; False when it was no longer held: its session had ended. Raises BadArgument.

        When that takes longer than the timeout, or is cancelled, the client goes on trying until the session ends.
        """
        return await self._leave("give_back", grant, timeout)

    def held(self, permits: int = 1, *, timeout: Seconds = None, lost: Lost = None) -> AsyncHeld:
        """Permits for the time of a block: `async with slots.held(timeout=5)`. Entering raises what `acquire` does."""
        return AsyncHeld(partial(self.acquire, permits, timeout=timeout, lost=lost), self.release)

    async def capacity(self, *, timeout: Seconds = None, consistency: Level = None) -> int | None:
        """How many permits there are, or None before the first request."""
        capacity: int | None = (await self._query(("permits",), timeout, consistency))[0]
        return capacity

    async def available(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many permits are free; below 0 when more are held than there are since the capacity was reduced."""
        capacity, held = await self._query(("permits",), timeout, consistency)
        available: int = (self._capacity or 0 if capacity is None else capacity) - held
        return available

    async def set_capacity(self, capacity: int, *, timeout: Seconds = None, consistency: Level = None) -> int | None:
        """From now on there are so many permits, for this handle too; the answer is how many there were, or None.

        Nothing is taken away from holders. A request that waits for more than there will be raises MachineError.
        """
        parts = ("set_capacity", _checked("capacity", capacity))
        before: int | None = await self._command(parts, timeout, consistency)
        self._capacity = capacity if self._capacity is not None else None
        return before


def _checked(name: str, permits: int) -> int:
    if type(permits) is not int or permits < 1:
        raise BadArgument(f"{name} is a number of permits from 1 on, not {permits!r:.60}")
    return permits
