"""What is left behind of thousands of resources that were created, used and deleted: in the logs, in memory, in the client.

    python -m ocelog.bench.leftovers --resources 10000
    python -m ocelog.bench.leftovers --resources 300 --replicas 1

A cluster of one shard. Resources of every type that a shard knows are opened, given every command that they have, and
deleted, by clients that listen and wait at them: a tenth of them first, so that everything has grown to its size, then all.
Both times the logs are compacted (major), and then it is looked: at live entries, live bytes, the size of the log and the
memory of each replica, and at the memory of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..client.aio import AsyncClient, connect_async
from ..client.protocol.admin import COMPACT, AdminRequest
from ..client.protocol.errors import OcelogError
from ..cluster.maintenance import DONE, carry_out
from ..shard.machines.base import Operation, StateMachine
from ..shard.machines.registry import registry
from .events import memory_of
from .filled import NotDone
from .report import Rows, show

AT_ONCE = 32
"""Resources in use at one time."""

COMPACT_SECONDS = 60.0
SETTLE_SECONDS = 30.0
CALL_SECONDS = 30.0

BYTES_ALLOWED = 4096
"""By so much what lives, or a snapshot, may have grown: numbers are longer."""

MEMORY_ALLOWED = 128
"""By so many bytes for each resource that is gone a process may have grown, beside what `SLACK` allows."""

SLACK = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What there was at one moment: the most of all replicas, and the memory of this process. Sizes in bytes."""

    live_entries: int
    live_bytes: int
    log_bytes: int
    waiting_events: int
    memory: int
    client_memory: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftovers:
    """What a run found `before` and `after` so many resources, in how many seconds; `segment_bytes` is a segment's size."""

    resources: int
    types: int
    commands: int
    refused: int
    seconds: float
    segment_bytes: int
    left: int
    before: Found
    after: Found

    @property
    def wrong(self) -> list[str]:
        """What was left behind, in words."""
        before, after = self.before, self.after
        memory = SLACK + MEMORY_ALLOWED * self.resources
        bounds = (
            ("live entries", before.live_entries, after.live_entries, 0),
            ("live bytes", before.live_bytes, after.live_bytes, BYTES_ALLOWED),
            ("bytes of the log", before.log_bytes, after.log_bytes, 2 * self.segment_bytes),
            ("events that wait", before.waiting_events, after.waiting_events, 0),
            ("bytes of a replica", before.memory, after.memory, memory),
            ("bytes of the client", before.client_memory, after.client_memory, memory),
        )
        said = [f"{name} grew from {was:,} to {now:,}" for name, was, now, more in bounds if now > was + more]
        return said + [f"{self.left} resources are still there"] * bool(self.left)


def calls_of(machine: type[StateMachine], numbers: Iterator[int]) -> list[tuple[Any, ...]]:
    """Every command of a machine with arguments that fit, the first few once more, so that there is something to delete."""
    commands = [operation for operation in machine.operations.values() if operation.mode is not None]
    return [(each.name, *_arguments(each, numbers)) for each in (*commands, *commands[:3])]


def _arguments(operation: Operation, numbers: Iterator[int]) -> Iterator[Any]:
    names = list(inspect.signature(operation.function).parameters)[2:]
    for name, kind in zip(names, operation.types, strict=False):
        if name == "number":
            yield next(numbers)  # of a request that may wait
        else:
            yield {bytes: b"\xa1a", str: "a", int: 1, bool: True}.get(kind) if kind is not None else None


class Lives:
    """The clients, and what they did: how many commands, and how many of these were refused."""

    def __init__(self, clients: Sequence[AsyncClient]) -> None:
        self.clients = clients
        self.commands = self.refused = 0
        self._numbers = itertools.count(1 << 32)  # the clients' own requests begin with 1
        self._names = itertools.count()

    async def live(self, count: int) -> None:
        """Create, use and delete so many resources, of all types in turn. Raises OcelogError when one cannot be deleted."""
        kinds = itertools.islice(itertools.cycle(registry().items()), count)
        queue = list(kinds)[::-1]

        async def work() -> None:
            while queue:
                await self._one(*queue.pop())

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _one(self, type_name: str, machine: type[StateMachine]) -> None:
        number = next(self._names)
        name, client = f"{type_name} {number}", self.clients[number % len(self.clients)]
        calls = calls_of(machine, self._numbers)
        done = await asyncio.gather(
            *(client.submit((name, type_name), *call) for call in calls), return_exceptions=True
        )
        self.commands += len(done)
        for error in done:
            if isinstance(error, OcelogError):
                self.refused += 1
            elif isinstance(error, BaseException):
                raise error
        await self._by_handle(client, type_name, name)
        await client.delete(name, timeout=CALL_SECONDS)

    async def _by_handle(self, client: AsyncClient, type_name: str, name: str) -> None:
        """What leaves something in the client too: listeners, requests, what has arrived, and reserved ids."""
        if type_name == "queue":
            queue = client.queue(name)
            await queue.clear()
            await queue.offer(1)
            await queue.take(timeout=0)
        elif type_name == "counter":
            await client.counter(name).set(0)
            await client.id_generator(name, block=10).next_id()
        elif type_name in ("map", "value", "topic"):
            handle: Any = getattr(client, type_name)(name)
            listen = handle.subscribe if type_name == "topic" else handle.on_change
            (await listen(_ignore)).close()


def _ignore(event: object) -> None:
    """Events matter to nobody here."""


async def find(cluster: Any, clients: Sequence[AsyncClient]) -> Found:
    """Compact, and look. Raises NotDone when a replica does not compact, or does not come to rest."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    while sum(row["events_waiting"] for row in _rows(await asyncio.to_thread(cluster.status))):
        if loop.time() > deadline:
            raise NotDone(f"events are still waiting after {SETTLE_SECONDS:g} s")
        await asyncio.sleep(0.2)
    for _ in range(2):  # what the first one seals, the second rewrites
        wanted = AdminRequest(COMPACT, True)
        for outcome in await asyncio.to_thread(carry_out, cluster.endpoints, wanted, None, COMPACT_SECONDS):
            if outcome.result != DONE:
                raise NotDone(f"replica {outcome.replica}: {outcome.result}: {outcome.reason}")
    gc.collect()
    rows = _rows(await asyncio.to_thread(cluster.status))
    return Found(
        live_entries=max(row["live_entries"] for row in rows),
        live_bytes=max(row["live_bytes"] for row in rows),
        log_bytes=max(row["log_bytes"] for row in rows),
        waiting_events=max(row["events_waiting"] for row in rows),
        memory=max(memory_of(row["pid"]) for row in rows),
        client_memory=memory_of(os.getpid()),
    )


def _rows(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [replica for shard in status["shards"] for replica in shard["replicas"]]


async def measure(cluster: Any, resources: int, segment_bytes: int) -> Leftovers:
    """See the module. Raises OcelogError and NotDone."""
    async with (
        connect_async(cluster.endpoints, timeout=CALL_SECONDS) as one,
        connect_async(cluster.endpoints, timeout=CALL_SECONDS) as two,
    ):
        lives = Lives((one, two))
        await lives.live(max(resources // 10, 2 * len(registry())))
        before = await find(cluster, lives.clients)
        began = time.monotonic()
        lives.commands = lives.refused = 0
        await lives.live(resources)
        seconds = time.monotonic() - began
        return Leftovers(
            resources=resources,
            types=len(registry()),
            commands=lives.commands,
            refused=lives.refused,
            seconds=seconds,
            segment_bytes=segment_bytes,
            left=len(await one.resources()),
            before=before,
            after=await find(cluster, lives.clients),
        )


def rows(found: Leftovers) -> Rows:
    """What the table says."""
    before, after = found.before, found.after

    def change(was: int, now: int) -> str:
        return f"{was:,} before, {now:,} after"

    return [
        ("load", f"{found.resources:,} resources of {found.types} types in {found.seconds:.1f} s"),
        ("commands", f"{found.commands:,}, of which {found.refused:,} were refused by their machines"),
        ("live entries", change(before.live_entries, after.live_entries)),
        ("live bytes", change(before.live_bytes, after.live_bytes)),
        ("log", change(before.log_bytes, after.log_bytes)),
        ("memory", f"{change(before.memory >> 10, after.memory >> 10)}, KiB of the largest replica"),
        ("client", f"{change(before.client_memory >> 10, after.client_memory >> 10)}, KiB of this process"),
        ("check", f"failed: {'; '.join(found.wrong)}" if found.wrong else "passed: nothing was left behind"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 when something was left behind."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(
        prog="python -m ocelog.bench.leftovers", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--resources", type=int, default=10_000, metavar="N", help="so many, over all types (10000)")
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="replicas of the shard (3)")
    parser.add_argument("--segment-bytes", type=int, default=4 << 20, metavar="N", help="size of a segment (4 MiB)")
    options = parser.parse_args(arguments)
    with LocalCluster(shards=1, replicas=options.replicas, log={"segment_bytes_max": options.segment_bytes}) as cluster:
        found = asyncio.run(measure(cluster, options.resources, options.segment_bytes))
    show(f"leftovers of {options.resources:,} resources", rows(found))
    return int(bool(found.wrong))


if __name__ == "__main__":
    sys.exit(main())
