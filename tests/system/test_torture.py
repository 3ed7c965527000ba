"""`ocelog torture` for some seconds, with every fault that this machine has the tools for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system


def test_a_short_torture_breaks_no_promise(tmp_path: Path) -> None:
    results, history = tmp_path / "results.jsonl", tmp_path / "history.jsonl"
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--minutes=0.25", "--every=1", "--clients=3"]
    done = subprocess.run(
        [*command, f"--results={results}", f"--history={history}"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise kept" in done.stdout
    (row,) = map(json.loads, results.read_text().splitlines())
    assert row["complaints"] == []
    assert row["operations"] > 100
    assert sum(row["faults"].values()) >= 3, "it was hardly disturbed"
    assert history.read_text().count("\n") >= row["operations"]
    for name, reason in row["skipped"].items():
        assert f"skipped: {name}, since {reason}" in done.stdout
