"""What a cluster's status means, in words and as a table; all but `fetch` is pure.

A status is the dictionary that `ocelog status --json` prints: `version`, `cluster_id`, `endpoints`, `compactor` (its
process id, None while it is down), `verdict`, `healthy` and `shards`, each with `id`, `term`, `leader` (a replica's id
or None) and `replicas`, each with the `REPLICA_FIELDS`: `role` is leader, follower, candidate or down, `cpu_percent` of
one core; a replica that is down has None for all but `id` and `role`, and what an older one does not tell is None too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import __version__

DOWN, DIVERGED, RECOVERING, REBUILDING = "down", "DIVERGED", "recovering", "rebuilding"
HEADINGS = (
    "shard",
    "replica",
    "pid",
    "role",
    "term",
    "commit",
    "applied",
    "last",
    "S",
    "live",
    "sessions",
    "log",
    "memory",
    "cpu",
)
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
    # The log and how it is cleaned.
    "snapshot_index",
    "dense_index",
    "segments",
    "live_entries",
    "live_bytes",
    "compaction",
    "snapshot_pause_ms",
    "installed_bytes",
    "no_space",
    # What it is to the others.
    "incarnation",
    "membership",
    "rebuilding",
    "probation",
    "digest_index",
    "diverged",
)
"""`compaction` is a map: `running`, `runs`, `last_seconds`, `segments`, `bytes_before`, `bytes_after`, `error`.
`installed_bytes` are those of the installs that it received since its process began.

`membership` is active, passive or reserve; `rebuilding` while it restores its state, `probation` while it may not vote
after its log was lost or damaged, `no_space` while its disk is full, `diverged` when its digest is not the others'.
"""

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
        "compactor": report.get("compactor"),
        "verdict": verdict(report),
        "healthy": is_healthy(report),
        "shards": [_in_order(shard) for shard in report["shards"]],
    }


def _in_order(shard: Mapping[str, Any]) -> dict[str, Any]:
    replicas = [{name: replica.get(name) for name in REPLICA_FIELDS} for replica in shard["replicas"]]
    return {"id": shard["id"], "term": shard["term"], "leader": shard["leader"], "replicas": replicas}


# -- the verdict -----------------------------------------------------------------------------------------


def verdict(status: Status) -> str:
    """One sentence: `healthy`, `degraded` or `unavailable`, and how many replicas the weakest shard can still lose."""
    shards = status["shards"]
    stopped = [shard["id"] for shard in shards if spare(shard) < 0]
    if stopped:
        return f"unavailable: {_shards(stopped)} no majority"
    leaderless = [shard["id"] for shard in shards if shard["leader"] is None]
    if leaderless:
        return f"unavailable: {_shards(leaderless)} no leader"
    complaints = [complaint for shard in shards for complaint in _complaints(shard)]
    if complaints:
        return "degraded: " + "; ".join(complaints)
    if not shards:
        return "unavailable: there are no shards"
    return f"healthy: every shard can lose {_count(min(map(spare, shards)), 'more ')}"


def _complaints(shard: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a shard that serves: the worst first, and at the end what it can still bear."""
    found = [(_condition(replica), replica) for replica in shard["replicas"]]
    for condition, sentence in _SENTENCES.items():
        for found_condition, replica in found:
            if found_condition == condition:
                yield sentence.format(replica=replica["id"], shard=shard["id"])
    for _, replica in found:
        if replica.get("no_space"):
            refused = ", so writes are refused" if replica["id"] == shard["leader"] else ""
            yield f"replica {replica['id']} of shard {shard['id']} has no disk space left{refused}"
    lost = sum(condition == DOWN for condition, _ in found)
    if lost:
        yield f"shard {shard['id']} has lost {lost} of {_count(len(found))}, can lose {spare(shard)} more"


_SENTENCES = {
    DIVERGED: "replica {replica} of shard {shard} has DIVERGED from the others and serves no more",
    RECOVERING: "replica {replica} of shard {shard} is recovering and does not vote yet",
    REBUILDING: "replica {replica} of shard {shard} is being rebuilt",
}


def _condition(replica: Mapping[str, Any]) -> str:
    """One of the four words at the top, or empty for a replica that does all it should."""
    if replica["role"] == DOWN:
        return DOWN
    conditions = ((DIVERGED, "diverged"), (RECOVERING, "probation"), (REBUILDING, "rebuilding"))
    return next((condition for condition, name in conditions if replica.get(name)), "")


def is_healthy(status: Status) -> bool:
    """True when no replica is missing or in trouble and every shard has a leader."""
    return verdict(status).startswith("healthy")


def spare(shard: Mapping[str, Any]) -> int:
    """How many more voting replicas of the shard may fail before it has no majority; negative when it has none.

    One that is being rebuilt has its log and votes; one that recovers or has diverged does not.
    """
    voters = [replica for replica in shard["replicas"] if replica.get("membership") in (None, "active")]
    present = sum(_condition(replica) in ("", REBUILDING) for replica in voters)
    return present - (len(voters) // 2 + 1)


def _shards(ids: Sequence[int]) -> str:
    if len(ids) == 1:
        return f"shard {ids[0]} has"
    return f"shards {', '.join(map(str, ids))} have"


def _count(number: int, more: str = "") -> str:
    return f"{number} {more}replica" if number == 1 else f"{number} {more}replicas"


# -- the table -------------------------------------------------------------------------------------------


def rows(status: Status) -> list[tuple[str, ...]]:
    """The cells of the table, one row per replica, under `HEADINGS`."""
    return [_row(shard, replica) for shard in status["shards"] for replica in shard["replicas"]]


def _row(shard: Mapping[str, Any], replica: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("term", "commit_index", "applied_index", "last_index", "snapshot_index", "live_entries", "sessions")
    cpu = replica.get("cpu_percent")
    return (
        str(shard["id"]),
        str(replica["id"]),
        _text(replica.get("pid")),
        role_word(replica),
        *(_text(replica.get(name)) for name in names),
        bytes_text(replica.get("log_bytes")),
        bytes_text(replica.get("memory_bytes")),
        "-" if cpu is None else f"{cpu:.0f} %",
    )


def role_word(replica: Mapping[str, Any]) -> str:
    """The one word about a replica: what ails it, else what it does."""
    membership = replica.get("membership")
    role = str(replica["role"])
    return _condition(replica) or (role if membership in (None, "active") else str(membership))


def compactor_line(status: Status) -> str:
    """What there is to say of the host's compactor."""
    pid = status.get("compactor")
    return "compactor down: the log grows until it is back" if pid is None else f"compactor pid {pid}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def bytes_text(value: float | None) -> str:
    """A number of bytes for people, `-` for None."""
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
