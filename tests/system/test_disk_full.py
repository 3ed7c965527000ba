"""A full disk, which is a small tmpfs: writes are refused, reads go on, and service resumes by itself."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ocelog
import pytest
from ocelog.client.protocol.admin import AdminRequest
from ocelog.cluster import LocalCluster
from ocelog.cluster.maintenance import carry_out

pytestmark = pytest.mark.system

WAIT_S_MAX = 60.0
DISK_BYTES = 24 << 20
BALLAST_BYTES = 8 << 20
SMALL: dict[str, Any] = {
    "log": {"segment_bytes_max": 512 * 1024},
    "limits": {"operation_bytes_max": 64 * 1024},
    "raft": {"tick_ms": 20},
}
VALUE = b"v" * 8000


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.05)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of DISK_BYTES in memory; skips where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="ocelog-disk-") as directory:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", directory]
        try:
            mounted = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as error:
            pytest.skip(f"no small file system to fill: {error}")
        if mounted.returncode:
            pytest.skip(f"no small file system to fill: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


def fill_up(client: ocelog.Client, *, keys: int) -> int:
    """Put large values under `keys` keys in turn until one is refused; how many were acknowledged."""
    entries = client.map("entries")
    for number in range(100_000):
        try:
            entries.put(number % keys, VALUE + number.to_bytes(4, "big"), timeout=2)
        except ocelog.OcelogError:
            return number
    raise AssertionError("the disk never was full")


def test_writes_are_refused_reads_go_on_and_service_resumes_when_there_is_room(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    with (
        LocalCluster(shards=1, replicas=3, data=disk / "data", **SMALL) as cluster,
        ocelog.connect(cluster.endpoints, timeout=10) as client,
        ocelog.connect(cluster.endpoints, timeout=10) as reader,
    ):
        # A session of its own: the writer's queries run after its commands, and the last one of these is not decided.
        entries = reader.map("entries")
        assert entries.get(0) is None
        written = fill_up(client, keys=100_000)
        assert written > 100
        eventually(lambda: "no disk space" in cluster.status()["verdict"], "the verdict")
        assert entries.get(0) == VALUE + bytes(4)
        assert entries.size() >= written
        assert all(row["role"] != "down" for row in cluster.status()["shards"][0]["replicas"])
        ballast.unlink()
        assert entries.put("after", 1, timeout=WAIT_S_MAX) is None
        eventually(lambda: cluster.status()["healthy"], "the verdict to be good again")
        assert entries.get(written - 1) == VALUE + (written - 1).to_bytes(4, "big")


def test_a_full_disk_can_still_be_compacted_and_then_takes_writes_again(disk: Path) -> None:
    held = {
        "minor_interval_ms": 80_000_000,
        "major_interval_ms": 80_000_000,
        "disk_ratio_percent": 100_000,
        "enabled": 0,
    }
    with (
        LocalCluster(shards=1, replicas=3, data=disk / "data", compaction=held, **SMALL) as cluster,
        ocelog.connect(cluster.endpoints, timeout=10) as client,
    ):
        written = fill_up(client, keys=10)
        assert written > 100
        outcomes = carry_out(cluster.endpoints, AdminRequest("compact", True), None, WAIT_S_MAX)
        assert [one.result for one in outcomes] == ["done"] * 3, outcomes
        entries = client.map("entries")
        entries.put(0, b"again", timeout=WAIT_S_MAX)
        assert entries.get(0) == b"again"
        assert entries.size() == 10
