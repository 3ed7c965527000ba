"""Measurements that begin with a filled cluster: what is waited for, what counts, and that wrong answers are no figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ocelog.bench import catchup, filled, restart
from ocelog.bench.filled import NotDone
from ocelog.client.protocol.admin import AdminRequest
from ocelog.cluster import LocalCluster
from ocelog.cluster.maintenance import DONE, REFUSED, Outcome


class Pretence:
    """A shard of three, led by 2, in which a wiped member restores for a while before it is level."""

    endpoints = ("tcp://127.0.0.1:9",)

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.looks = 0

    def leader(self, shard: int) -> int:
        return 2

    def kill(self, shard: int, replica: int) -> None:
        self.done.append(("kill", replica))

    def wipe(self, shard: int, replica: int) -> None:
        self.done.append(("wipe", replica))

    def restart(self, shard: int, replica: int) -> None:
        self.done.append(("restart", replica))

    def status(self) -> dict[str, Any]:
        whole = {"commit_index": 500, "applied_index": 500, "rebuilding": False, "probation": False, "live_bytes": 1000}
        rows = [{**whole, "install_bytes_sent": 70} for _ in range(3)]
        if self.done:
            self.looks += 1
            applied = 100 if self.looks < 4 else 500
            rows[0].update(applied_index=applied, rebuilding=self.looks < 6, probation=self.looks < 8)
            rows[2].update(install_bytes_sent=1170)
        return {"shards": [{"replicas": rows}]}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been written and cleaned."""
    asked: list[Any] = []
    monkeypatch.setattr(catchup, "fill", lambda cluster, **how: asked.append(how))
    monkeypatch.setattr(catchup, "clean", lambda cluster, **how: asked.append(how))
    monkeypatch.setattr(catchup, "POLL_SECONDS", 0.001)
    return asked


def test_a_wiped_follower_counts_until_it_has_applied_restored_and_votes(prepared: list[Any]) -> None:
    cluster = Pretence()
    measured = catchup.measure(cluster, live=10, written=100, value_bytes=8)
    assert prepared == [{"keys": 10, "entries": 100, "value_bytes": 8}, {"compact": True}]
    assert cluster.done == [("kill", 0), ("wipe", 0), ("restart", 0)]
    assert cluster.looks >= 8
    assert (measured.live_bytes, measured.sent_bytes) == (1000, 1100)
    table = dict(catchup.rows(measured))
    assert table["entries"] == "10 live of 100 written"
    assert "1.10 times the live bytes" in table["sent"]


def test_a_replica_that_does_not_compact_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def carry_out(endpoints: Any, wanted: AdminRequest, shard: Any, timeout: float) -> list[Outcome]:
        asked.append((wanted, shard))
        good = Outcome(shard=0, replica=0, result=DONE)
        return [good, Outcome(shard=0, replica=1, result=REFUSED, reason="no space")] if wanted.major else [good]

    monkeypatch.setattr(filled, "carry_out", carry_out)
    filled.clean(Pretence(), compact=False)
    with pytest.raises(NotDone, match="replica 1 of shard 0: refused: no space"):
        filled.clean(Pretence(), compact=True)
    assert asked == [(AdminRequest("snapshot"), None), (AdminRequest("compact", True), None)]


@pytest.mark.system
def test_a_restart_is_timed_to_the_right_answer_and_a_wrong_one_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "REPLICAS", 1)
    with LocalCluster(shards=1, replicas=1, data=tmp_path) as cluster:
        keys = filled.fill(cluster, keys=5, entries=12, value_bytes=16)
    value = restart.Values(16).make(restart.first_number(1) + 11)
    leader, answer = restart.start(tmp_path, keys[1], value)
    assert 0 < leader < answer
    with pytest.raises(ValueError, match="after the restart"):
        restart.start(tmp_path, keys[0], value)
    assert "of 1 runs" in dict(restart.rows([(leader, answer)]))["answer"]
