"""Queues: offers and polls in pairs, many in flight, and how long a take that waits takes to wake.

    python -m ocelog.bench.queues --seconds 5 --inflight 1000
    python -m ocelog.bench.queues --endpoints tcp://127.0.0.1:7400

Every coroutine offers an item and polls one, again and again. Items must be neither lost nor got twice; a run that finds
otherwise ends with an error. Without endpoints it starts a cluster of 3 replicas for itself, which syncs always.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from time import perf_counter

from ..client.aio import AsyncClient, connect_async
from ..cluster.local import LocalCluster

WAKES = 200
"""How often a take is woken."""


async def pairs(client: AsyncClient, name: str, inflight: int, seconds: float, size: int) -> float:
    """Offer and poll for so long; pairs per second. Raises AssertionError when an item is lost or got twice."""
    queue = client.queue(name)
    await queue.clear()
    started = perf_counter()
    end = started + seconds
    offered: set[bytes] = set()
    got: list[bytes] = []

    async def one(worker: int) -> None:
        number = 0
        while perf_counter() < end:
            item = (worker << 32 | number).to_bytes(8, "big").ljust(size, b".")
            number += 1
            offered.add(item)
            await queue.offer(item)
            polled = await queue.poll()
            assert polled is not None, "an item was lost: a poll behind an offer found nothing"
            got.append(polled)

    await asyncio.gather(*(one(worker) for worker in range(inflight)))
    elapsed = perf_counter() - started
    assert len(got) == len(offered) and set(got) == offered, "an item was lost or got twice"
    return len(got) / elapsed


async def wakes(consumer: AsyncClient, producer: AsyncClient, name: str) -> tuple[float, float]:
    """Medians in ms: from an offer to the take it wakes, and of the offer itself."""
    woken, offers = [], []
    for number in range(WAKES):
        take = asyncio.create_task(consumer.queue(name).take(timeout=30))
        await asyncio.sleep(0.01)
        started = perf_counter()
        await producer.queue(name).offer(number)
        offers.append(perf_counter() - started)
        assert await take == number
        woken.append(perf_counter() - started)
    return 1000 * sorted(woken)[WAKES // 2], 1000 * sorted(offers)[WAKES // 2]


async def _measure(endpoints: list[str], options: argparse.Namespace) -> None:
    async with connect_async(endpoints) as one, connect_async(endpoints) as other:
        await pairs(one, "bench", options.inflight, 1.0, options.size)
        for _ in range(options.runs):
            rate = await pairs(one, "bench", options.inflight, options.seconds, options.size)
            _say(f"{rate:,.0f} pairs/s, {options.inflight} in flight, items of {options.size} bytes")
        woken, offered = await wakes(other, one, "wakes")
        _say(
            f"a take is woken {woken:.2f} ms after the offer (median of {WAKES}); the offer itself takes {offered:.2f} ms"
        )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.queues", description=__doc__)
    parser.add_argument("--endpoints", help="of a cluster that runs; without, one is started")
    parser.add_argument("--inflight", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="bytes of an item, at least 8")
    options = parser.parse_args(arguments)
    if options.endpoints:
        asyncio.run(_measure(options.endpoints.split(","), options))
        return
    with LocalCluster(shards=1, replicas=3) as cluster:
        asyncio.run(_measure(cluster.endpoints, options))


if __name__ == "__main__":
    main()
