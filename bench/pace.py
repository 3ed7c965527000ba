"""Offered load: operations are due at intended times, whether or not earlier ones have been answered.

What is late is not forgotten: it waits here, and its latency counts from when it was due (else a stalled cluster would
be measured by the few operations that it did not stall, "coordinated omission").
"""

from __future__ import annotations

import asyncio
import time

TURN_SECONDS = 0.001
"""How often what is due is handed out; it makes an operation late by this much at most."""


class Pace:
    """Hands out intended times (ns of the monotonic clock), `rate` a second, `operations` of them at most.

    `offered` counts those handed out and those still waiting.
    """

    def __init__(self, rate: float, operations: int) -> None:
        self.rate = rate
        self.operations = operations
        self.offered = 0
        self.unserved = 0
        self._due: asyncio.Queue[int | None] = asyncio.Queue()
        self._stopped = False

    async def run(self, takers: int) -> None:
        """Hand out until all is offered or `stop` is called; then every one of the `takers` is told that it is over."""
        began = time.perf_counter_ns()
        while not self._stopped and self.offered < self.operations:
            due = min(self.operations, 1 + int((time.perf_counter_ns() - began) * self.rate / 1e9))
            for number in range(self.offered, due):
                self._due.put_nowait(began + int(number * 1e9 / self.rate))
            self.offered = max(self.offered, due)
            await asyncio.sleep(TURN_SECONDS)
        if self._stopped:
            # Nobody got to these while there was time: the load was more than the cluster, or the clients, could bear.
            self.unserved = self._due.qsize()
            while not self._due.empty():
                self._due.get_nowait()
        for _ in range(takers):
            self._due.put_nowait(None)

    def stop(self) -> None:
        """Offer nothing more."""
        self._stopped = True

    async def take(self) -> int | None:
        """The intended time of the next operation, as soon as one is due; None when there are no more."""
        return await self._due.get()
