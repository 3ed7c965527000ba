"""Ids, barriers and latches while their leader is killed again and again: each keeps its own rule.

One run for all tests: three clients use all of them on one cluster of three replicas, the leader is killed a few times, and
what each call was told, and when, is written down. Each test looks at one resource's part of that history.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, NamedTuple

import ocelog
import pytest
from ocelog.client.protocol.errors import DeadlineExceeded, EventsPending, OutcomeUnknown
from ocelog.cluster import LocalCluster

KILLS = 2
PARTIES = 3
TIMEOUT = 30.0
BROKEN = "broken"

pytestmark = pytest.mark.system


class Record(NamedTuple):
    """One call: whose, when it began and ended, and what it was told (None: it gave up)."""

    who: int
    began: float
    ended: float
    told: Any


class Histories:
    """What happened to each resource."""

    def __init__(self) -> None:
        self.ids: list[Record] = []
        self.passes: list[Record] = []
        self.broken = 0
        self.counted: dict[int, list[Record]] = {}
        self.opened: dict[int, list[Record]] = {}


@contextlib.asynccontextmanager
async def three_clients(cluster: LocalCluster) -> AsyncIterator[list[ocelog.AsyncClient]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ocelog.connect_async(cluster.endpoints, timeout=TIMEOUT))
            for _ in range(PARTIES)
        ]


async def kill_leaders(cluster: LocalCluster) -> None:
    """Kill the leader, let the clients go on with another one, bring it back; several times."""
    for _ in range(KILLS):
        leader = await asyncio.to_thread(cluster.leader, 0)
        await asyncio.to_thread(cluster.kill, 0, leader)
        await asyncio.sleep(0.8)
        await asyncio.to_thread(cluster.restart, 0, leader)
        await asyncio.to_thread(cluster.leader, 0)
        await asyncio.sleep(0.4)


async def take_ids(client: ocelog.AsyncClient, who: int, histories: Histories) -> None:
    """Ids in blocks of a few, so that many are reserved, by calls of little patience."""
    ids, drawn = client.id_generator("ids", block=1 if who == 0 else 5), random.Random(who)
    while True:
        began = monotonic()
        try:
            told = await ids.next_id(timeout=drawn.choice((0.01, 0.1, TIMEOUT)))
        except (DeadlineExceeded, OutcomeUnknown, EventsPending):  # the last: reserved, and told too late
            told = None
        histories.ids.append(Record(who, began, monotonic(), told))
        await asyncio.sleep(0.001 * drawn.randrange(3))


async def pass_barrier(client: ocelog.AsyncClient, who: int, histories: Histories) -> None:
    """Pass again and again, now and then giving up; whoever finds it broken resets it and begins again."""
    barrier, drawn = client.barrier("step"), random.Random(who)
    while True:
        await asyncio.sleep(0.001 * drawn.randrange(5))
        began = monotonic()
        passing = asyncio.create_task(barrier.wait(PARTIES, timeout=TIMEOUT))
        told = None
        try:
            if who == 0 and drawn.random() < 0.1:
                await asyncio.wait((passing,), timeout=0.002)
                passing.cancel()
            told = await passing
        except ocelog.BrokenBarrier as broken:
            histories.broken += 1
            told = BROKEN
            await barrier.reset(broken.generation)
            continue
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():
                raise
        finally:
            passing.cancel()
            histories.passes.append(Record(who, began, monotonic(), told))


async def use_latches(client: ocelog.AsyncClient, who: int, histories: Histories) -> None:
    """One latch after the other: all set it, all count it down once, and all wait for it."""
    drawn, number = random.Random(who), 0
    while True:
        number += 1
        latch = client.latch(f"latch {number}")
        await latch.set_count(PARTIES)

        async def count_down(latch=latch, number=number) -> None:
            await asyncio.sleep(0.001 * drawn.randrange(10))
            began = monotonic()
            left = await latch.count_down()
            histories.counted.setdefault(number, []).append(Record(who, began, monotonic(), left))

        counting = asyncio.create_task(count_down())
        began = monotonic()
        await latch.wait(timeout=TIMEOUT)
        histories.opened.setdefault(number, []).append(Record(who, began, monotonic(), True))
        await counting


async def scenario(cluster: LocalCluster, histories: Histories) -> None:
    async with three_clients(cluster) as clients:
        users = [
            asyncio.create_task(use(client, who, histories))
            for use in (take_ids, take_ids, pass_barrier, use_latches)
            for who, client in enumerate(clients)
        ]
        killing = asyncio.create_task(kill_leaders(cluster))
        done, _ = await asyncio.wait((killing, *users), return_when=asyncio.FIRST_COMPLETED)
        for task in users:
            task.cancel()
        await asyncio.wait(users)
        assert done == {killing}, [task.exception() for task in done]
        await killing


@pytest.fixture(scope="module")
def histories() -> Histories:
    found = Histories()
    with LocalCluster(shards=1, replicas=3) as cluster:
        asyncio.run(scenario(cluster, found))
    return found


def test_no_id_comes_twice_and_those_of_a_client_grow(histories):
    """Also when nobody knows what became of a reservation, and over several tasks of one client."""
    told = [record.told for record in histories.ids if record.told is not None]
    assert len(told) > 200
    assert len(set(told)) == len(told)
    for who in range(PARTIES):
        highest = 0
        events = [event for record in histories.ids if record.who == who and record.told for event in moments(record)]
        began: dict[int, int] = {}
        for _, ends, number in sorted(events):
            if ends:
                assert number > began.pop(number), "lower than one that was given before the call began"
                highest = max(highest, number)
            else:
                began[number] = highest


def moments(record: Record) -> list[tuple[float, bool, int]]:
    """When the call began, and when it ended with its id."""
    return [(record.began, False, record.told), (record.ended, True, record.told)]


def test_the_barrier_never_lets_fewer_than_all_through(histories):
    """Whoever passed did so after all calls of its generation had begun; none is passed by more."""
    generations: dict[int, list[Record]] = {}
    for record in histories.passes:
        if record.told not in (None, BROKEN):
            generations.setdefault(record.told.generation, []).append(record)
    assert len(generations) > 20
    calls = [[record for record in histories.passes if record.who == who] for who in range(PARTIES)]
    for records in generations.values():
        arrivals = [record.told.arrival for record in records]
        assert len(set(arrivals)) == len(records) and set(arrivals) <= set(range(PARTIES))
        first = min(record.ended for record in records)
        assert all(record.began <= first for record in records)
        last = max(record.began for record in records)
        for who in set(range(PARTIES)) - {record.who for record in records}:
            # It gave up while it passed, so it does not know: its call had begun, and its next one ended later.
            assert any(
                record.told is None and record.began <= first and (following is None or following.ended >= last)
                for record, following in zip(calls[who], [*calls[who][1:], None], strict=True)
            )


def test_giving_up_broke_the_barrier_for_the_others(histories):
    assert histories.broken > 0


def test_the_latch_never_opens_early(histories):
    """Whoever came through did so after the last count down had begun, and each counted once."""
    whole = [number for number, records in histories.counted.items() if len(records) == PARTIES]
    assert len(whole) > 10
    for number in whole:
        counted = histories.counted[number]
        assert sorted(record.told for record in counted) == list(range(PARTIES))
        last = max(record.began for record in counted)
        assert all(record.ended >= last for record in histories.opened.get(number, ()))
