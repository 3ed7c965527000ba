"""The harness and real load processes without a cluster: how a process that cannot load is reported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
from ocelog.bench import harness
from ocelog.bench.benchmark import resource_names
from ocelog.bench.cpu import Meter
from ocelog.bench.faults import KillLeaders, StopFollowers
from ocelog.bench.plan import Plan, shares
from ocelog.client.protocol.routing import SlotTable
from ocelog.cluster.shardmap import equal_ranges


def plan(**fields: object) -> Plan:
    values = {"workload": "put", "endpoints": ("tcp://127.0.0.1:9",), "source": 1, "names": ("a",), "timeout": 0.3}
    return Plan(**{**values, **fields})  # type: ignore[arg-type]


def test_a_plan_survives_the_command_line() -> None:
    for endpoints in (None, ("tcp://127.0.0.1:7400", "tcp://127.0.0.1:7401")):
        original = plan(endpoints=endpoints, names=("a", "b"), seconds=1.5, keys=3)
        assert Plan.from_json(original.to_json()) == original


def test_keys_are_the_same_in_every_process_of_a_run_and_differ_between_runs() -> None:
    assert plan(keys=5, seed=7).key_names() == plan(keys=5, seed=7, source=2).key_names()
    assert not set(plan(keys=5, seed=7).key_names()) & set(plan(keys=5, seed=8).key_names())


@pytest.mark.parametrize("total,parts", [(10, 3), (3, 3), (0, 2), (100_000, 7)])
def test_shares_are_whole_and_even(total: int, parts: int) -> None:
    parts_of = shares(total, parts)
    assert sum(parts_of) == total
    assert max(parts_of) - min(parts_of) <= 1


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_every_shard_gets_a_map(shards: int) -> None:
    table = SlotTable(equal_ranges(shards))
    names = resource_names("bench-1", shards, None)
    assert [table.shard_of(name.encode()) for name in names] == list(range(shards))


def test_a_load_process_that_cannot_connect_is_told_with_its_reason() -> None:
    with pytest.raises(harness.LoadFailed, match=r"127\.0\.0\.1:9"):
        harness.run_phase([plan()])


def test_a_load_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(harness.LoadFailed, match="ended before the load began"):
        harness.run_phase([plan()])


def test_the_meter_counts_what_a_process_spends_and_keeps_what_an_ended_one_spent() -> None:
    code = "import sys, time\nsys.stdin.readline()\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        meter = Meter({"leader": [child.pid], "gone": [2**22 + os.getpid()]})
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        meter.sample()
        child.communicate(b"\n")
    meter.sample()
    assert meter.spent_ns().keys() == {"leader"}
    assert meter.spent_ns()["leader"] >= 50_000_000


class Shards:
    """Remembers what a schedule does to a cluster."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int, int]] = []

    def leader(self, shard: int) -> int:
        return shard + 1

    def kill(self, shard: int, replica: int) -> None:
        self.done.append(("kill", shard, replica))

    def restart(self, shard: int, replica: int) -> None:
        self.done.append(("restart", shard, replica))


def test_a_schedule_cut_short_still_restarts_what_it_killed() -> None:
    cluster = Shards()
    schedule = KillLeaders(cluster, 2, 0.0, restarted=lambda shard, replica: None)
    schedule.start()
    deadline = time.monotonic() + 10
    while len(cluster.done) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    faults = schedule.finish()
    assert cluster.done == [("kill", 0, 1), ("kill", 1, 2), ("restart", 0, 1), ("restart", 1, 2)]
    assert [(fault.shard, fault.replica) for fault in faults] == [(0, 1), (1, 2)]


class Followers(Shards):
    """Two shards of three whose followers need a look or two to be level again."""

    def __init__(self) -> None:
        super().__init__()
        self.applied = 0

    def status(self) -> dict[str, Any]:
        self.applied += 3000
        rows = [{"id": number, "commit_index": 9000, "applied_index": self.applied} for number in range(3)]
        return {"shards": [{"replicas": rows}, {"replicas": rows}]}


def test_a_follower_of_every_shard_is_taken_away_and_watched_when_it_is_back() -> None:
    cluster = Followers()
    schedule = StopFollowers(cluster, 2, 0.0, 0.02, restarted=lambda shard, replica: None)
    schedule.start()
    deadline = time.monotonic() + 10
    while len(cluster.done) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    faults = schedule.finish()
    assert cluster.done == [("kill", 0, 0), ("kill", 1, 0), ("restart", 0, 0), ("restart", 1, 0)]
    for fault in faults:
        assert fault.role == "follower"
        assert fault.killed_at_s < fault.restarted_at_s < fault.caught_up_at_s
    assert faults[0].restarted_at_s >= 0.02


def test_a_load_that_ends_before_the_kill_leaves_the_cluster_alone() -> None:
    cluster = Shards()
    schedule = KillLeaders(cluster, 1, 3600.0, restarted=lambda shard, replica: None)
    schedule.start()
    assert schedule.finish() == []
    assert cluster.done == []


def test_what_goes_wrong_in_a_schedule_is_raised() -> None:
    class Broken(Shards):
        def leader(self, shard: int) -> int:
            raise RuntimeError("no leader")

    schedule = KillLeaders(Broken(), 1, 0.0, restarted=lambda shard, replica: None)
    schedule.start()
    with pytest.raises(RuntimeError, match="no leader"):
        for _ in range(1000):
            schedule._thread.join(0.01)
            if not schedule._thread.is_alive():
                break
        schedule.finish()
