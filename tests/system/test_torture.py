"""`ocelog torture` for some seconds, with every fault that this machine has the tools for, on one host and on three."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ocelog.bench.hosts import NoHosts

pytestmark = pytest.mark.system


@pytest.mark.parametrize("hosts", [False, True])
def test_a_short_torture_breaks_no_promise(tmp_path: Path, hosts: bool) -> None:
    results, history = tmp_path / "results.jsonl", tmp_path / "history.jsonl"
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--minutes=0.25", "--every=1", "--clients=3"]
    command += ["--hosts"] * hosts
    done = subprocess.run(
        [*command, f"--results={results}", f"--history={history}"], capture_output=True, text=True, timeout=300
    )
    if hosts and done.returncode == NoHosts.exit_code:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise kept" in done.stdout
    (row,) = map(json.loads, results.read_text().splitlines())
    assert row["complaints"] == []
    assert row["operations"] > 100
    assert sum(row["faults"].values()) >= 3, "it was hardly disturbed"
    assert history.read_text().count("\n") >= row["operations"]
    for name, reason in row["skipped"].items():
        assert f"skipped: {name}, since {reason}" in done.stdout


def test_a_machine_that_cannot_have_hosts_says_so() -> None:
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--hosts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": "/nowhere"})
    assert (done.returncode, done.stdout) == (NoHosts.exit_code, "")
    assert "unshare is not on the PATH" in done.stderr
