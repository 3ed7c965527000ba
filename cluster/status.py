"""What a cluster's status means, in words and as a table; all but `fetch` is pure.

A status is the dictionary that `ocelog status --json` prints: `version`, `cluster_id`, `endpoints`, `verdict`,
`healthy` and `shards`, each with `id`, `term`, `leader` (a replica's id or None) and `replicas`, each with the
`REPLICA_FIELDS`: `role` is leader, follower, candidate or down, `cpu_percent` of one core; a replica that is down has
None for all but these two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__

DOWN = "down"
HEADINGS = ("shard", "replica", "pid", "role", "term", "commit", "applied", "last", "sessions", "log", "memory", "cpu")
REPLICA_FIELDS = (
    "id",
    "pid",
    "role",
    "term",
    "commit_index",
    "applied_index",
    "last_index",
    "sessions",
    "log_bytes",
    "memory_bytes",
    "cpu_percent",
)

Status = Mapping[str, Any]


def fetch(endpoints: Sequence[str], timeout: float) -> dict[str, Any]:
    """Ask a router for the cluster's status; `timeout` in seconds.

    Raises OcelogError: ConnectFailed when no router answers in time.
    """
    from ..client import status as client_status  # needs ZeroMQ, which nothing else here does

    report = client_status.fetch(list(endpoints), timeout)
    return complete(report, endpoints)


def complete(report: Status, endpoints: Sequence[str]) -> dict[str, Any]:
    """A router's report with what it means, in the order in which it is printed."""
    return {
        "version": report.get("version", __version__),
        "cluster_id": report.get("cluster_id"),
        "endpoints": list(endpoints),
        "verdict": verdict(report),
        "healthy": is_healthy(report),
        "shards": [_in_order(shard) for shard in report["shards"]],
    }


def _in_order(shard: Mapping[str, Any]) -> dict[str, Any]:
    replicas = [{name: replica.get(name) for name in REPLICA_FIELDS} for replica in shard["replicas"]]
    return {"id": shard["id"], "term": shard["term"], "leader": shard["leader"], "replicas": replicas}


def verdict(status: Status) -> str:
    """One sentence: `healthy`, `degraded` or `unavailable`, and how many replicas the weakest shard can still lose."""
    shards = status["shards"]
    stopped = [shard["id"] for shard in shards if spare(shard) < 0]
    if stopped:
        return f"unavailable: {_shards(stopped)} no majority"
    leaderless = [shard["id"] for shard in shards if shard["leader"] is None]
    if leaderless:
        return f"unavailable: {_shards(leaderless)} no leader"
    hurt = [shard for shard in shards if _lost(shard)]
    if hurt:
        return "degraded: " + "; ".join(
            f"shard {shard['id']} has lost {_lost(shard)} of {_count(len(shard['replicas']))}, "
            f"can lose {spare(shard)} more"
            for shard in hurt
        )
    if not shards:
        return "unavailable: there are no shards"
    return f"healthy: every shard can lose {_count(min(map(spare, shards)), 'more ')}"


def is_healthy(status: Status) -> bool:
    """True when no replica is missing and every shard has a leader."""
    return verdict(status).startswith("healthy")


def spare(shard: Mapping[str, Any]) -> int:
    """How many more replicas of the shard may fail before it has no majority; negative when it has none."""
    replicas = shard["replicas"]
    majority = len(replicas) // 2 + 1
    return len(replicas) - _lost(shard) - majority


def _lost(shard: Mapping[str, Any]) -> int:
    return sum(replica["role"] == DOWN for replica in shard["replicas"])


def _shards(ids: Sequence[int]) -> str:
    if len(ids) == 1:
        return f"shard {ids[0]} has"
    return f"shards {', '.join(map(str, ids))} have"


def _count(number: int, more: str = "") -> str:
    return f"{number} {more}replica" if number == 1 else f"{number} {more}replicas"


def rows(status: Status) -> list[tuple[str, ...]]:
    """The cells of the table, one row per replica, under `HEADINGS`."""
    return [_row(shard, replica) for shard in status["shards"] for replica in shard["replicas"]]


def _row(shard: Mapping[str, Any], replica: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (_text(replica.get(name)) for name in ("term", "commit_index", "applied_index", "last_index", "sessions"))
    cpu = replica.get("cpu_percent")
    return (
        str(shard["id"]),
        str(replica["id"]),
        _text(replica.get("pid")),
        str(replica["role"]),
        *numbers,
        _bytes(replica.get("log_bytes")),
        _bytes(replica.get("memory_bytes")),
        "-" if cpu is None else f"{cpu:.0f} %",
    )


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _bytes(value: float | None) -> str:
    if value is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def columns(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Plain columns, for where there is no terminal or no `rich`."""
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (headings, *cells)
    )
    return "\n".join(line.rstrip() for line in lines)
