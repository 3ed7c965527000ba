"""The cluster under torture, and what a fault may do to it beyond killing: its links, one small disk, its clocks.

What this machine lacks is said once, by `lacks`, and never hidden: a fault that cannot strike is reported as skipped, with
the reason.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...cluster import clusterfile
from ...cluster.plan import ChildPlan
from ...cluster.run_record import RunRecord
from ...shard.assembly import replica_directory
from ..hosts import Network
from ..links import LinkedCluster

SMALL: dict[str, Any] = {
    "log": {"segment_bytes_max": 256 * 1024},
    "limits": {"operation_bytes_max": 64 * 1024},
    "compaction": {
        "minor_interval_ms": 3000,
        "major_interval_ms": 20_000,
        "scrub_interval_ms": 500,
        "lag_bytes_max": 0,
    },
}
"""Settings under which snapshots, compactions and installs happen all the time."""

DISK_BYTES = 16 << 20
DISK_REPLICA = 2
"""The replica whose disk is small enough to be filled."""

ONE_HOST = "all replicas are on one host: --hosts gives each a host of its own"

LIBFAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


class Scene(LinkedCluster):
    """One shard of three replicas, three routers. Use it as a LocalCluster; `lacks` tells why a tool is not there.

    With `hosts` every replica is on a host of its own, a network namespace, and `network` is what joins them; else it is None.
    Raises NoHosts where there can be none.
    """

    def __init__(self, *, hosts: bool = False) -> None:
        self.network = Network(3) if hosts else None
        self._folder = tempfile.mkdtemp(prefix="ocelog-torture-")
        self.clocks = Path(self._folder, "clocks")
        self.clocks.mkdir()
        data = Path(self._folder, "data")
        data.mkdir(mode=0o700)
        super().__init__(shards=1, replicas=3, routers=3, data=data, links=self.network, **SMALL)
        self.lacks: dict[str, str] = {"hosts": ONE_HOST, "loss": ONE_HOST}
        if self.network is not None:
            self.lacks = dict(self.network.lacks)
        self.small_disk = self._mount()
        self._faketime = self._look_for_faketime()
        if shutil.which("strace") is None:
            self.lacks["strace"] = "strace is not on the PATH"

    def _mount(self) -> Path | None:
        """A small file system in memory where one replica's directory will be."""
        clusterfile.load_or_create(
            self.data, self.settings
        )  # a directory that holds replicas must have been a cluster's
        path = Path(replica_directory(str(self.data), 0, DISK_REPLICA))
        path.mkdir(parents=True, mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            self.lacks["disk"] = "mount is not on the PATH"
            return None
        if done.returncode:
            self.lacks["disk"] = f"a small file system cannot be mounted: {done.stderr.strip()}"
            return None
        return path

    def _look_for_faketime(self) -> str | None:
        found = next((path for path in LIBFAKETIME if Path(path).exists()), None)
        if found is None:
            self.lacks["faketime"] = "libfaketime is not installed"
        return found

    def _command(self, plan: ChildPlan) -> list[str]:
        command = super()._command(plan)
        kind, _, replica = plan.key
        if kind == "replica" and self._faketime is not None:
            clock = self.clocks / str(replica)
            if not clock.exists():
                clock.write_text("+0")
            environment = {
                "LD_PRELOAD": self._faketime,
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            command = ["env", *(f"{name}={value}" for name, value in environment.items()), *command]
        return command

    def shift_clock(self, replica: int, seconds: int) -> None:
        """The replica's wall clock is so far off from now on."""
        self.clocks.joinpath(str(replica)).write_text(f"{seconds:+d}")

    def compactor_pid(self) -> int | None:
        """The compactor's process, None while it is down."""
        record = RunRecord.read(self.data)
        return None if record is None else record.compactor

    def files_of(self, replica: int) -> Iterator[Path]:
        """The files of a replica: closed segments, snapshots, small ones."""
        yield from (path for path in sorted(self.directory(0, replica).rglob("*")) if path.is_file())

    def followers(self) -> list[int]:
        """The replicas that do not lead. Raises TimeoutError, and OcelogError when no router answers."""
        leader = self.leader(0, timeout=20)
        return [replica for replica in range(3) if replica != leader]

    def stop(self) -> None:
        """Stop everything and remove what was made for it."""
        super().stop()
        if self.small_disk is not None:
            subprocess.run(["umount", "-l", str(self.small_disk)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
