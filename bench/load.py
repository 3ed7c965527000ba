"""A load process: clients of its own, so many operations in flight on each, and a row for every one done.

With a rate operations begin when they are due (see `pace`), else each as soon as the one before it is answered.

Started as `python -P -m ocelog.bench.load PLAN` by the harness. It writes msgpack maps to stdout: `ready`, then `rows`
several times a second, then `done` (or `failed`). It begins at the first byte on stdin and stops by itself after the
plan's operations or seconds, or when stdin ends, because then nobody is left to report to.

Invariants: no more than `clients * inflight` operations are outstanding; nothing is computed from a row here, so
that what this process costs is the client and the loop below. `harness_ns_per_operation` says what the loop costs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, BinaryIO

import msgpack

from ..client.protocol.errors import OcelogError
from .pace import Pace
from .plan import Plan
from .rows import ROW
from .workloads import WORKLOADS, Operate

SHIPMENT_SECONDS = 0.1
BACK_OFF_SECONDS = 0.02
CALIBRATED_OPERATIONS = 5_000

Connect = Callable[[Plan], Any]
"""Makes the asynchronous context manager of one client."""


def connect(plan: Plan) -> Any:
    """A client as an application makes it."""
    from ..client.aio import connect_async

    return connect_async(plan.endpoints, timeout=plan.timeout)


class Generator:
    """The load of one process. `begin` set starts it, `stop()` ends it early; `run` returns when all is told."""

    def __init__(self, plan: Plan, out: BinaryIO, connect: Connect = connect) -> None:
        self.plan = plan
        self.out = out
        self.connect = connect
        self.begin = asyncio.Event()
        self.remaining = 0
        self.pace = Pace(plan.rate, plan.operations) if plan.rate else None
        self.intended = 0
        self.rows = bytearray()
        self.errors: Counter[str] = Counter()
        self.first_error = ""

    async def run(self) -> None:
        """Connect, wait for `begin`, load, tell. Raises OcelogError when no client can be connected."""
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self.connect(self.plan)) for _ in range(self.plan.clients)]
            harness_ns = await self._calibrate()
            timing = {"began": lambda: self.intended} if self.pace is not None else {}
            workload = WORKLOADS[self.plan.workload](self.plan, self._record, **timing)
            operations = [workload.bind(client) for client in clients]
            gc.collect()
            gc.freeze()
            self._tell(ready=True)
            await self.begin.wait()
            cpu = time.process_time_ns()
            await self._load(operations)
            cpu = time.process_time_ns() - cpu
            self._tell(
                done=True,
                errors=dict(self.errors),
                first_error=self.first_error,
                cpu_ns=cpu,
                harness_ns_per_operation=harness_ns,
                offered=self.pace.offered if self.pace is not None else 0,
                unserved=self.pace.unserved if self.pace is not None else 0,
            )

    def stop(self) -> None:
        """Begin no further operation."""
        self.remaining = 0
        if self.pace is not None:
            self.pace.stop()
        self.begin.set()

    async def _load(self, operations: list[Operate]) -> None:
        self.remaining = self.plan.operations
        timer = asyncio.get_running_loop().call_later(self.plan.seconds, self.stop)
        shipping = asyncio.create_task(self._ship_regularly())
        work = self._work if self.pace is None else self._work_on_time
        workers = [work(operate) for operate in operations for _ in range(self.plan.inflight)]
        if self.pace is not None:
            workers.append(self.pace.run(len(workers)))
        try:
            await asyncio.gather(*workers)
        finally:
            timer.cancel()
            shipping.cancel()
            self._ship()

    async def _work(self, operate: Operate) -> None:
        while self.remaining > 0:
            self.remaining -= 1
            await self._attempt(operate)

    async def _work_on_time(self, operate: Operate) -> None:
        assert self.pace is not None
        while (intended := await self.pace.take()) is not None:
            self.intended = intended  # read before `operate` awaits anything, so by nobody else's operation
            await self._attempt(operate)

    async def _attempt(self, operate: Operate) -> None:
        try:
            await operate()
        except OcelogError as error:
            self.errors[type(error).__name__] += 1
            self.first_error = self.first_error or str(error)
            # A refusal can come back at once; without a pause an outage would become a busy loop.
            await asyncio.sleep(BACK_OFF_SECONDS)

    def _record(self, key: int, wrote: int, read: int, started: int, finished: int) -> None:
        self.rows += ROW.pack(key, wrote, read, started, finished)

    async def _ship_regularly(self) -> None:
        while True:
            await asyncio.sleep(SHIPMENT_SECONDS)
            self._ship()

    def _ship(self) -> None:
        if self.rows:
            rows, self.rows = self.rows, bytearray()
            self._tell(rows=bytes(rows))

    def _tell(self, **message: Any) -> None:
        self.out.write(msgpack.packb(message))
        self.out.flush()

    async def _calibrate(self) -> int:
        """CPU of the loop itself per operation (ns): the same code against a client that answers at once."""
        workload = WORKLOADS[self.plan.workload](self.plan, self._record)
        operate = workload.bind(_Nothing())
        self.remaining = min(CALIBRATED_OPERATIONS, self.plan.operations)
        operations = self.remaining
        cpu = time.process_time_ns()
        await self._work(operate)
        cpu = time.process_time_ns() - cpu
        self.rows = bytearray()
        return cpu // max(operations, 1)


class _Nothing:
    """A client, a map and a counter whose every operation answers at once."""

    def map(self, name: str) -> _Nothing:
        return self

    counter = partitioned_map = map

    def with_consistency(self, **levels: int) -> _Nothing:
        return self

    async def get(self, key: str = "") -> int | None:
        return None

    async def put(self, key: str, value: bytes) -> None:
        return None

    async def remove(self, key: str) -> None:
        return None

    async def increment(self) -> int:
        return 1


def _listen(generator: Generator) -> None:
    """Begin at the first byte on stdin, stop at its end."""
    stdin = sys.stdin.fileno()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if os.read(stdin, 64):
            generator.begin.set()
        else:
            loop.remove_reader(stdin)
            generator.stop()

    loop.add_reader(stdin, readable)


async def _main(plan: Plan, out: BinaryIO) -> None:
    generator = Generator(plan, out)
    _listen(generator)
    await generator.run()


def main(argument: str) -> int:
    """Run the plan given as JSON; 69 when no client can be connected."""
    out = sys.stdout.buffer
    try:
        asyncio.run(_main(Plan.from_json(argument), out))
    except OcelogError as error:
        out.write(msgpack.packb({"failed": str(error)}))
        out.flush()
        return os.EX_UNAVAILABLE
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
