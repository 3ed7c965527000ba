"""The load generator against a cluster in memory: bounds, rows, errors, and a whole run judged by the checker."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import numpy as np
import pytest
from ocelog.bench.benchmark import READ_BACKS
from ocelog.bench.checker.tally import check_counters, check_map
from ocelog.bench.history import History
from ocelog.bench.load import Generator
from ocelog.bench.plan import Plan
from ocelog.bench.rows import REMOVED
from ocelog.client.protocol.errors import DeadlineExceeded, OutcomeUnknown


class Memory:
    """A correct cluster without a network; `fault` may be told to misbehave before and after each write."""

    def __init__(self) -> None:
        self.data: dict[tuple[str, str], bytes] = {}
        self.counts: dict[str, int] = {}
        self.outstanding = self.most_outstanding = self.operations = 0
        self.before: Callable[[int], None] = lambda operation: None
        self.after: Callable[[int], None] = lambda operation: None

    def connect(self, plan: Plan) -> Any:
        @asynccontextmanager
        async def client() -> Any:
            yield self

        return client()

    def map(self, name: str) -> MemoryMap:
        return MemoryMap(self, name)

    partitioned_map = map

    def counter(self, name: str) -> MemoryCounter:
        return MemoryCounter(self, name)

    async def turn(self, effect: Callable[[], Any]) -> Any:
        operation = self.operations
        self.operations += 1
        self.outstanding += 1
        self.most_outstanding = max(self.most_outstanding, self.outstanding)
        try:
            await asyncio.sleep(0)
            self.before(operation)
            result = effect()
            self.after(operation)
            await asyncio.sleep(0)
            return result
        finally:
            self.outstanding -= 1


class MemoryMap:
    def __init__(self, memory: Memory, name: str) -> None:
        self.memory, self.name = memory, name

    async def put(self, key: str, value: bytes) -> bytes | None:
        def effect() -> bytes | None:
            previous = self.memory.data.get((self.name, key))
            self.memory.data[self.name, key] = value
            return previous

        return await self.memory.turn(effect)

    async def remove(self, key: str) -> bytes | None:
        return await self.memory.turn(lambda: self.memory.data.pop((self.name, key), None))

    async def get(self, key: str) -> bytes | None:
        return await self.memory.turn(lambda: self.memory.data.get((self.name, key)))


class MemoryCounter:
    def __init__(self, memory: Memory, name: str) -> None:
        self.memory, self.name = memory, name

    async def increment(self) -> int:
        def effect() -> int:
            self.memory.counts[self.name] = self.memory.counts.get(self.name, 0) + 1
            return self.memory.counts[self.name]

        return await self.memory.turn(effect)

    async def get(self) -> int:
        return await self.memory.turn(lambda: self.memory.counts.get(self.name, 0))


def plan(workload: str, **fields: Any) -> Plan:
    return Plan(workload=workload, endpoints=None, names=("bench-a", "bench-b"), **{"source": 1, "keys": 8, **fields})


def load(memory: Memory, of: Plan) -> tuple[History, dict[str, Any]]:
    """Run one generator in this process: its rows and its last message."""
    out = io.BytesIO()

    async def run() -> None:
        generator = Generator(of, out, memory.connect)
        generator.begin.set()
        await generator.run()

    asyncio.run(run())
    unpacker = msgpack.Unpacker()
    unpacker.feed(out.getvalue())
    messages = list(unpacker)
    assert messages[0] == {"ready": True}
    assert messages[-1]["done"] is True
    return History.from_blocks(message["rows"] for message in messages if "rows" in message), messages[-1]


@pytest.mark.parametrize("workload", ["put", "get", "copycat", "overwrite", "partitioned"])
def test_map_workloads_pass_their_own_check(workload: str) -> None:
    memory = Memory()
    rows, done = load(memory, plan(workload, operations=500, clients=2, inflight=4))
    final, _ = load(memory, plan(READ_BACKS.get(workload, "read_back"), operations=8))
    assert len(rows) == memory.operations - 8 == 500
    assert done["errors"] == {}
    assert memory.most_outstanding == 8
    assert check_map(rows, final).good


def test_fill_writes_every_key_once_and_keys_are_spread_over_the_maps() -> None:
    memory = Memory()
    rows, _ = load(memory, plan("fill", operations=8))
    assert sorted(rows.key) == list(range(8))
    assert sorted(name for name, _ in memory.data) == ["bench-a"] * 4 + ["bench-b"] * 4


def test_overwrite_puts_and_removes() -> None:
    rows, _ = load(Memory(), plan("overwrite", operations=500))
    removes = int((rows.wrote == REMOVED).sum())
    assert 10 < removes < 120
    assert int((rows.wrote >= 0).sum()) == 500 - removes


def test_cycle_puts_every_key_in_turn_and_keeps_no_rows() -> None:
    memory = Memory()
    rows, _ = load(memory, plan("cycle", operations=20))
    assert (len(rows), memory.operations, len(memory.data)) == (0, 20, 8)


def test_two_processes_write_different_values_to_the_same_keys() -> None:
    memory = Memory()
    first, _ = load(memory, plan("put", operations=50, source=1))
    second, _ = load(memory, plan("put", operations=50, source=2))
    assert not set(first.wrote) & set(second.wrote)
    assert len(memory.data) <= 8
    final, _ = load(memory, plan("read_back", operations=8))
    assert check_map(first.joined(second), final).good


def test_counters_pass_their_own_check() -> None:
    memory = Memory()
    rows, _ = load(memory, plan("counter", operations=300, inflight=16))
    final, _ = load(memory, plan("counter_read_back", operations=2))
    assert sum(memory.counts.values()) == 300
    assert check_counters(rows, final).good


def test_a_definite_error_leaves_no_row_and_an_unknown_outcome_does() -> None:
    def refuse(operation: int) -> None:
        if operation == 3:
            raise DeadlineExceeded("never sent")

    def forget(operation: int) -> None:
        if operation in (5, 9):
            raise OutcomeUnknown("the answer was lost")

    memory = Memory()
    memory.before, memory.after = refuse, forget
    rows, done = load(memory, plan("put", operations=40))
    assert done["errors"] == {"DeadlineExceeded": 1, "OutcomeUnknown": 2}
    assert done["first_error"] == "never sent"
    assert (len(rows), int(rows.acknowledged.sum())) == (39, 37)
    final, _ = load(memory, plan("read_back", operations=8))
    verdict = check_map(rows, final)
    assert verdict.good and verdict.unknown == 2


def test_a_write_that_the_cluster_forgets_is_found() -> None:
    memory = Memory()

    def forget_everything(operation: int) -> None:
        if operation == 199:
            memory.data.clear()

    memory.after = forget_everything
    rows, _ = load(memory, plan("put", operations=200))
    final, _ = load(memory, plan("read_back", operations=8))
    assert check_map(rows, final).lost == 8


def test_values_of_another_program_are_found() -> None:
    memory = Memory()
    rows, _ = load(memory, plan("put", operations=200))
    place = next(iter(memory.data))
    memory.data[place] = b"something else"
    final, _ = load(memory, plan("read_back", operations=8))
    verdict = check_map(rows, final)
    assert (verdict.impossible, verdict.lost) == (1, 1)


def test_it_stops_after_its_seconds() -> None:
    rows, _ = load(Memory(), plan("put", operations=10**9, seconds=0.05))
    assert 0 < len(rows) < 10**9


def test_with_a_rate_operations_begin_when_they_are_due_and_latency_counts_from_then() -> None:
    """Nothing is answered for a while: what was due meanwhile is late by as much as it waited."""
    memory, stall_ns = Memory(), 50_000_000

    def stall(operation: int) -> None:
        if operation == 20:
            time.sleep(stall_ns / 1e9)

    memory.before = stall
    rows, done = load(memory, plan("put", operations=200, rate=2000.0, inflight=4))
    assert (done["offered"], done["unserved"], len(rows)) == (200, 0, 200)
    intended = np.sort(rows.started)
    assert (np.diff(intended) == 500_000).all()
    late = rows.finished - rows.started
    assert int((late > stall_ns / 2).sum()) >= 40
    assert check_map(rows, load(memory, plan("read_back", operations=8))[0]).good


def test_what_nobody_got_to_in_time_is_told_as_unserved() -> None:
    memory = Memory()
    memory.before = lambda operation: time.sleep(0.002)
    rows, done = load(memory, plan("put", operations=10**6, seconds=0.2, rate=5000.0))
    assert done["unserved"] > 100
    assert len(rows) + done["unserved"] == done["offered"]
    assert done["offered"] <= 5000 * 0.2 * 2


def test_stopping_before_it_began_loads_nothing() -> None:
    out, memory = io.BytesIO(), Memory()

    async def run() -> None:
        generator = Generator(plan("put", operations=1000, seconds=1e-9), out, memory.connect)
        generator.stop()
        await generator.run()

    asyncio.run(run())
    assert memory.operations <= 1


def test_the_loop_tells_what_it_costs() -> None:
    _, done = load(Memory(), plan("copycat", operations=1000))
    assert done["harness_ns_per_operation"] > 0
    assert done["cpu_ns"] > 0
