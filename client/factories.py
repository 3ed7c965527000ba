"""Getting at resources: a handle for each type, and what there is. Handles make no call when they are made.

    users = client.map("users")
    await client.exists("users")
    await client.resources("map")
    await client.delete("users")

A handle is cheap and knows its resource by name: what is deleted is opened anew by the next operation on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, cast, overload

from .options import Resources
from .partitioning import Divide, deal
from .protocol.operations import DELETE, EXISTS, MACHINES, NAMES, SWITCH
from .proxies import MachineType, proxy_of
from .resources.barrier import AsyncBarrier
from .resources.counter import AsyncCounter
from .resources.election import AsyncElection
from .resources.group import AsyncGroup
from .resources.id_generator import BLOCK, AsyncIdGenerator
from .resources.latch import AsyncLatch
from .resources.lock import AsyncLock
from .resources.map import AsyncMap
from .resources.multimap import AsyncMultimap
from .resources.partitioned_map import AsyncPartitionedMap
from .resources.queue import AsyncQueue
from .resources.read_write_lock import AsyncReadWriteLock
from .resources.resource import AsyncResource
from .resources.semaphore import AsyncSemaphore
from .resources.set import AsyncSet
from .resources.set_partitioner import AsyncSetPartitioner
from .resources.sorted_map import AsyncSortedMap
from .resources.sorted_set import AsyncSortedSet
from .resources.task_queue import AsyncTaskQueue
from .resources.topic import AsyncTopic
from .resources.value import AsyncValue

if TYPE_CHECKING:
    from .aio import AsyncClient

R = TypeVar("R", bound=AsyncResource)


class AsyncFactories:
    """The part of a client that makes handles. Every name is non-empty and has at most 255 bytes in UTF-8, else BadArgument."""

    _resources: Resources

    @property
    def _itself(self) -> AsyncClient:
        return cast("AsyncClient", self)

    def map(self, name: str) -> AsyncMap:
        """The map of that name."""
        return AsyncMap(self._itself, self._resources.get(name, "map"))

    def queue(self, name: str) -> AsyncQueue:
        """The queue of that name."""
        return AsyncQueue(self._itself, self._resources.get(name, "queue"))

    def task_queue(self, name: str) -> AsyncTaskQueue:
        """The task queue of that name."""
        return AsyncTaskQueue(self._itself, self._resources.get(name, "task_queue"))

    def topic(self, name: str) -> AsyncTopic:
        """The topic of that name."""
        return AsyncTopic(self._itself, self._resources.get(name, "topic"))

    def partitioned_map(self, name: str) -> AsyncPartitionedMap:
        """The partitioned map of that name, which may have 243 bytes. It is no resource of its own: see its `delete`."""
        return AsyncPartitionedMap(self._itself, self._resources.partitioned(name), self._resources.slots)

    def sorted_map(self, name: str) -> AsyncSortedMap:
        """The sorted map of that name."""
        return AsyncSortedMap(self._itself, self._resources.get(name, "sorted_map"))

    def multimap(self, name: str) -> AsyncMultimap:
        """The multimap of that name."""
        return AsyncMultimap(self._itself, self._resources.get(name, "multimap"))

    def set(self, name: str) -> AsyncSet:
        """The set of that name."""
        return AsyncSet(self._itself, self._resources.get(name, "set"))

    def sorted_set(self, name: str) -> AsyncSortedSet:
        """The sorted set of that name."""
        return AsyncSortedSet(self._itself, self._resources.get(name, "sorted_set"))

    def counter(self, name: str) -> AsyncCounter:
        """The counter of that name."""
        return AsyncCounter(self._itself, self._resources.get(name, "counter"))

    def group(self, name: str) -> AsyncGroup:
        """The group of that name."""
        return AsyncGroup(self._itself, self._resources.get(name, "group"))

    def lock(self, name: str, *, reentrant: bool = False) -> AsyncLock:
        """The lock of that name; a `reentrant` one may be taken again by who holds it by this handle."""
        return AsyncLock(self._itself, self._resources.get(name, "lock"), reentrant=reentrant)

    def read_write_lock(self, name: str) -> AsyncReadWriteLock:
        """The read-write lock of that name."""
        return AsyncReadWriteLock(self._itself, self._resources.get(name, "read_write_lock"))

    def semaphore(self, name: str, capacity: int | None = None) -> AsyncSemaphore:
        """The semaphore of that name, with so many permits; None: as many as whoever used it first has said."""
        return AsyncSemaphore(self._itself, self._resources.get(name, "semaphore"), capacity=capacity)

    def barrier(self, name: str) -> AsyncBarrier:
        """The barrier of that name."""
        return AsyncBarrier(self._itself, self._resources.get(name, "barrier"))

    def id_generator(self, name: str, *, block: int = BLOCK) -> AsyncIdGenerator:
        """The id generator of that name, a counter to all others; `block` ids are reserved at once. Raises BadArgument."""
        return AsyncIdGenerator(self._itself, self.counter(name), block)

    def latch(self, name: str) -> AsyncLatch:
        """The latch of that name."""
        return AsyncLatch(self._itself, self._resources.get(name, "latch"))

    def election(self, name: str) -> AsyncElection:
        """The election of that name."""
        return AsyncElection(self._itself, self._resources.get(name, "election"))

    def value(self, name: str) -> AsyncValue:
        """The value of that name."""
        return AsyncValue(self._itself, self._resources.get(name, "value"))

    @overload
    def resource(self, name: str, type: str) -> AsyncResource: ...

    @overload
    def resource(self, name: str, type: type[R]) -> R: ...

    def resource(self, name: str, type: str | type[AsyncResource]) -> AsyncResource:
        """The resource of that name, of a machine of one's own: of that type, or used through that proxy. Raises BadArgument."""
        proxy, type_name = proxy_of(type, AsyncResource)
        return proxy(self._itself, self._resources.get(name, type_name))

    async def machines(self, *, timeout: float | None = None) -> list[MachineType]:
        """The machine types that each shard's leader has installed, and which version of each is in force there."""
        found = []
        for number in self._resources.shards():
            rows = await self._itself.perform(self._resources.shard(number), (MACHINES,), True, timeout)
            found += [MachineType(number, *row) for row in rows]
        return found

    async def switch_machine(self, type_name: str, version: int, *, timeout: float | None = None) -> None:
        """Put another version of a machine in force, shard by shard; said again it changes nothing.

        Every replica has to have both versions. Raises MachineError when the version does not fit what a shard holds, and
        Refused when its leader does not have it; the shards before that one are switched then.
        """
        for number in self._resources.shards():
            await self._itself.perform(self._resources.shard(number), (SWITCH, type_name, version), False, timeout)

    def set_partitioner(
        self,
        name: str,
        items: Iterable[str | bytes | int],
        *,
        id: str | None = None,
        divide: Divide = deal,
    ) -> AsyncSetPartitioner:
        """A member of the set partitioner of that name, for `async with`: see `SetPartitioner`."""
        return AsyncSetPartitioner(self._itself, self._resources.get(name, "set_partitioner"), items, id, divide)

    async def exists(self, name: str, *, timeout: float | None = None) -> str | None:
        """The type of the resource of that name, or None when there is none."""
        shard = self._resources.shard_of(name)
        found: str | None = await self._itself.perform(shard, (EXISTS, name), True, timeout)
        return found

    async def delete(self, name: str, *, timeout: float | None = None) -> bool:
        """Delete the resource of that name with all that it holds, whatever its type; whether there was one.

        Whoever uses a handle of that name afterwards begins with a new resource, which is empty. Whoever listens to
        it hears nothing more; a call that waits at it raises ResourceDeleted.
        """
        shard = self._resources.shard_of(name)
        deleted = await self._itself.perform(shard, (DELETE, name), False, timeout) is not None
        self._itself.forget(name, shard.shard)
        return deleted

    async def resources(self, type_name: str | None = None, *, timeout: float | None = None) -> dict[str, str]:
        """All resources, or those of a type: name to type. Each shard is asked for itself, so this is no single moment's."""
        found: dict[str, str] = {}
        for number in self._resources.shards():
            shard, after = self._resources.shard(number), 0
            while page := await self._itself.perform(shard, (NAMES, after, type_name), True, timeout):
                found |= {name: kind for _, name, kind in page}
                after = page[-1][0]
        return found
