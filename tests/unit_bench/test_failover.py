"""The failover measurement against a cluster that only pretends: what is waited for, and what is told."""

from __future__ import annotations

import threading
import time
from typing import Any

from ocelog.bench import failover
from ocelog.bench.histogram import Histogram
from ocelog.client.protocol.errors import OutcomeUnknown


class Pretence:
    """A shard of three that is without a leader for OUTAGE seconds after each kill; its client blocks meanwhile."""

    OUTAGE = 0.05

    def __init__(self) -> None:
        self.leading, self.down, self.back_at = 0, set[int](), 0.0
        self.lock = threading.Lock()
        self.killed: list[int] = []
        self.puts = 0

    def kill(self, shard: int, replica: int) -> None:
        with self.lock:
            self.killed.append(replica)
            self.down.add(replica)
            self.leading, self.back_at = (replica + 1) % 3, time.monotonic() + self.OUTAGE

    def restart(self, shard: int, replica: int) -> None:
        self.down.discard(replica)

    def leader(self, shard: int) -> int | None:
        return self.leading if time.monotonic() >= self.back_at else None

    def status(self) -> dict[str, Any]:
        roles = ["down" if replica in self.down else "follower" for replica in range(3)]
        replicas = [{"role": role, "applied_index": self.puts} for role in roles]
        return {"shards": [{"replicas": replicas}]}

    def map(self, name: str) -> Pretence:
        return self

    def put(self, key: str, value: int) -> None:
        while time.monotonic() < self.back_at:
            time.sleep(0.001)
        self.puts += 1
        if self.puts == 2:
            raise OutcomeUnknown("the answer was lost")


def test_every_kill_is_measured_to_the_next_write_and_the_next_leader() -> None:
    shard = Pretence()
    measured = failover.measure(shard, shard, kills=3)
    assert shard.killed == [0, 1, 2]
    assert shard.down == set()
    assert len(measured.write) == len(measured.leader) == 3
    assert measured.write.quantile(0.0) >= Pretence.OUTAGE * 0.9e9
    assert measured.leader.quantile(0.0) >= Pretence.OUTAGE * 0.9e9
    assert measured.errors == 1


def test_the_table_names_kills_writes_and_the_longest() -> None:
    measured = failover.Measured(
        write=Histogram.of([10**9, 2 * 10**9]), leader=Histogram.of([10**9]), acknowledged=1234, errors=0
    )
    table = dict(failover.rows(measured))
    assert table["kills"] == "2"
    assert "max 2000 ms" in table["next write"]
    assert table["writes"] == "1,234 acknowledged, 0 errors"
