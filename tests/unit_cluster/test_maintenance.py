"""Compactions and snapshots on request, over a cluster that is only told: what is waited for and what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ocelog.__main__ import main
from ocelog.client import admin
from ocelog.client.protocol.admin import AdminRequest
from ocelog.client.protocol.errors import ConnectFailed
from ocelog.cluster import maintenance
from ocelog.cluster.maintenance import DONE, FAILED, REFUSED, UNFINISHED, Outcome, carry_out

COMPACT, SNAPSHOT = AdminRequest("compact"), AdminRequest("snapshot")
FIGURES = {"segments": 3, "bytes_before": 4096, "bytes_after": 2048, "last_seconds": 0.25}


def replica(number: int, *, runs: int = 0, s: int = 0, **fields: Any) -> dict[str, Any]:
    """A replica's row of a status."""
    row = {"id": number, "role": "follower", "pid": 100 + number, "snapshot_index": s}
    return {**row, "compaction": {"running": False, "runs": runs, "error": "", **FIGURES}, **fields}


class Told:
    """A cluster of one shard that answers from a script: one status after the other, the last one for ever."""

    def __init__(self, accepted: list[dict[str, Any]], *statuses: list[dict[str, Any]]) -> None:
        self.accepted = [{"shard": 0, "replica": number, **row} for number, row in enumerate(accepted)]
        self.statuses = list(statuses)
        self.now = 0.0
        self.asked: list[Any] = []

    def run(self, wanted: AdminRequest, timeout: float = 10.0) -> list[Outcome]:
        return carry_out(
            ["tcp://127.0.0.1:1"],
            wanted,
            0,
            timeout,
            ask=self.ask,
            status_of=self.status,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    def ask(self, endpoints: Any, wanted: Any, shard: Any, timeout: float) -> list[dict[str, Any]]:
        self.asked.append((wanted, shard, timeout))
        return self.accepted

    def status(self, endpoints: Any, timeout: float) -> dict[str, Any]:
        rows = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if not rows:
            raise ConnectFailed("nobody there")
        return {"shards": [{"id": 0, "replicas": rows}]}

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_compaction_is_done_when_the_run_it_was_accepted_as_has_ended():
    told = Told([{"ok": True, "run": 2}], [replica(0, runs=1)], [], [replica(0, runs=2, s=90)])
    assert told.run(COMPACT) == [
        Outcome(
            shard=0,
            replica=0,
            result=DONE,
            snapshot_index=90,
            segments=3,
            bytes_before=4096,
            bytes_after=2048,
            seconds=0.25,
        )
    ]
    assert told.asked == [(COMPACT, 0, maintenance.ASK_S_MAX)]
    assert told.now > 0


def test_a_snapshot_is_done_when_its_index_is_reached():
    told = Told([{"ok": True, "snapshot_index": 50}], [replica(0, s=49)], [replica(0, s=51)])
    (outcome,) = told.run(SNAPSHOT)
    assert (outcome.result, outcome.snapshot_index, outcome.segments) == (DONE, 51, None)


def test_a_replica_that_refuses_is_told_at_once_with_its_reason():
    (outcome,) = Told([{"ok": False, "reason": "no space"}], []).run(COMPACT)
    assert (outcome.result, outcome.reason) == (REFUSED, "no space")


def test_a_run_that_ended_with_an_error_is_a_failure():
    row = replica(0, runs=1)
    row["compaction"]["error"] = "the compactor is down"
    (outcome,) = Told([{"ok": True, "run": 1}], [row]).run(COMPACT)
    assert (outcome.result, outcome.reason) == (FAILED, "the compactor is down")


def test_a_replica_that_was_started_again_has_forgotten_what_it_accepted():
    told = Told([{"ok": True, "run": 1}], [replica(0)], [replica(0, role="down", pid=None)], [replica(0, pid=900)])
    (outcome,) = told.run(COMPACT)
    assert (outcome.result, outcome.reason) == (FAILED, "it was started again meanwhile")


def test_each_replica_has_an_outcome_of_its_own_when_the_time_is_over():
    told = Told([{"ok": True, "run": 1}] * 3, [replica(0, runs=1), replica(1), replica(2, role="down", pid=None)])
    first, second, third = told.run(COMPACT, timeout=3.0)
    assert (first.result, second.result, third.result) == (DONE, UNFINISHED, UNFINISHED)
    assert second.reason == "it was still at work after 3 s"
    assert told.now == pytest.approx(3.0)


def test_a_row_of_the_table_has_a_cell_under_each_heading():
    row = Outcome(shard=0, replica=1, result=DONE, snapshot_index=9, segments=3, bytes_before=2048, seconds=1.26).cells
    assert row == ("0", "1", "done", "9", "3", "2.0 KiB", "-", "1.3")
    assert len(row) == len(maintenance.HEADINGS)
    assert Outcome(shard=0, replica=1, result=FAILED, reason="why").cells[2] == "failed: why"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A cluster that accepts and has finished at once, but replica 1 when a snapshot is asked for; and what was asked."""
    asked: list[Any] = []

    def request(endpoints: Any, wanted: AdminRequest, *, shard: Any, timeout: float) -> list[dict[str, Any]]:
        asked.append((endpoints, wanted, shard))
        refusal = {"shard": 0, "replica": 1, "ok": False, "reason": "it is down"}
        accepted = [{"shard": 0, "replica": number, "ok": True, "run": 1} for number in range(2)]
        return accepted if wanted.what == "compact" else [accepted[0], refusal]

    report = {"shards": [{"id": 0, "replicas": [replica(number, runs=1, s=7) for number in range(2)]}]}
    monkeypatch.setattr(admin, "request", request)
    monkeypatch.setitem(maintenance.carry_out.__kwdefaults__, "status_of", lambda endpoints, timeout: report)
    return asked


def test_the_verbs_print_a_row_per_replica_and_tell_by_their_code_whether_all_is_done(cluster, capsys):
    assert main(["compact", "--major", "--shard", "0", "--endpoints", "tcp://127.0.0.1:5"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == list(maintenance.HEADINGS)
    assert [row.split()[:5] for row in rows] == [["0", "0", "done", "7", "3"], ["0", "1", "done", "7", "3"]]
    assert main(["snapshot", "--json", "--endpoints", "tcp://127.0.0.1:5"]) == 75
    first, second = json.loads(capsys.readouterr().out)
    assert (first["result"], first["snapshot_index"]) == ("done", 7)
    assert (second["result"], second["reason"]) == ("refused", "it is down")
    endpoints = ["tcp://127.0.0.1:5"]
    assert cluster == [(endpoints, AdminRequest("compact", True), 0), (endpoints, AdminRequest("snapshot"), None)]


def test_a_shard_that_cannot_be_is_a_usage_error(cluster, capsys):
    assert main(["compact", "--shard", "-1"]) == 64
    assert "there is no such shard" in capsys.readouterr().err
    assert cluster == []
