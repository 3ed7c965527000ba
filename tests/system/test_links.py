"""Connections between replicas that are cut in one direction or both, or slow: no lost write, and a leader again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import ocelog
import pytest
from ocelog.bench.hosts import Network, NoHosts
from ocelog.bench.links import LinkedCluster

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=["links", "hosts"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LinkedCluster]:
    """On one host over links that forward bytes; and on three, over a network that loses packets."""
    links = network() if request.param == "hosts" else None
    with LinkedCluster(shards=1, replicas=3, links=links, raft={"tick_ms": 20}) as cluster:
        yield cluster


def network() -> Network:
    try:
        return Network(3)
    except NoHosts as error:
        pytest.skip(str(error))


@pytest.fixture
def client(cluster: LinkedCluster) -> Iterator[ocelog.Client]:
    cluster.links.heal()
    with ocelog.connect(cluster.endpoints, timeout=WAIT_S_MAX) as client:
        client.counter("beginning").increment()
        eventually(lambda: level(cluster), "all three to hear from each other")
        yield client
    cluster.links.heal()


def level(cluster: LinkedCluster) -> bool:
    """Whether all have applied the same: a network that was healed just now carries nothing until somebody repeats it."""
    return len({row["applied_index"] for row in cluster.status()["shards"][0]["replicas"]}) == 1


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.02)


def others(leader: int) -> list[int]:
    return [member for member in range(3) if member != leader]


def new_leader(cluster: LinkedCluster, old: int) -> int:
    """The leader of the highest term, once it is not the old one."""
    eventually(lambda: cluster.leader(0) != old, "another leader")
    return cluster.leader(0)


@pytest.mark.parametrize("directions", [{}, {"hears": True}, {"is_heard": True}])
def test_a_leader_that_is_cut_off_is_replaced_and_nothing_is_lost(cluster, client, directions) -> None:
    """In both directions, hearing all and heard by nobody, and heard by all and hearing nobody."""
    hits = client.counter("hits")
    before = hits.increment()
    old = cluster.leader(0)
    cluster.links.isolate(0, old, **directions)
    assert hits.increment() == before + 1
    assert new_leader(cluster, old) in others(old)
    assert hits.get() == before + 1
    cluster.links.heal()
    assert hits.increment() == before + 2
    eventually(lambda: cluster.status()["healthy"], "all three to agree again")
    assert hits.get() == before + 2


def test_a_follower_that_is_cut_off_costs_nothing_and_catches_up(cluster, client) -> None:
    leader = cluster.leader(0)
    follower = others(leader)[0]
    term = cluster.status()["shards"][0]["term"]
    cluster.links.isolate(0, follower)
    for number in range(50):
        client.map("m").put(number, number)
    said = f"degraded: replica {follower} of shard 0 is up, but its leader does not hear it"
    eventually(lambda: cluster.status()["verdict"] == said, "the status to say so")
    cluster.links.heal()
    eventually(lambda: cluster.status()["healthy"], "the follower to catch up")
    status = cluster.status()["shards"][0]
    assert (status["leader"], status["term"]) == (leader, term), "a member that was cut off disturbs nobody"


def test_a_ring_in_which_each_hears_one_neighbour_only_does_not_lose_a_write(cluster, client) -> None:
    """0 to 1 to 2 to 0 are cut: everybody hears somebody, no two hear each other, and nothing can be committed."""
    written = client.counter("ring").increment()
    for sender in range(3):
        cluster.links.cut(0, sender, (sender + 1) % 3)
    with pytest.raises((ocelog.DeadlineExceeded, ocelog.OutcomeUnknown)):
        for _ in range(100):
            written = client.counter("ring").increment(timeout=2)
    cluster.links.heal()
    assert client.counter("ring").get() in (written, written + 1)


def test_slow_and_flapping_links_only_take_time(cluster, client) -> None:
    leader = cluster.leader(0)
    if reason := getattr(cluster.links, "lacks", {}).get("slow"):
        pytest.skip(reason)
    for other in others(leader):
        cluster.links.slow(0, leader, other, 0.05)
    total = client.counter("slow").increment()
    for round_number in range(6):
        link = (leader, others(leader)[round_number % 2])
        cluster.links.break_off(0, *link)
        total += 1
        assert client.counter("slow").increment() == total
        cluster.links.heal()
    eventually(lambda: cluster.status()["healthy"], "all three to agree again")
    assert client.counter("slow").get() == total
