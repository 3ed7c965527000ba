"""`ocelog torture` for some seconds, with every fault that this machine has the tools for, on one host and on three."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
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


def test_one_that_is_ended_early_leaves_nothing(tmp_path: Path) -> None:
    """Neither processes nor directories nor the small file system that it has mounted."""
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--minutes=5", "--every=0.5", "--clients=2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("ocelog-torture-*/data/shard-0/replica-*/log/*.seg")):
            assert started.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(started.pid).children(recursive=True)
        started.send_signal(signal.SIGTERM)
        said, _ = started.communicate(timeout=90)
    finally:
        started.kill()
    assert started.returncode == 130, said
    assert "Traceback" not in said
    assert not [child for child in children if child.is_running()]
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
