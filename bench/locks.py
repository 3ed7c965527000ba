"""Locks: uncontended pairs of lock and unlock, one client against puts, and how long a contended lock takes to change hands.

    python -m ocelog.bench.locks --seconds 5 --processes 4
    python -m ocelog.bench.locks --endpoints tcp://127.0.0.1:7400

Three measurements: 16 clients, each on a lock of its own, in a few processes as real ones would be; one client, whose pairs and
pairs of puts take turns, so that both meet the same noise; and two clients in processes of their own that take one lock in
turns, each making a put while the other waits. Tokens must grow with every grant; a run that finds otherwise ends with an error.
Without endpoints it starts a cluster of 3 replicas for itself, which syncs always.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from statistics import median
from time import monotonic

from ..client.aio import AsyncClient, connect_async
from ..cluster.local import LocalCluster

CLIENTS = 16

TURN_PAIRS = 20
"""Pairs, and as many pairs of puts, before the other one's turn."""

HOLD_SECONDS = 0.008
"""A lock that changes hands is held so long before and behind a put, by when the other client waits."""

START_SECONDS = 2.0
"""Processes begin together, so long after they are asked to."""

PAIRS_TARGET = 2500
PUTS_RATIO_TARGET = 1.5
HAND_OVER_RATIO_TARGET = 1.5

Held = tuple[int, float, float, float, float]
"""A grant's token; when it was asked for, had, and given back; how long a put took meanwhile. Seconds of the host's clock."""


async def pairs(client: AsyncClient, name: str, end: float) -> list[float]:
    """Lock and unlock until `end`; the seconds each pair took. Raises AssertionError when tokens do not grow."""
    lock, took, token = client.lock(name), [], 0
    while (started := monotonic()) < end:
        grant = await lock.lock(timeout=30)
        assert token < grant.token, f"token {grant.token} came behind {token}"
        token = grant.token
        assert await lock.unlock(grant)
        took.append(monotonic() - started)
    return took


async def _several(endpoints: list[str], names: Sequence[str], start: float, seconds: float) -> list[float]:
    clients = [await connect_async(endpoints) for _ in names]
    try:
        for client, name in zip(clients, names, strict=True):
            await client.lock(name).unlock(await client.lock(name).lock())
        await asyncio.sleep(start - monotonic())
        end = start + seconds
        found = await asyncio.gather(*(pairs(*one, end) for one in zip(clients, names, strict=True)))
        return [took for one in found for took in one]
    finally:
        for client in clients:
            await client.close()


async def against_puts(client: AsyncClient, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of each pair, and of each two puts one after the other, by one client that does both in turns."""
    lock, users = client.lock("bench-alone"), client.map("bench-puts")
    locked, put = [], []
    end = monotonic() + seconds
    while monotonic() < end:
        for _ in range(TURN_PAIRS):
            started = monotonic()
            await lock.unlock(await lock.lock())
            locked.append(monotonic() - started)
        for number in range(TURN_PAIRS):
            started = monotonic()
            await users.put("key", number)
            await users.put("key", -number)
            put.append(monotonic() - started)
    return locked, put


async def _in_turns(endpoints: list[str], start: float, seconds: float) -> list[Held]:
    found = []
    async with connect_async(endpoints) as client:
        lock, users = client.lock("bench-contended"), client.map("bench-puts")
        await lock.status()
        await users.put("key", 0)
        await asyncio.sleep(start - monotonic())
        while (asked := monotonic()) < start + seconds:
            grant = await lock.lock(timeout=30)
            had = monotonic()
            await asyncio.sleep(HOLD_SECONDS)
            putting = monotonic()
            await users.put("key", grant.token)
            put = monotonic() - putting
            await asyncio.sleep(HOLD_SECONDS)
            releasing = monotonic()
            assert await lock.unlock(grant)
            found.append((grant.token, asked, had, releasing, put))
    return found


def hand_overs(held: Sequence[Held]) -> list[float]:
    """Seconds from each release to the next grant, where that was waited for. Raises AssertionError when two held it at once."""
    found = []
    in_order = sorted(held)
    for before, after in pairwise(in_order):
        assert before[0] < after[0] and before[3] <= after[2], f"{after} was had before {before} was given back"
        if after[1] < before[3] - HOLD_SECONDS / 2:
            found.append(after[2] - before[3])
    return found


def several(endpoints: list[str], names: Sequence[str], start: float, seconds: float) -> list[float]:
    """In a process of its own: clients that take a lock each."""
    return asyncio.run(_several(endpoints, names, start, seconds))


def in_turns(endpoints: list[str], start: float, seconds: float) -> list[Held]:
    """In a process of its own: one of those that take a lock in turns."""
    return asyncio.run(_in_turns(endpoints, start, seconds))


def measure(endpoints: list[str], *, seconds: float, runs: int, processes: int) -> None:
    """Measure and print. Raises AssertionError when locks did not do what they are for."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=max(2, processes), mp_context=spawn) as pool:
        list(pool.map(str, range(max(2, processes))))
        for _ in range(runs):
            _say(_many(pool, endpoints, seconds, processes))
        _say(asyncio.run(_alone(endpoints, seconds)))
        _say(_contended(pool, endpoints, seconds))


def _many(pool: ProcessPoolExecutor, endpoints: list[str], seconds: float, processes: int) -> str:
    names = [f"bench-{number}" for number in range(CLIENTS)]
    start = monotonic() + START_SECONDS
    running = [pool.submit(several, endpoints, names[own::processes], start, seconds) for own in range(processes)]
    took = [pair for one in running for pair in one.result()]
    rate, middle = len(took) / seconds, 1000 * median(took)
    where = f"{CLIENTS} clients in {processes} processes"
    return f"{where}: {rate:,.0f} pairs/s, median {middle:.2f} ms (aim: at least {PAIRS_TARGET:,}/s)"


async def _alone(endpoints: list[str], seconds: float) -> str:
    async with connect_async(endpoints) as client:
        await against_puts(client, 0.5)
        locked, put = (1000 * median(took) for took in await against_puts(client, seconds))
    ratio = f"{locked / put:.2f} times (aim: below {PUTS_RATIO_TARGET})"
    return f"one client: a pair takes {locked:.2f} ms, two puts {put:.2f} ms, {ratio}"


def _contended(pool: ProcessPoolExecutor, endpoints: list[str], seconds: float) -> str:
    start = monotonic() + START_SECONDS
    running = [pool.submit(in_turns, endpoints, start, seconds) for _ in range(2)]
    found = [held for one in running for held in one.result()]
    passed = hand_overs(found)
    middle, put = 1000 * median(passed), 1000 * median(held[4] for held in found)
    ratio = f"{middle / put:.2f} times (aim: below {HAND_OVER_RATIO_TARGET})"
    return (
        f"two clients: {middle:.2f} ms from a release to the next grant (of {len(passed)}), a put {put:.2f} ms, {ratio}"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.locks", description=__doc__)
    parser.add_argument("--endpoints", help="of a cluster that runs; without, one is started")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--processes", type=int, default=4, help=f"that the {CLIENTS} clients are in")
    options = parser.parse_args(arguments)
    how = {"seconds": options.seconds, "runs": options.runs, "processes": options.processes}
    if options.endpoints:
        measure(options.endpoints.split(","), **how)
        return
    with LocalCluster(shards=1, replicas=3) as cluster:
        measure(cluster.endpoints, **how)


if __name__ == "__main__":
    main()
