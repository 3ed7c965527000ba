"""Members that divide a set while leaders are killed and members come and go: nothing is held twice, all in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import ocelog
import pytest
from ocelog.client.partitioning import PartitionerState
from ocelog.cluster import LocalCluster

WAIT_S_MAX = 60.0
ITEMS = list(range(12))

pytestmark = pytest.mark.system


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3, raft={"tick_ms": 20}) as cluster:
        yield cluster


class Ledger:
    """Who works on which item, as the members themselves say, and with which tokens they did."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: dict[int, str] = {}
        self.tokens: dict[int, list[int]] = {item: [] for item in ITEMS}
        self.complaints: list[str] = []

    def begin(self, member: str, items: list[int], token: int) -> None:
        with self.lock:
            for item in items:
                if item in self.holders:
                    self.complaints.append(f"{member} got {item}, which {self.holders[item]} has")
                if self.tokens[item] and token <= self.tokens[item][-1]:
                    self.complaints.append(f"{member} got {item} with {token} after {self.tokens[item][-1]}")
                self.holders[item] = member
                self.tokens[item].append(token)

    def end(self, items: list[int]) -> None:
        with self.lock:
            for item in items:
                del self.holders[item]


class Worker(threading.Thread):
    """One member with a client of its own, until it is told to stop."""

    def __init__(self, cluster: LocalCluster, ledger: Ledger, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.cluster = cluster
        self.ledger = ledger
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with (
                ocelog.connect(self.cluster.endpoints, timeout=WAIT_S_MAX) as client,
                client.set_partitioner("work", ITEMS, id=self.name) as mine,
            ):
                while not self.over.is_set():
                    allotment = mine.acquire(timeout=WAIT_S_MAX)
                    self.ledger.begin(self.name, allotment.items, allotment.token)
                    while mine.state is PartitionerState.ACQUIRED and not self.over.is_set():
                        time.sleep(0.005)
                    self.ledger.end(allotment.items)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self.over.set()
        self.join(WAIT_S_MAX)
        assert not self.is_alive()
        assert self.error is None, self.error


def test_no_item_is_held_twice_and_all_are_held_in_the_end(cluster: LocalCluster) -> None:
    ledger = Ledger()
    workers = {name: Worker(cluster, ledger, name) for name in ("ada", "bob", "eve")}
    eventually(lambda: len(ledger.holders) == len(ITEMS), "all items to be held")
    leader = cluster.leader(0)
    cluster.kill(0, leader)
    workers.pop("eve").stop()
    eventually(
        lambda: set(ledger.holders.values()) == {"ada", "bob"} and len(ledger.holders) == len(ITEMS), "two to share"
    )
    cluster.restart(0, leader)
    workers["zoe"] = Worker(cluster, ledger, "zoe")
    cluster.kill(0, cluster.leader(0))
    eventually(lambda: len(set(ledger.holders.values())) == 3 and len(ledger.holders) == len(ITEMS), "three to share")
    for worker in workers.values():
        worker.stop()
    assert ledger.complaints == []
    assert max(map(len, ledger.tokens.values())) >= 3


def eventually(condition, what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.01)
