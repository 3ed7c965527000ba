"""`LocalCluster` and the pytest fixture, with real processes."""

import os
import time
from collections.abc import Callable, Iterator

import ocelog
import pytest
from ocelog.cluster import LocalCluster
from ocelog.cluster.errors import ConfigError

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3) as cluster:
        yield cluster


def test_a_killed_leader_is_replaced_and_comes_back(cluster):
    with ocelog.connect(cluster.endpoints) as client:
        numbers = client.counter("numbers")
        numbers.set(1)
        leader = cluster.leader(0)
        cluster.kill(0, leader)
        assert numbers.increment() == 2
        eventually(lambda: cluster.leader(0) != leader, "another leader")
        assert cluster.status()["verdict"] == "degraded: shard 0 has lost 1 of 3 replicas, can lose 0 more"
        assert cluster.pid(0, leader) is None
        cluster.restart(0, leader)
        eventually(lambda: cluster.status()["healthy"], "the replica to be back")
        assert numbers.get() == 2


def test_a_paused_leader_is_replaced_and_follows_when_resumed(cluster):
    with ocelog.connect(cluster.endpoints) as client:
        client.map("m").put("k", "before")
        leader = cluster.leader(0)
        cluster.pause(0, leader)
        assert client.map("m").put("k", "after") == "before"
        cluster.resume(0, leader)
        eventually(lambda: cluster.status()["shards"][0]["replicas"][leader]["role"] == "follower", "it to follow")
        assert client.map("m").get("k") == "after"


def test_only_a_replica_that_is_down_is_wiped_and_nothing_but_its_own_files_go():
    with LocalCluster(shards=1, replicas=3) as cluster:
        directory = cluster.directory(0, 2)
        assert (directory / "manifest").is_file()
        with pytest.raises(ValueError, match=f"runs as process {cluster.pid(0, 2)}: kill it"):
            cluster.wipe(0, 2)
        cluster.kill(0, 2)
        cluster.wipe(0, 2)
        assert not directory.exists()
        assert cluster.directory(0, 1).is_dir()
        with ocelog.connect(cluster.endpoints) as client:
            client.map("m").put("k", 1)


def test_the_temporary_directory_goes_and_a_given_one_stays(tmp_path):
    with LocalCluster(shards=1, replicas=1) as cluster:
        temporary = cluster.data
        assert temporary.is_dir()
    assert not temporary.exists()
    with (
        LocalCluster(shards=1, replicas=1, data=tmp_path / "mine") as cluster,
        ocelog.connect(cluster.endpoints) as client,
    ):
        client.map("m").put("k", 1)
    with (
        LocalCluster(shards=1, replicas=1, data=tmp_path / "mine") as cluster,
        ocelog.connect(cluster.endpoints) as client,
    ):
        assert client.map("m").get("k") == 1


def test_every_process_stops_when_asked(tmp_path, caplog):
    for _ in range(3):
        with LocalCluster(shards=2, replicas=3, data=tmp_path):
            pass
    assert "stop" not in caplog.text


def test_settings_are_checked_and_reach_the_processes(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown setting raft\.tick"):
        LocalCluster(raft={"tick": 5})
    settings = {"limits": {"operation_bytes_max": 4096}, "log": {"segment_bytes_max": 65536}}
    with LocalCluster(shards=1, replicas=1, data=tmp_path, **settings) as cluster:
        with ocelog.connect(cluster.endpoints) as client, pytest.raises(ocelog.OcelogError, match="4096"):
            client.map("m").put("k", b"x" * 5000)
        sizes = [path.stat().st_size for path in (tmp_path / "shard-0").rglob("*") if path.is_file()]
        assert max(sizes) <= 65536


def test_several_routers_serve_the_same_data():
    with LocalCluster(shards=1, replicas=1, routers=2) as cluster:
        first, second = cluster.endpoints
        with ocelog.connect(first) as one, ocelog.connect(second) as other:
            one.map("m").put("k", 1)
            assert other.map("m").get("k") == 1


def test_one_router_is_killed_and_restarted_by_its_number():
    with LocalCluster(shards=1, replicas=1, routers=2) as cluster:
        first = cluster.router_pid(1)
        cluster.kill_router(1)
        assert cluster.router_pid(1) is None
        with ocelog.connect(cluster.endpoints) as client:
            client.map("m").put("k", 1)
            cluster.restart_router(1)
            assert cluster.router_pid(1) not in (None, first)
            cluster.restart_router(0)  # while it is up, and in use
            assert client.map("m").get("k") == 1
        with pytest.raises(ValueError, match="there is no router 2"):
            cluster.pause_router(2)


@pytest.mark.ocelog_cluster(shards=1, replicas=1, routers=2)
def test_the_fixture_is_a_running_cluster(ocelog_cluster):
    assert [len(shard["replicas"]) for shard in ocelog_cluster.status()["shards"]] == [1]
    assert len(ocelog_cluster.endpoints) == 2
    assert ocelog_cluster.pid(0, 0) != os.getpid()
