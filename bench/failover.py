"""How long a shard is without an acknowledged write when its leader is killed.

    python -m ocelog.bench.failover --kills 20

Starts a cluster of 1 x 3 of its own and N times: SIGKILL the leader, wait for a write that began after the kill to be
acknowledged and for another leader to be reported, restart the killed replica, wait until it has caught up. One
blocking client writes all the time, one put after the other, as an application would.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..client.protocol.errors import OcelogError
from .faults import leader_of
from .histogram import Histogram
from .report import Rows, show

POLL_SECONDS = 0.005
WAIT_SECONDS_MAX = 60.0
CALL_SECONDS = 30.0
CAUGHT_UP_ENTRIES = 1000
"""Writes go on, so the replicas are never level; a second's worth apart is."""


@dataclass(slots=True)
class Writer:
    """One put after the other on a thread; tells when the last acknowledged one began and ended (ns)."""

    client: Any
    began: int = 0
    ended: int = 0
    acknowledged: int = 0
    errors: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _advanced: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        assert self._thread is not None, "entered before it is left"
        self._thread.join()

    def first_after(self, moment: int) -> int:
        """When the first acknowledged put that began at `moment` (ns) or later ended. Raises TimeoutError."""
        with self._advanced:
            if not self._advanced.wait_for(lambda: self.began >= moment, WAIT_SECONDS_MAX):
                raise TimeoutError(f"no write was acknowledged for {WAIT_SECONDS_MAX:g} s: {self.errors[-1:]}")
            return self.ended

    def _write(self) -> None:
        users = self.client.map("failover")
        number = 0
        while not self._over.is_set():
            number += 1
            began = time.perf_counter_ns()
            try:
                users.put("key", number)
            except OcelogError as error:
                self.errors.append(str(error))
                continue
            ended = time.perf_counter_ns()
            with self._advanced:
                self.began, self.ended = began, ended
                self.acknowledged += 1
                self._advanced.notify_all()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Over all kills: from the kill to the next acknowledged write, and to another leader's being reported."""

    write: Histogram
    leader: Histogram
    acknowledged: int
    errors: int


def measure(cluster: Any, client: Any, kills: int) -> Measured:
    """Kill the leader of shard 0 `kills` times. Raises TimeoutError when the shard does not come back."""
    write, leader = Histogram(), Histogram()
    with Writer(client) as writer:
        writer.first_after(0)
        for _ in range(kills):
            killed = leader_of(cluster, 0)
            began = time.perf_counter_ns()
            cluster.kill(0, killed)
            _await(lambda killed=killed: cluster.leader(0) not in (None, killed))  # type: ignore[misc]
            leader.record([time.perf_counter_ns() - began])
            write.record([writer.first_after(began) - began])
            cluster.restart(0, killed)
            _await(lambda: _caught_up(cluster.status()))
    return Measured(write=write, leader=leader, acknowledged=writer.acknowledged, errors=len(writer.errors))


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the shard did not recover within {WAIT_SECONDS_MAX:g} s")
        time.sleep(POLL_SECONDS)


def _caught_up(status: dict[str, Any]) -> bool:
    """Whether every replica of shard 0 takes part and none is far behind."""
    replicas = status["shards"][0]["replicas"]
    if any(replica["role"] not in ("leader", "follower") for replica in replicas):
        return False
    applied = [replica["applied_index"] for replica in replicas]
    return bool(max(applied) - min(applied) < CAUGHT_UP_ENTRIES)


def rows(measured: Measured) -> Rows:
    """The table of a measurement."""
    return [
        ("kills", str(len(measured.write))),
        ("next write", _durations(measured.write)),
        ("new leader", _durations(measured.leader)),
        ("writes", f"{measured.acknowledged:,} acknowledged, {measured.errors} errors"),
    ]


def _durations(histogram: Histogram) -> str:
    summary = histogram.summary_ms()
    return f"p50 {summary['p50']:.0f} ms  p90 {summary['p90']:.0f} ms  max {summary['max']:.0f} ms"


def main() -> None:
    """Measure and show."""
    from ..client.sync import connect
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(description="Time without an acknowledged write after the leader is killed.")
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    with LocalCluster(shards=1, replicas=3) as cluster, connect(cluster.endpoints, timeout=CALL_SECONDS) as client:
        show("failover of a 1 x 3 cluster", rows(measure(cluster, client, kills)))


if __name__ == "__main__":
    main()
