"""The log cleans itself, with real processes: under load, with members that are away, wiped or killed at work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ocelog
import pytest
from ocelog.bench import benchmark
from ocelog.bench.samples import by_replica, column, worst_excess
from ocelog.cluster import LocalCluster

pytestmark = pytest.mark.system

WAIT_S_MAX = 60.0
REPLICAS = 3
SEGMENT_BYTES = 128 * 1024
SMALL: dict[str, Any] = {
    "log": {"segment_bytes_max": SEGMENT_BYTES},
    "limits": {"operation_bytes_max": 16 * 1024},
    "compaction": {"minor_interval_ms": 300, "major_interval_ms": 2000, "lag_bytes_max": 512 * 1024},
    "raft": {"tick_ms": 20},
}


def eventually(condition: Callable[[], object], what: str, seconds: float = WAIT_S_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def verb(cluster: LocalCluster, *words: str) -> tuple[int, Any]:
    """Run `ocelog` on the cluster: its exit code, and what it printed as JSON."""
    command = [sys.executable, "-P", "-m", "ocelog", *words, "--json", "--endpoints", ",".join(cluster.endpoints)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * WAIT_S_MAX)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def replicas(cluster: LocalCluster) -> list[dict[str, Any]]:
    return cluster.status()["shards"][0]["replicas"]


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=REPLICAS, **SMALL) as cluster:
        yield cluster


def put_many(cluster: LocalCluster, numbers: range, keys: int) -> None:
    """Put each number under its remainder, so many at a time."""

    async def run() -> None:
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            entries = client.map("entries")
            for start in range(numbers.start, numbers.stop, 500):
                some = range(start, min(start + 500, numbers.stop))
                await asyncio.gather(*(entries.put(f"key-{number % keys}", number) for number in some))

    asyncio.run(run())


def check_all(cluster: LocalCluster, last: int, keys: int) -> None:
    """Every key holds the last number that was put under it, and there are no others."""
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        entries = client.map("entries")
        assert entries.size() == keys
        for number in range(last - keys, last):
            assert entries.get(f"key-{number % keys}") == number


class Writing:
    """A thread that overwrites a few keys until it is told to stop; what it was told is checked at the end."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.endpoints = cluster.endpoints
        self.acknowledged = 0
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(WAIT_S_MAX)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:
            self.error = error

    async def _write(self) -> None:
        async with ocelog.connect_async(self.endpoints, timeout=30) as client:
            await asyncio.gather(*(self._worker(client, worker) for worker in range(20)))

    async def _worker(self, client: ocelog.AsyncClient, worker: int) -> None:
        entries, number = client.map("writing"), 0
        while not self._stop.is_set():
            previous = await entries.put(f"{worker}", number)
            assert previous == (number - 1 if number else None)
            number += 1
            self.acknowledged += 1


# -- under load ----------------------------------------------------------------------------------------


def overwrite(operations: int, rate: int, keys: int, away: tuple[float, float]) -> benchmark.Outcome:
    """`ocelog bench --workload overwrite` with small segments and a follower that is away for a while.

    At a rate that fills a few of these segments a second: at full speed they are full thirty times a second, and four of them
    are no time for a compactor that yields to everybody else on a busy machine.
    """
    return benchmark.run(
        benchmark.Options(
            workload="overwrite",
            cluster=(1, REPLICAS),
            operations=operations,
            seconds=600.0,
            inflight=64,
            rate=rate,
            keys=keys,
            timeout=30.0,
            stop_replica_at=away[0],
            return_replica_at=away[1],
            sections=SMALL,
            sample_every=0.25,
        )
    )


def judge(outcome: benchmark.Outcome) -> None:
    """Nothing was lost or refused, the log stayed small everywhere, and the one that was away is level again."""
    assert outcome.verdict.good, outcome.verdict
    assert (outcome.errors, outcome.first_error) == (0, "")
    (fault,) = outcome.faults
    assert fault.caught_up_at_s is not None
    part = worst_excess(outcome.samples, SEGMENT_BYTES)
    assert part is not None and part <= 1.0, part
    for (_, replica), rows in by_replica(outcome.samples).items():
        runs = [number for number in column(rows, "compaction_runs") if number is not None]
        assert max(runs) > 0, f"replica {replica} never compacted"
        assert max(index or 0 for index in column(rows, "snapshot_index")) > len(rows)


def test_the_log_stays_small_under_an_overwrite_load_while_a_follower_is_away() -> None:
    judge(overwrite(40_000, 4_000, 200, (1.0, 3.0)))


@pytest.mark.slow
def test_a_million_overwrites_with_a_follower_away_for_half_of_them() -> None:
    judge(overwrite(1_000_000, 10_000, 1000, (10.0, 60.0)))


def test_a_compaction_on_request_shrinks_the_log_while_writes_go_on(cluster: LocalCluster) -> None:
    put_many(cluster, range(20_000), 100)
    with Writing(cluster) as writing:
        before = writing.acknowledged
        code, outcomes = verb(cluster, "compact", "--major", "--timeout", "60")
        assert (code, [one["result"] for one in outcomes]) == (0, ["done"] * REPLICAS), outcomes
        eventually(lambda: writing.acknowledged > before + 500, "writes during and after the compaction")
    for one in outcomes:
        assert one["snapshot_index"] > 20_000
        assert one["bytes_after"] < one["bytes_before"] or one["segments"] == 0
    assert all(row["log_bytes"] < 3 * row["live_bytes"] + 4 * SEGMENT_BYTES for row in replicas(cluster))
    check_all(cluster, 20_000, 100)


def test_a_snapshot_on_request_is_taken_by_every_replica(cluster: LocalCluster) -> None:
    put_many(cluster, range(1000), 10)
    code, outcomes = verb(cluster, "snapshot", "--shard", "0", "--timeout", "60")
    assert (code, [one["result"] for one in outcomes]) == (0, ["done"] * REPLICAS), outcomes
    assert min(one["snapshot_index"] for one in outcomes) > 1000
    code, outcomes = verb(cluster, "snapshot", "--timeout", "60")  # nothing new is no reason to fail
    assert code == 0, outcomes


def test_a_killed_compactor_comes_back_and_compaction_goes_on(cluster: LocalCluster) -> None:
    with Writing(cluster) as writing:
        first = cluster.status()["compactor"]
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: cluster.status()["compactor"] not in (None, first), "another compactor")
        before = writing.acknowledged
        runs = max(row["compaction"]["runs"] for row in replicas(cluster))

        def going_on() -> bool:
            told = [row["compaction"] for row in replicas(cluster)]
            return all(one["runs"] > runs + 1 and one["error"] is None for one in told)

        eventually(going_on, "further runs, and good ones")
        assert writing.acknowledged > before


# -- members that were away -----------------------------------------------------------------------------


def test_a_wiped_replica_comes_back_as_a_new_incarnation_and_votes_again(cluster: LocalCluster) -> None:
    put_many(cluster, range(20_000), 100)
    assert verb(cluster, "compact", "--major")[0] == 0
    leader = cluster.leader(0)
    wiped, other = (replica for replica in range(REPLICAS) if replica != leader)
    before = replicas(cluster)[wiped]["incarnation"]
    cluster.kill(0, wiped)
    cluster.wipe(0, wiped)
    cluster.restart(0, wiped)
    put_many(cluster, range(20_000, 20_500), 100)
    eventually(lambda: cluster.status()["healthy"], "the wiped replica to be whole again")
    row = replicas(cluster)[wiped]
    assert (row["incarnation"], row["probation"]) == (before + 1, False)
    cluster.kill(0, other)
    put_many(cluster, range(20_500, 21_000), 100)  # only with the vote of the one that was wiped
    check_all(cluster, 21_000, 100)


def test_a_replica_that_was_away_for_long_gets_what_is_live_and_not_what_is_gone(cluster: LocalCluster) -> None:
    put_many(cluster, range(1000), 100)
    leader = cluster.leader(0)
    away = (leader + 1) % REPLICAS
    cluster.kill(0, away)
    put_many(cluster, range(1000, 40_000), 100)
    assert verb(cluster, "compact", "--major", "--timeout", "60")[1][leader]["result"] == "done"
    cluster.restart(0, away)
    eventually(lambda: cluster.status()["healthy"], "the replica to be back")
    eventually(lambda: (replicas(cluster)[away]["applied_index"] or 0) > 39_000, "it to be level")
    assert 0 < replicas(cluster)[leader]["install_bytes_sent"] < 1_000_000
    cluster.kill(0, leader)
    check_all(cluster, 40_000, 100)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_damaged_file_is_healed_from_the_others(compacted: bool) -> None:
    """An entry in the middle of a closed segment: found at the start or on use, and fetched from the others."""
    quiet = {**SMALL, "compaction": {**SMALL["compaction"], "enabled": 0, "scrub_interval_ms": 100}}
    with LocalCluster(shards=1, replicas=REPLICAS, **quiet) as cluster:
        put_many(cluster, range(6_000), 2_000)
        if compacted:
            assert verb(cluster, "compact", "--major")[0] == 0
        damaged = (cluster.leader(0) + 1) % REPLICAS
        cluster.kill(0, damaged)
        segment = min(
            (cluster.directory(0, damaged) / "log").glob("[0-9]*.seg"), key=lambda path: int(path.name.split("-")[0])
        )
        data = bytearray(segment.read_bytes())
        at = data.index(b"key-", 20_000)
        data[at] ^= 0x20
        segment.write_bytes(bytes(data))
        assert verified(cluster) == os.EX_DATAERR
        cluster.restart(0, damaged)
        eventually(lambda: verified(cluster) == 0, "every file to be sound again")
        eventually(lambda: cluster.status()["healthy"], "the replica to be whole again")
        put_many(cluster, range(6_000, 6_500), 2_000)
        check_all(cluster, 6_500, 2_000)


def verified(cluster: LocalCluster) -> int:
    """The exit code of `ocelog log verify` on the cluster's data."""
    command = [sys.executable, "-P", "-m", "ocelog", "log", "verify", str(cluster.data)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S_MAX).returncode


def test_everything_is_there_after_all_were_killed_with_compacted_logs(cluster: LocalCluster) -> None:
    put_many(cluster, range(20_000), 100)
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        client.counter("hits").add(41)
    assert verb(cluster, "compact", "--major")[0] == 0
    for replica in range(REPLICAS):
        cluster.kill(0, replica)
    for replica in range(REPLICAS):
        cluster.restart(0, replica)
    check_all(cluster, 20_000, 100)
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        assert client.counter("hits").increment() == 42
