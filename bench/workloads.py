"""What a load process does again and again: one small class per workload.

A workload is made once per process and bound to each client; binding returns the coroutine function that does one
operation and records its row. It knows the public client only: maps, counters and their errors.

Invariants: a command whose outcome is unknown leaves a row too; a definite error leaves none and is raised.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Protocol

from ..client.consistency import Consistency
from ..client.protocol.errors import OcelogError
from .plan import Plan
from .rows import ABSENT, FOREIGN, NEVER, NOTHING, REMOVED, Values, first_number

Record = Callable[[int, int, int, int, int], None]
Operate = Callable[[], Awaitable[None]]
Clock = Callable[[], int]
"""When the operation that begins now counts as begun; asked before anything is awaited."""

REMOVES = 0.1
"""Part of an overwrite load that removes its key."""

_clock = time.perf_counter_ns
# On Linux perf_counter is CLOCK_MONOTONIC, one clock for all processes of the machine: rows of several compare.


class Workload(Protocol):
    """One kind of load."""

    def __init__(self, plan: Plan, record: Record, began: Clock = _clock) -> None: ...

    def bind(self, client: Any) -> Operate:
        """The operation on one client: takes nothing, records one row."""


class _MapWorkload:
    """Keys, values and the two operations of the map workloads; key k lives in map k modulo their number."""

    def __init__(self, plan: Plan, record: Record, began: Clock = _clock) -> None:
        self.plan = plan
        self.record = record
        self.began = began
        self.values = Values(plan.value_bytes)
        self.keys = plan.key_names()
        self.numbers = count(first_number(plan.source))
        self.random = random.Random(plan.seed + plan.source).random
        self.indexes = count()

    def maps(self, client: Any) -> list[Any]:
        """The maps that hold the keys."""
        return [client.map(name) for name in self.plan.names]

    def any_key(self) -> int:
        """An index drawn uniformly from the run's keys."""
        return int(self.random() * len(self.keys))

    def putter(self, client: Any, choose: Callable[[], int]) -> Operate:
        """Put a value never used before under the chosen key."""
        maps = [handle.put for handle in self.maps(client)]
        keys, numbers, record, began, several = self.keys, self.numbers, self.record, self.began, len(maps)
        make, number_of = self.values.make, self.values.number_of

        async def put() -> None:
            key, number = choose(), next(numbers)
            started = began()
            try:
                previous = await maps[key % several](keys[key], make(number))
            except OcelogError as error:
                if not error.definite:
                    record(key, number, NOTHING, started, NEVER)
                raise
            finished = _clock()
            record(key, number, number_of(previous), started, finished)

        return put

    def remover(self, client: Any, choose: Callable[[], int]) -> Operate:
        """Remove the chosen key."""
        maps = [handle.remove for handle in self.maps(client)]
        keys, record, began, several = self.keys, self.record, self.began, len(maps)
        number_of = self.values.number_of

        async def remove() -> None:
            key = choose()
            started = began()
            try:
                taken = await maps[key % several](keys[key])
            except OcelogError as error:
                if not error.definite:
                    record(key, REMOVED, NOTHING, started, NEVER)
                raise
            finished = _clock()
            record(key, REMOVED, number_of(taken), started, finished)

        return remove

    def getter(self, client: Any, choose: Callable[[], int], consistency: str = "") -> Operate:
        """Get the chosen key, at this level or the client's own, which is linearizable."""
        handles = self.maps(client)
        if consistency:
            handles = [handle.with_consistency(queries=Consistency[consistency]) for handle in handles]
        maps = [handle.get for handle in handles]
        keys, record, began, several = self.keys, self.record, self.began, len(maps)
        number_of = self.values.number_of

        async def get() -> None:
            key = choose()
            started = began()
            value = await maps[key % several](keys[key])
            finished = _clock()
            record(key, NOTHING, number_of(value), started, finished)

        return get


class Put(_MapWorkload):
    """Puts of fresh values to random keys."""

    def bind(self, client: Any) -> Operate:
        return self.putter(client, self.any_key)


class Get(_MapWorkload):
    """Gets of random keys, at the plan's level of consistency."""

    def bind(self, client: Any) -> Operate:
        return self.getter(client, self.any_key, self.plan.consistency)


class Copycat(_MapWorkload):
    """Copycat's own performance test: half puts, half linearizable gets of random keys."""

    def bind(self, client: Any) -> Operate:
        put, get = self.putter(client, self.any_key), self.getter(client, self.any_key)
        draw = self.random

        def either() -> Awaitable[None]:
            return put() if draw() < 0.5 else get()

        return either


class Overwrite(_MapWorkload):
    """Puts of fresh values to few keys, now and then a remove: what a log must clean itself of."""

    def bind(self, client: Any) -> Operate:
        put, remove = self.putter(client, self.any_key), self.remover(client, self.any_key)
        draw = self.random

        def either() -> Awaitable[None]:
            return remove() if draw() < REMOVES else put()

        return either


class Fill(_MapWorkload):
    """One put to every key, so that gets find something."""

    def bind(self, client: Any) -> Operate:
        return self.putter(client, self.indexes.__next__)


class Cycle(_MapWorkload):
    """Puts to every key in turn, again and again, without a row: data for a measurement, not a history to check."""

    def bind(self, client: Any) -> Operate:
        maps = [handle.put for handle in self.maps(client)]
        keys, numbers, indexes, several, make = self.keys, self.numbers, self.indexes, len(maps), self.values.make

        async def put() -> None:
            key = next(indexes) % len(keys)
            await maps[key % several](keys[key], make(next(numbers)))

        return put


class ReadBack(_MapWorkload):
    """One get of every key, in order: the state that a run left."""

    def bind(self, client: Any) -> Operate:
        return self.getter(client, self.indexes.__next__)


class Partitioned(Put):
    """Puts of fresh values to random keys of one partitioned map."""

    def maps(self, client: Any) -> list[Any]:
        """The partitioned map, which has all keys."""
        return [client.partitioned_map(self.plan.names[0])]


class PartitionedReadBack(ReadBack):
    """One get of every key of the partitioned map."""

    maps = Partitioned.maps


class Counter:
    """Increments of random counters, one per key; the row holds the new value as `read`."""

    def __init__(self, plan: Plan, record: Record, began: Clock = _clock) -> None:
        self.plan = plan
        self.record = record
        self.began = began
        self.random = random.Random(plan.seed + plan.source).random

    def bind(self, client: Any) -> Operate:
        increments = [client.counter(name).increment for name in self.plan.names]
        draw, record, began, several = self.random, self.record, self.began, len(increments)

        async def increment() -> None:
            key = int(draw() * several)
            started = began()
            try:
                value = await increments[key]()
            except OcelogError as error:
                if not error.definite:
                    record(key, 1, NOTHING, started, NEVER)
                raise
            finished = _clock()
            record(key, 1, _whole(value), started, finished)

        return increment


class CounterReadBack:
    """One get of every counter; 0 counts as absent."""

    def __init__(self, plan: Plan, record: Record, began: Clock = _clock) -> None:
        self.plan = plan
        self.record = record
        self.began = began
        self.indexes = count()

    def bind(self, client: Any) -> Operate:
        gets = [client.counter(name).get for name in self.plan.names]
        record, began, indexes = self.record, self.began, self.indexes

        async def get() -> None:
            key = next(indexes)
            started = began()
            value = await gets[key]()
            finished = _clock()
            record(key, NOTHING, _whole(value), started, finished)

        return get


def _whole(value: object) -> int:
    """A counter's value as a row may hold it; anything but a count is FOREIGN."""
    if value is None:
        return ABSENT
    return value if type(value) is int and value >= 0 else FOREIGN


WORKLOADS: dict[str, type[Workload]] = {
    "put": Put,
    "get": Get,
    "copycat": Copycat,
    "overwrite": Overwrite,
    "partitioned": Partitioned,
    "counter": Counter,
    "fill": Fill,
    "cycle": Cycle,
    "read_back": ReadBack,
    "partitioned_read_back": PartitionedReadBack,
    "counter_read_back": CounterReadBack,
}
"""By name: what a user may ask for, and behind it what prepares a run and reads it back."""
