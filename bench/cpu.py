"""CPU time of a cluster's processes, by what they are: leaders, followers, router, compactor.

Reads the operating system only (psutil); a cluster on another machine simply has no processes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psutil

REPLICA_MODULE = "ocelog.shard"
GROUPS = {REPLICA_MODULE: "follower", "ocelog.cluster.router": "router", "ocelog.log.compactor_process": "compactor"}
"""Group of a process by the module it runs. A replica that does not say it leads is a follower."""


class Meter:
    """CPU nanoseconds spent since the meter was made, per group. `sample` often enough not to miss a process's end."""

    def __init__(self, groups: dict[str, list[int]]) -> None:
        self._groups = {pid: group for group, pids in groups.items() for pid in pids}
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        for pid in self._groups:
            spent = _spent_ns(pid)
            if spent is not None:
                self._first[pid] = self._last[pid] = spent

    def watch(self, group: str, pid: int | None) -> None:
        """Count a process that has just started, from its beginning; None (it is down again) is no process."""
        if pid is None:
            return
        self._groups[pid] = group
        self._first[pid] = self._last[pid] = 0

    def sample(self) -> None:
        """Read the processes that are still there; those that are gone keep what was read last."""
        for pid in self._first:
            spent = _spent_ns(pid)
            if spent is not None:
                self._last[pid] = max(spent, self._last[pid])

    def spent_ns(self) -> dict[str, int]:
        """CPU nanoseconds per group up to the last sample."""
        spent: dict[str, int] = {}
        for pid, first in self._first.items():
            group = self._groups[pid]
            spent[group] = spent.get(group, 0) + self._last[pid] - first
        return spent


def groups_of(status: dict[str, Any]) -> dict[str, list[int]]:
    """The processes of a running cluster by group, from its status; empty when they are not on this machine."""
    replicas = [replica for replica in replicas_of(status) if _module(replica["pid"]) == REPLICA_MODULE]
    leaders = {replica["pid"] for replica in replicas if replica["role"] == "leader"}
    groups: dict[str, list[int]] = {}
    for pid in _family([replica["pid"] for replica in replicas]):
        group = "leader" if pid in leaders else GROUPS.get(_module(pid))
        if group is not None:
            groups.setdefault(group, []).append(pid)
    return dict(sorted(groups.items()))


def replicas_of(status: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """All replicas of all shards in a status."""
    return (replica for shard in status["shards"] for replica in shard["replicas"])


def _family(replicas: list[int]) -> list[int]:
    """The replicas and the other children of their supervisor."""
    try:
        parent = psutil.Process(replicas[0]).parent() if replicas else None
        return [child.pid for child in parent.children()] if parent is not None else replicas
    except psutil.Error:
        return replicas


def _module(pid: int | None) -> str:
    """The module a Python process runs (`-m`), empty for any other (pids are reused, and other hosts have them too)."""
    try:
        command = psutil.Process(pid).cmdline() if pid is not None else []
    except psutil.Error:
        return ""
    return command[command.index("-m") + 1] if "-m" in command[:-1] else ""


def _spent_ns(pid: int) -> int | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return int((times.user + times.system) * 1e9)
