"""The report: every promised field, and a table that says whether the check passed."""

from __future__ import annotations

import io
import json

import pytest
from ocelog.bench.benchmark import Options, Outcome
from ocelog.bench.checker.tally import Verdict
from ocelog.bench.faults import Fault
from ocelog.bench.figures import Figures
from ocelog.bench.histogram import Histogram
from ocelog.bench.report import as_dict, rows, show
from ocelog.bench.samples import COLUMNS

PROMISED = {"operations", "seconds", "operations_per_second", "latency_ms", "errors", "lost", "duplicated"} | {
    "longest_gap_ms",
    "tenths",
    "cpu_us_per_operation",
}


def outcome(**fields: object) -> Outcome:
    figures = Figures(
        operations=1000, seconds=2.0, latency=Histogram.of([1_000_000]), longest_gap_ms=7.0, tenths=(500.0,) * 10
    )
    values: dict[str, object] = {
        "options": Options(workload="put"),
        "figures": figures,
        "verdict": Verdict(unknown=2),
        "errors": 3,
        "errors_by_type": {"OutcomeUnknown": 3},
        "first_error": "no answer",
        "cpu_ns": {"leader": 20_000_000, "load": 10_000_000},
        "harness_ns_per_operation": 1500,
        "faults": (Fault(shard=0, replica=2, killed_at_s=1.0, restarted_at_s=4.0),),
    }
    return Outcome(**{**values, **fields})  # type: ignore[arg-type]


def test_json_holds_every_promised_field() -> None:
    report = json.loads(json.dumps(as_dict(outcome())))
    assert report.keys() >= PROMISED
    assert report["latency_ms"] == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "p999": 1.0, "max": 1.0}
    assert report["operations_per_second"] == 500.0
    assert report["cpu_us_per_operation"] == {"leader": 20.0, "load": 10.0, "all": 30.0}


@pytest.mark.parametrize(
    "verdict,said", [(Verdict(), "passed: 0 lost"), (Verdict(lost=2), "FAILED: 2 lost"), (Verdict(unread=1), "FAILED")]
)
def test_the_table_says_whether_the_check_passed(verdict: Verdict, said: str) -> None:
    out = io.StringIO()
    show("title", rows(as_dict(outcome(verdict=verdict))), out)
    assert said in out.getvalue()
    assert "leader 2 of shard 0 at 1.0 s, restarted at 4.0 s" in out.getvalue()
    assert "no answer" in out.getvalue()


def test_an_offered_load_is_told_with_the_share_served_in_time() -> None:
    told = outcome(
        options=Options(workload="put", rate=500.0, in_time_ms=50.0), offered=2000, unserved=600, in_time=900
    )
    report = as_dict(told)
    assert (report["offered"], report["unserved"], report["in_time_share"]) == (2000, 600, 0.45)
    assert "45.00% served within 50 ms" in dict(rows(report))["offered"]
    assert "offered" not in dict(rows(as_dict(outcome())))


def test_samples_are_told_with_the_largest_log_and_its_bound() -> None:
    sampled = [
        tuple({"at_s": 1.0, "log_bytes": log, "live_bytes": live, "disk_bytes": 9_000}.get(name) for name in COLUMNS)
        for log, live in ((1000, 100), (4600, 200), (None, None))
    ]
    report = json.loads(json.dumps(as_dict(outcome(samples=sampled, segment_bytes_max=1000))))
    assert (report["log_bytes_max"], report["live_bytes_max"], report["disk_bytes_max"]) == (4600, 200, 9000)
    assert report["log_part_of_bound"] == 1.0
    assert len(report["samples"]["rows"]) == 3
    assert "100% of three times its live bytes" in dict(rows(report))["log"]


def test_a_follower_that_was_away_is_told_with_when_it_was_level_again() -> None:
    fault = Fault(shard=0, replica=1, killed_at_s=1.0, restarted_at_s=5.0, role="follower", caught_up_at_s=7.5)
    assert "follower 1 of shard 0 at 1.0 s, restarted at 5.0 s, level with the others at 7.5 s" in dict(
        rows(as_dict(outcome(faults=(fault,))))
    ).get("killed", "")


def test_a_run_without_any_operation_is_reported_too() -> None:
    report = as_dict(outcome(figures=Figures(), cpu_ns={"load": 5000}, errors=0, first_error=""))
    assert report["operations"] == 0
    assert "0 operations/s" in dict(rows(report))["throughput"]
