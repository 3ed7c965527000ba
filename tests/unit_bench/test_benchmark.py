"""A whole benchmark, processes and all, kept as small as it can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ocelog", "bench", "--workload", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCELOG_")}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


@pytest.mark.system
@pytest.mark.parametrize(
    "words,operations",
    [
        (["put", "--keys", "50", "--processes", "2", "--clients", "2"], 400),
        (["get", "--keys", "50"], 400),
        (["counter", "--keys", "3"], 400),
        (["copycat", "--keys", "50"], 100),
        (["overwrite", "--keys", "20"], 400),
        (["partitioned", "--keys", "50"], 400),
        (["overwrite", "--keys", "20", "--rate", "1000"], 400),
    ],
)
def test_a_small_run_of_every_workload_loads_checks_and_reports(words: list[str], operations: int) -> None:
    done = bench(*words, "--cluster", "2x1", "--ops", str(operations), "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["operations"] == operations
    faults = ("errors", "unknown", "lost", "duplicated", "impossible", "unread")
    assert {name: report[name] for name in faults} == dict.fromkeys(faults, 0)
    assert len(report["tenths"]) == 10
    assert report["longest_gap_ms"] <= report["seconds"] * 1e3
    assert {"leader", "router", "load", "all"} <= report["cpu_us_per_operation"].keys()


@pytest.mark.system
def test_a_killed_leader_costs_time_and_nothing_else() -> None:
    load = ["--keys", "50", "--inflight", "16", "--seconds", "2"]
    done = bench("put", "--cluster", "1x3", *load, "--kill-leader-at", "0.5", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert len(report["faults"]) == 1
    assert report["faults"][0]["restarted_at_s"] > report["faults"][0]["killed_at_s"] >= 0.5
    assert (report["lost"], report["duplicated"], report["impossible"], report["unread"]) == (0, 0, 0, 0)


@pytest.mark.system
def test_a_follower_that_was_away_is_level_again_and_the_logs_are_sampled_and_drawn(tmp_path: Path) -> None:
    small = ["--set", "log.segment_bytes_max=65536", "--set", "limits.operation_bytes_max=4096"]
    away = [
        "--stop-replica-at",
        "0.3",
        "--return-replica-at",
        "0.8",
        "--samples",
        "0.2",
        "--plot",
        str(tmp_path / "a.png"),
    ]
    done = bench(
        "overwrite", "--cluster", "1x3", "--keys", "50", "--inflight", "16", "--seconds", "1.5", *small, *away, "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    (fault,) = report["faults"]
    assert fault["role"] == "follower"
    assert 0.3 <= fault["killed_at_s"] < fault["restarted_at_s"] <= fault["caught_up_at_s"]
    assert (report["lost"], report["duplicated"], report["impossible"], report["unread"]) == (0, 0, 0, 0)
    assert report["segment_bytes_max"] == 65536
    columns, rows = report["samples"]["columns"], report["samples"]["rows"]
    assert {row[columns.index("role")] for row in rows} >= {"leader", "follower", "down"}
    assert report["disk_bytes_max"] >= report["log_bytes_max"] > 0
    assert (tmp_path / "a.png").stat().st_size > 5_000


@pytest.mark.system
def test_no_cluster_to_load_is_one_line_and_its_exit_code() -> None:
    done = bench("put", "--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.3")
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "tcp://127.0.0.1:9" in done.stderr


def test_a_usage_error_is_64_before_anything_starts() -> None:
    done = bench("put", "--cluster", "nonsense")
    assert done.returncode == os.EX_USAGE
    assert "nonsense" in done.stderr
