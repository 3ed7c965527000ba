"""What the README promises, with real processes: nothing acknowledged is lost, nothing is done twice, every call ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import ocelog
import pytest
from ocelog.cluster import LocalCluster

pytestmark = pytest.mark.system

REPLICAS = 3


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=REPLICAS, log={"segment_bytes_max": 2 << 20}) as cluster:
        yield cluster


class Load:
    """Writers that note what was acknowledged, until told to stop; errors with an unknown outcome are counted."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.increments = 0
        self.unknown = 0
        self.stopping = False

    async def write(self, client: ocelog.AsyncClient, worker: int) -> None:
        entries, hits = client.map("entries"), client.counter("hits")
        number = 0
        while not self.stopping:
            number += 1
            key = f"{worker}-{number % 50}"
            try:
                await entries.put(key, number)
                self.acknowledged[key] = number
                await hits.increment()
                self.increments += 1
            except ocelog.OutcomeUnknown:
                self.unknown += 1
                self.acknowledged.pop(key, None)

    async def check(self, client: ocelog.AsyncClient) -> None:
        entries = client.map("entries")
        for key, number in self.acknowledged.items():
            found = await entries.get(key)
            assert found is not None and found >= number, f"{key}: {number} was acknowledged, {found} is there"
        hits = await client.counter("hits").get()
        assert self.increments <= hits <= self.increments + self.unknown


async def wait_for(condition: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.02)


def test_every_acknowledged_write_is_there_after_all_processes_were_killed(cluster: LocalCluster) -> None:
    load = Load()

    async def write_and_kill() -> None:
        async with ocelog.connect_async(cluster.endpoints, timeout=5) as client:
            workers = [asyncio.create_task(load.write(client, worker)) for worker in range(20)]
            await wait_for(lambda: load.increments > 3000)
            for replica in range(REPLICAS):
                await asyncio.to_thread(cluster.kill, 0, replica)
            load.stopping = True
            await asyncio.wait_for(asyncio.gather(*workers), 60)

    async def check() -> None:
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            await load.check(client)

    asyncio.run(write_and_kill())
    for replica in range(REPLICAS):
        cluster.restart(0, replica)
    asyncio.run(check())
    assert len(load.acknowledged) > 100


def test_writes_go_on_through_leader_kills_without_a_loss_or_a_repetition(cluster: LocalCluster) -> None:
    load = Load()

    async def run() -> None:
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            workers = [asyncio.create_task(load.write(client, worker)) for worker in range(20)]
            for _ in range(3):
                before = load.increments
                await wait_for(lambda goal=before + 500: load.increments > goal)
                leader = await asyncio.to_thread(cluster.leader, 0)
                await asyncio.to_thread(cluster.kill, 0, leader)
                before = load.increments
                await wait_for(lambda goal=before + 100: load.increments > goal)
                await asyncio.to_thread(cluster.restart, 0, leader)
            load.stopping = True
            await asyncio.wait_for(asyncio.gather(*workers), 60)
            await load.check(client)

    asyncio.run(run())
    assert load.unknown == 0


def test_without_a_majority_a_call_ends_at_its_deadline_and_later_calls_succeed(cluster: LocalCluster) -> None:
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        entries = client.map("entries")
        entries.put("k", 1)
        leader = cluster.leader(0)
        followers = [replica for replica in range(REPLICAS) if replica != leader]
        for follower in followers:
            cluster.kill(0, follower)
        with pytest.raises(ocelog.OutcomeUnknown, match="shard 0"):
            entries.put("k", 2, timeout=1.5)
        with pytest.raises(ocelog.DeadlineExceeded):
            entries.get("k", timeout=1.5)
        for follower in followers:
            cluster.restart(0, follower)
        assert entries.put("k", 3) in (1, 2)
        assert entries.get("k") == 3
