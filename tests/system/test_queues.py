"""Queues and task queues while their leader is killed again and again: what is lost, what comes twice, and in which order.

Each test runs clients of its own against one cluster of three replicas, kills the leader a few times, waits until all is
quiet, and looks at the history: what was offered, who got what, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.protocol.errors import OutcomeUnknown, SessionExpired
from ocelog.cluster import LocalCluster

KILLS = 3
TIMEOUT = 60.0

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3) as cluster:
        yield cluster


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A resource of this test's own."""
    return request.node.name


async def kill_leaders(cluster: LocalCluster) -> None:
    """Kill the leader, let the clients go on with another one, bring it back; several times."""
    for _ in range(KILLS):
        leader = await asyncio.to_thread(cluster.leader, 0)
        await asyncio.to_thread(cluster.kill, 0, leader)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(cluster.restart, 0, leader)
        await asyncio.to_thread(cluster.leader, 0)
        await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def clients(cluster: LocalCluster, count: int) -> AsyncIterator[list[ocelog.AsyncClient]]:
    """So many clients, with time enough for an election."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ocelog.connect_async(cluster.endpoints, timeout=TIMEOUT))
            for _ in range(count)
        ]


def test_a_queue_keeps_its_order_and_loses_nothing(cluster, name):
    """Producers offer, consumers take and now and then give up; every item comes once, each producer's in its order."""
    got: list[tuple[int, list[int]]] = []
    offered: Counter[int] = Counter()

    async def produce(client: ocelog.AsyncClient, producer: int, over: asyncio.Event) -> None:
        queue = client.queue(name)
        while not over.is_set():
            await queue.offer([producer, offered[producer]])
            offered[producer] += 1
            await asyncio.sleep(0.002)

    async def consume(client: ocelog.AsyncClient, consumer: int, over: asyncio.Event) -> None:
        queue, number = client.queue(name), 0
        while True:
            number += 1
            take = asyncio.create_task(queue.take(timeout=1.0))
            if number % 10 == consumer:
                await asyncio.sleep(0.001 * (number % 5))
                take.cancel()
            try:
                item = await take
            except asyncio.CancelledError:
                continue
            if item is not None:
                got.append((consumer, item))
            elif over.is_set():
                return

    async def scenario() -> None:
        over, drained = asyncio.Event(), asyncio.Event()
        async with clients(cluster, 4) as (one, two, three, four):
            producers = [asyncio.create_task(produce(client, number, over)) for number, client in enumerate((one, two))]
            consumers = [
                asyncio.create_task(consume(client, number, drained)) for number, client in enumerate((three, four))
            ]
            await kill_leaders(cluster)
            over.set()
            await asyncio.gather(*producers)
            drained.set()
            await asyncio.gather(*consumers)
            assert await one.queue(name).size() == 0

    asyncio.run(scenario())
    times = Counter(tuple(item) for _, item in got)
    assert sum(offered.values()) > 100
    assert times == Counter((producer, number) for producer, count in offered.items() for number in range(count))


def test_a_queue_read_by_one_consumer_is_in_the_order_of_its_producers(cluster, name):
    """Without anybody giving up, one consumer gets the items of each producer in the order in which they were offered."""
    got: list[list[int]] = []

    async def produce(client: ocelog.AsyncClient, producer: int, over: asyncio.Event) -> int:
        number = 0
        while not over.is_set():
            await client.queue(name).offer([producer, number])
            number += 1
        return number

    async def scenario() -> None:
        over = asyncio.Event()
        async with clients(cluster, 3) as (one, two, three):
            producers = [asyncio.create_task(produce(client, number, over)) for number, client in enumerate((one, two))]
            killing = asyncio.create_task(kill_leaders(cluster))
            while not killing.done():
                item = await three.queue(name).take(timeout=0.5)
                if item is not None:
                    got.append(item)
            over.set()
            counts = await asyncio.gather(*producers)
            while (item := await three.queue(name).take(timeout=1.0)) is not None:
                got.append(item)
            for producer, count in enumerate(counts):
                assert [number for who, number in got if who == producer] == list(range(count))
            await killing

    asyncio.run(scenario())


def test_no_task_is_lost_and_none_acknowledged_twice(cluster, name):
    """Workers acknowledge, give back, or vanish with what they have, and the leader is killed: each task is done."""
    submitted: list[int] = []
    acknowledged: Counter[int] = Counter()
    unknown: set[int] = set()

    async def work(client: ocelog.AsyncClient, over: asyncio.Event, careless: bool) -> None:
        number = 0
        while not over.is_set():
            with client_worker(client) as worker:
                while not over.is_set():
                    try:
                        task = await worker.next(0.5)
                    except ocelog.DeadlineExceeded:
                        continue
                    number += 1
                    if careless and number % 7 == 0:
                        break  # closes the worker with the task in its hands
                    if number % 11 == 0:
                        await task.give_back()
                        continue
                    try:
                        acknowledged[task.id] += await task.ack()
                    except OutcomeUnknown:
                        unknown.add(task.id)

    @contextlib.contextmanager
    def client_worker(client: ocelog.AsyncClient):
        worker = client.task_queue(name).subscribe(at_once=3)
        try:
            yield worker
        finally:
            worker.close()

    async def scenario() -> None:
        over = asyncio.Event()
        async with clients(cluster, 3) as (one, two, three):
            lost = await ocelog.connect_async(cluster.endpoints, timeout=TIMEOUT)
            idle = lost.task_queue(name).subscribe(at_once=5)  # takes five, and does nothing
            workers = [asyncio.create_task(work(client, over, client is two)) for client in (two, three)]
            killing = asyncio.create_task(kill_leaders(cluster))
            tasks = one.task_queue(name)
            while not killing.done():
                submitted.append(await tasks.submit(len(submitted)))
            await killing
            assert await idle.next(TIMEOUT)
            await lost.close()
            async with asyncio.timeout(TIMEOUT):
                while await tasks.size():
                    await asyncio.sleep(0.05)
            over.set()
            await asyncio.gather(*workers)
            stats = await tasks.stats()
            assert stats["acknowledged"] == len(submitted) and stats["failed"] == 0

    asyncio.run(scenario())
    assert len(submitted) > 50
    assert set(acknowledged) | unknown == set(submitted)
    assert max(acknowledged.values()) == 1
    assert {id for id, times in acknowledged.items() if not times} <= unknown


def test_who_waits_for_a_task_is_told_whatever_happens_to_the_leader(cluster, name):
    """Each submit_and_wait ends when its task was acknowledged, and not before."""
    done: list[int] = []

    async def scenario() -> None:
        async with clients(cluster, 2) as (one, two):
            worker = two.task_queue(name).subscribe(at_once=10, timeout=TIMEOUT)

            async def work() -> None:
                async for task in worker:
                    done.append(task.value)
                    assert await task.ack()

            working = asyncio.create_task(work())
            killing = asyncio.create_task(kill_leaders(cluster))
            number = 0
            while not killing.done():
                await asyncio.gather(*(one.task_queue(name).submit_and_wait(number + k) for k in range(10)))
                assert set(range(number, number + 10)) <= set(done)
                number += 10
            await killing
            worker.close()
            await working
            assert sorted(done) == list(range(number)), "no session was lost, so no task came twice"

    asyncio.run(scenario())


def test_a_worker_goes_on_after_its_session_was_lost(cluster, name):
    """What it had goes back and comes again; who lost a task cannot finish it; a take that waited ends with an error."""
    entered, leave = threading.Event(), threading.Event()

    def stand_still(event: object) -> None:
        entered.set()
        assert leave.wait(TIMEOUT)

    with (
        ocelog.connect(cluster.endpoints, timeout=TIMEOUT, session_timeout=1) as client,
        ocelog.connect(cluster.endpoints, timeout=TIMEOUT) as other,
        ThreadPoolExecutor() as pool,
    ):
        tasks = other.task_queue(name)
        ids = [tasks.submit(number) for number in range(3)]
        with client.task_queue(name).subscribe(at_once=2) as worker:
            first = worker.next(TIMEOUT)
            taking = pool.submit(client.queue(f"{name}/queue").take, timeout=math.inf)
            client.topic(f"{name}/topic").subscribe(stand_still)
            other.topic(f"{name}/topic").publish_and_wait("an event that is not handled ends the session")
            assert entered.is_set()
            assert tasks.stats()["under_way"] + tasks.stats()["pending"] == 3
            with pytest.raises(SessionExpired):
                taking.result(TIMEOUT)
            again = [worker.next(TIMEOUT), worker.next(TIMEOUT)]
            assert [(task.id, task.attempt) for task in again] == [(ids[0], 2), (ids[1], 2)]
            assert first.ack() is False
            assert [task.ack() for task in again] == [True, True]
            assert worker.next(TIMEOUT).ack()
            assert tasks.size() == 0
            leave.set()
        other.queue(f"{name}/queue").offer("for nobody that is gone")
        assert other.queue(f"{name}/queue").take() == "for nobody that is gone"
