"""The measurement of queues works, and finds out when an item is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import ocelog
import pytest
from ocelog.bench import queues
from ocelog.cluster import LocalCluster

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=1) as cluster:
        yield cluster


def test_it_measures(cluster, capsys, monkeypatch):
    monkeypatch.setattr(queues, "WAKES", 3)
    queues.main(["--endpoints", ",".join(cluster.endpoints), "--seconds", "0.2", "--runs", "1", "--inflight", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "pairs/s, 20 in flight" in lines[0] and "a take is woken" in lines[1]


def test_an_item_that_is_lost_is_noticed(cluster):
    async def scenario() -> None:
        async with ocelog.connect_async(cluster.endpoints) as client, ocelog.connect_async(cluster.endpoints) as thief:

            async def steal() -> None:
                while True:
                    await thief.queue("robbed").poll()

            stealing = asyncio.create_task(steal())
            with pytest.raises(AssertionError, match="lost"):
                await queues.pairs(client, "robbed", 5, 1.0, 8)
            stealing.cancel()

    asyncio.run(scenario())
