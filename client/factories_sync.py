# Generated from factories.py by generate.py: change that one and run this again.
"""Getting at resources: a handle for each type, and what there is. Handles make no call when they are made.

    users = client.map("users")
    client.exists("users")
    client.resources("map")
    client.delete("users")

A handle is cheap and knows its resource by name: what is deleted is opened anew by the next operation on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, cast, overload

from .options import Resources
from .partitioning import Divide, deal
from .protocol.operations import DELETE, EXISTS, MACHINES, NAMES, SWITCH
from .proxies import MachineType, proxy_of
from .resources.barrier_sync import Barrier
from .resources.counter_sync import Counter
from .resources.election_sync import Election
from .resources.group_sync import Group
from .resources.id_generator_sync import BLOCK, IdGenerator
from .resources.latch_sync import Latch
from .resources.lock_sync import Lock
from .resources.map_sync import Map
from .resources.multimap_sync import Multimap
from .resources.partitioned_map_sync import PartitionedMap
from .resources.queue_sync import Queue
from .resources.read_write_lock_sync import ReadWriteLock
from .resources.resource_sync import Resource
from .resources.semaphore_sync import Semaphore
from .resources.set_partitioner_sync import SetPartitioner
from .resources.set_sync import Set
from .resources.sorted_map_sync import SortedMap
from .resources.sorted_set_sync import SortedSet
from .resources.task_queue_sync import TaskQueue
from .resources.topic_sync import Topic
from .resources.value_sync import Value

if TYPE_CHECKING:
    from .sync import Client

R = TypeVar("R", bound=Resource)


class Factories:
    """The part of a client that makes handles. Every name is non-empty and has at most 255 bytes in UTF-8, else BadArgument."""

    _resources: Resources

    @property
    def _itself(self) -> Client:
        return cast("Client", self)

    def map(self, name: str) -> Map:
        """The map of that name."""
        return Map(self._itself, self._resources.get(name, "map"))

    def queue(self, name: str) -> Queue:
        """The queue of that name."""
        return Queue(self._itself, self._resources.get(name, "queue"))

    def task_queue(self, name: str) -> TaskQueue:
        """The task queue of that name."""
        return TaskQueue(self._itself, self._resources.get(name, "task_queue"))

    def topic(self, name: str) -> Topic:
        """The topic of that name."""
        return Topic(self._itself, self._resources.get(name, "topic"))

    def partitioned_map(self, name: str) -> PartitionedMap:
        """The partitioned map of that name, which may have 243 bytes. It is no resource of its own: see its `delete`."""
        return PartitionedMap(self._itself, self._resources.partitioned(name), self._resources.slots)

    def sorted_map(self, name: str) -> SortedMap:
        """The sorted map of that name."""
        return SortedMap(self._itself, self._resources.get(name, "sorted_map"))

    def multimap(self, name: str) -> Multimap:
        """The multimap of that name."""
        return Multimap(self._itself, self._resources.get(name, "multimap"))

    def set(self, name: str) -> Set:
        """The set of that name."""
        return Set(self._itself, self._resources.get(name, "set"))

    def sorted_set(self, name: str) -> SortedSet:
        """The sorted set of that name."""
        return SortedSet(self._itself, self._resources.get(name, "sorted_set"))

    def counter(self, name: str) -> Counter:
        """The counter of that name."""
        return Counter(self._itself, self._resources.get(name, "counter"))

    def group(self, name: str) -> Group:
        """The group of that name."""
        return Group(self._itself, self._resources.get(name, "group"))

    def lock(self, name: str, *, reentrant: bool = False) -> Lock:
        """The lock of that name; a `reentrant` one may be taken again by who holds it by this handle."""
        return Lock(self._itself, self._resources.get(name, "lock"), reentrant=reentrant)

    def read_write_lock(self, name: str) -> ReadWriteLock:
        """The read-write lock of that name."""
        return ReadWriteLock(self._itself, self._resources.get(name, "read_write_lock"))

    def semaphore(self, name: str, capacity: int | None = None) -> Semaphore:
        """The semaphore of that name, with so many permits; None: as many as whoever used it first has said."""
        return Semaphore(self._itself, self._resources.get(name, "semaphore"), capacity=capacity)

    def barrier(self, name: str) -> Barrier:
        """The barrier of that name."""
        return Barrier(self._itself, self._resources.get(name, "barrier"))

    def id_generator(self, name: str, *, block: int = BLOCK) -> IdGenerator:
        """The id generator of that name, a counter to all others; `block` ids are reserved at once. Raises BadArgument."""
        return IdGenerator(self._itself, self.counter(name), block)

    def latch(self, name: str) -> Latch:
        """The latch of that name."""
        return Latch(self._itself, self._resources.get(name, "latch"))

    def election(self, name: str) -> Election:
        """The election of that name."""
        return Election(self._itself, self._resources.get(name, "election"))

    def value(self, name: str) -> Value:
        """The value of that name."""
        return Value(self._itself, self._resources.get(name, "value"))

    @overload
    def resource(self, name: str, type: str) -> Resource: ...

    @overload
    def resource(self, name: str, type: type[R]) -> R: ...

    def resource(self, name: str, type: str | type[Resource]) -> Resource:
        """The resource of that name, of a machine of one's own: of that type, or used through that proxy. Raises BadArgument."""
        proxy, type_name = proxy_of(type, Resource)
        return proxy(self._itself, self._resources.get(name, type_name))

    def machines(self, *, timeout: float | None = None) -> list[MachineType]:
        """The machine types that each shard's leader has installed, and which version of each is in force there."""
        found = []
        for number in self._resources.shards():
            rows = self._itself.perform(self._resources.shard(number), (MACHINES,), True, timeout)
            found += [MachineType(number, *row) for row in rows]
        return found

    def switch_machine(self, type_name: str, version: int, *, timeout: float | None = None) -> None:
        """Put another version of a machine in force, shard by shard; said again it changes nothing.

        Every replica has to have both versions. Raises MachineError when the version does not fit what a shard holds, and
        Refused when its leader does not have it; the shards before that one are switched then.
        """
        for number in self._resources.shards():
            self._itself.perform(self._resources.shard(number), (SWITCH, type_name, version), False, timeout)

    def set_partitioner(
        self,
        name: str,
        items: Iterable[str | bytes | int],
        *,
        id: str | None = None,
        divide: Divide = deal,
    ) -> SetPartitioner:
        """A member of the set partitioner of that name, for `with`: see `SetPartitioner`."""
        return SetPartitioner(self._itself, self._resources.get(name, "set_partitioner"), items, id, divide)

    def exists(self, name: str, *, timeout: float | None = None) -> str | None:
        """The type of the resource of that name, or None when there is none."""
        shard = self._resources.shard_of(name)
        found: str | None = self._itself.perform(shard, (EXISTS, name), True, timeout)
        return found

    def delete(self, name: str, *, timeout: float | None = None) -> bool:
        """Delete the resource of that name with all that it holds, whatever its type; whether there was one.

        Whoever uses a handle of that name afterwards begins with a new resource, which is empty. Whoever listens to
        it hears nothing more; a call that waits at it raises ResourceDeleted.
        """
        shard = self._resources.shard_of(name)
        deleted = self._itself.perform(shard, (DELETE, name), False, timeout) is not None
        self._itself.forget(name, shard.shard)
        return deleted

    def resources(self, type_name: str | None = None, *, timeout: float | None = None) -> dict[str, str]:
        """All resources, or those of a type: name to type. Each shard is asked for itself, so this is no single moment's."""
        found: dict[str, str] = {}
        for number in self._resources.shards():
            shard, after = self._resources.shard(number), 0
            while page := self._itself.perform(shard, (NAMES, after, type_name), True, timeout):
                found |= {name: kind for _, name, kind in page}
                after = page[-1][0]
        return found
