"""Hosts in network namespaces: what is made for them is gone with them, and what can be done to them is done."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import ocelog
import pytest
from ocelog.bench.hosts import Network, NoHosts
from ocelog.bench.links import LinkedCluster

from .test_links import eventually, level

pytestmark = pytest.mark.system


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        made = Network(3)
    except NoHosts as error:
        pytest.skip(str(error))
    yield made
    made.stop()


def test_nothing_is_left_of_hosts_that_were_stopped(network: Network) -> None:
    before = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    pids = [host.pid for host in network._made]
    assert len(pids) == 4
    network.stop()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout == before


def test_replicas_on_hosts_speak_over_their_network_alone(network: Network) -> None:
    with LinkedCluster(links=network, shards=1, replicas=3) as cluster, ocelog.connect(cluster.endpoints) as client:
        hits = client.counter("hits")
        hits.increment()
        for number in range(3):
            listed = network._hosts[number].command("cat", "/proc/net/tcp")
            table = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
            established = [line for line in table.splitlines() if line.split()[3:4] == ["01"]]
            assert len(established) >= 4, "to each of the others and back"
        follower = (cluster.leader(0) + 1) % 3
        network.unplug(follower)
        cluster.kill(0, follower)
        for _ in range(20):
            hits.increment()
        cluster.restart(0, follower)
        network.heal()
        eventually(lambda: level(cluster), "the host that was unplugged to be level")
        assert hits.get() == 21


def test_a_lossy_network_costs_time_and_nothing_else(network: Network) -> None:
    if "loss" in network.lacks:
        pytest.skip(network.lacks["loss"])
    with LinkedCluster(links=network, shards=1, replicas=3) as cluster, ocelog.connect(cluster.endpoints) as client:
        hits = client.counter("hits")
        for number in range(3):
            network.lose(number, 20)
        for total in range(1, 41):
            assert hits.increment() == total
        network.heal()
        eventually(lambda: level(cluster), "all three to be level")


def test_a_network_that_was_away_for_long_is_used_as_soon_as_it_is_back(network: Network) -> None:
    """TCP alone would repeat what was lost after 6.3 s and 12.7 s."""
    with LinkedCluster(links=network, shards=1, replicas=3) as cluster, ocelog.connect(cluster.endpoints) as client:
        client.counter("hits").increment()
        network.isolate(0, (cluster.leader(0) + 1) % 3)
        client.counter("hits").increment()
        time.sleep(7.5)
        assert not level(cluster)
        network.heal()
        healed = time.monotonic()
        eventually(lambda: level(cluster), "the host that was cut off to be level")
        assert time.monotonic() - healed < 4
