"""The cluster under torture, and what a fault may do to it beyond killing: its links, one small disk, its clocks.

What this machine lacks is said once, by `lacks`, and never hidden: a fault that cannot strike is reported as skipped, with
the reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...cluster import clusterfile
from ...cluster.plan import ChildPlan
from ...cluster.run_record import RunRecord
from ...shard.assembly import replica_directory
from ..hosts import Network
from ..links import LinkedCluster
from ..power import PowerDisk

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

ONE_POWER = "replicas share this machine's disk: --power gives each one whose power can be cut"
ONE_HOST = "all replicas are on one host: --hosts gives each a host of its own"

LIBFAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


class Scene(LinkedCluster):
    """One shard of three replicas, three routers. Use it as a LocalCluster; `lacks` tells why a tool is not there.

    With `hosts` every replica is on a host of its own, a network namespace, and `network` is what joins them; else it is None.
    With `power` every replica has a disk of its own whose power can be cut, see `lose_power`; nobody fills a disk or removes a
    directory then. Raises NoHosts, or NoPower, where there can be none.
    """

    def __init__(self, *, hosts: bool = False, power: bool = False) -> None:
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
        clusterfile.load_or_create(
            self.data, self.settings
        )  # a directory that holds replicas must have been a cluster's
        self._power = threading.Lock()
        self._power_disks: list[PowerDisk] = []
        self.small_disk = None
        if power:
            self._mount_power_disks()
        else:
            self.lacks["power"] = ONE_POWER
            self.small_disk = self._mount()
        self._faketime = self._look_for_faketime()
        if shutil.which("strace") is None:
            self.lacks["strace"] = "strace is not on the PATH"

    def _mount(self) -> Path | None:
        """A small file system in memory where one replica's directory will be."""
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

    def _mount_power_disks(self) -> None:
        for name in ("disk", "removable"):
            self.lacks[name] = "with --power a replica's directory is a file system of its own"
        try:
            for replica in range(3):
                path = self.directory(0, replica)
                path.mkdir(parents=True, mode=0o700)
                self._power_disks.append(PowerDisk(Path(self._folder, f"disk-{replica}"), path))
        except BaseException:
            self.stop()
            raise

    def lose_power(self, replicas: Iterable[int], seconds: float) -> None:
        """What these had not synced is gone; they are back after a while. Raises NoPower when a disk is not."""
        replicas = list(replicas)
        with self._power:
            for replica in replicas:
                self.kill(0, replica)
            # It may be at work on their files, and what it has written and not yet synced is lost with the rest.
            self.kill_compactor()
            for replica in replicas:
                self._power_disks[replica].cut()
            time.sleep(seconds)
            for replica in replicas:
                self._power_disks[replica].restore()
        for replica in replicas:
            self.restart(0, replica)

    def restart(self, shard: int, replica: int) -> None:
        """Start it, but not while its disk is not there: it would take the empty directory below for a lost disk."""
        with self._power:
            super().restart(shard, replica)

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

    def kill_compactor(self) -> None:
        """SIGKILL to the compactor, if there is one; its supervisor starts it again."""
        pid = self.compactor_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

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
        for disk in self._power_disks:
            disk.close()
        shutil.rmtree(self._folder, ignore_errors=True)
