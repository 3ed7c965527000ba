"""CPU time of a cluster's processes, by what they are: leaders, followers, router, other.

Reads the operating system only (psutil); a cluster on another machine simply has no processes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psutil

ROUTER_MODULE = "ocelog.cluster.router"
COMPACTOR_MODULE = "ocelog.log.compactor"


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
    groups: dict[str, list[int]] = {"leader": [], "follower": []}
    for replica in replicas_of(status):
        if replica["pid"] is not None and _runs(replica["pid"], "ocelog"):
            groups["leader" if replica["role"] == "leader" else "follower"].append(replica["pid"])
    known = [pid for pids in groups.values() for pid in pids]
    for pid in _siblings(known):
        groups.setdefault(_group_by_command(pid), []).append(pid)
    return {group: pids for group, pids in groups.items() if pids}


def replicas_of(status: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """All replicas of all shards in a status."""
    return (replica for shard in status["shards"] for replica in shard["replicas"])


def _siblings(pids: list[int]) -> list[int]:
    """The other children of the replicas' supervisor."""
    try:
        children = psutil.Process(pids[0]).parent().children() if pids else []
    except (psutil.Error, AttributeError):
        return []
    return [child.pid for child in children if child.pid not in pids and _runs(child.pid, "ocelog.")]


def _group_by_command(pid: int) -> str:
    if _runs(pid, ROUTER_MODULE):
        return "router"
    return "compactor" if _runs(pid, COMPACTOR_MODULE) else "other"


def _runs(pid: int, word: str) -> bool:
    """Whether the process is there and its command line holds the word (pids are reused, other hosts have them too)."""
    try:
        return any(word in argument for argument in psutil.Process(pid).cmdline()[:5])
    except psutil.Error:
        return False


def _spent_ns(pid: int) -> int | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return int((times.user + times.system) * 1e9)
