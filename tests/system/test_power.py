"""Disks whose power is cut: what was synced is there afterwards and nothing else is, and a cluster keeps what it acknowledged."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ocelog.bench.power import NoPower, PowerDisk

pytestmark = pytest.mark.system


def test_what_was_not_synced_is_lost_and_the_rest_is_there(tmp_path: Path) -> None:
    directory = tmp_path / "mounted"
    directory.mkdir()
    try:
        disk = PowerDisk(tmp_path / "image", directory)
    except NoPower as error:
        pytest.skip(str(error))
    try:
        descriptor = os.open(directory / "file", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, 4 * mmap.PAGESIZE)
        with mmap.mmap(descriptor, 4 * mmap.PAGESIZE) as pages:
            pages[:6] = b"synced"
            os.fdatasync(descriptor)
            pages[mmap.PAGESIZE : mmap.PAGESIZE + 4] = b"lost"
            disk.cut()
            with pytest.raises(OSError):
                os.fdatasync(descriptor)
        os.close(descriptor)
        disk.restore()
        found = (directory / "file").read_bytes()
        assert found == b"synced".ljust(4 * mmap.PAGESIZE, b"\0")
    finally:
        disk.close()
    assert list(directory.iterdir()) == [], "it is unmounted"
    assert not (tmp_path / "image").exists()


def test_nothing_acknowledged_is_lost_when_the_power_goes(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--power", "--minutes=0.15", "--every=1", "--clients=3"]
    command += ["--fault=power lost", f"--results={results}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode == NoPower.exit_code:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise kept" in done.stdout
    (row,) = map(json.loads, results.read_text().splitlines())
    assert row["power"]
    assert row["faults"]["power lost"] >= 2


def test_a_machine_that_cannot_cut_the_power_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "ocelog", "torture", "--power"]
    environment = {"PATH": "/nowhere", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (NoPower.exit_code, "")
    assert "mkfs.ext4 is not on the PATH" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "torture" in path.name] == []
