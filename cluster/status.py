"""What a cluster's status means, in words and as a table; all but `fetch` is pure.

A status is the dictionary that `ocelog status --json` prints: `version`, `cluster_id`, `endpoints` of all routers,
`routers` with the `ROUTER_FIELDS`, `compactor` (its process id, None while it is down), `verdict`, `healthy` and
`shards`, each with `id`, `term`, `leader` (a replica's id or None) and `replicas`, each with the `REPLICA_FIELDS`: `role`
is leader, follower, candidate or down, `cpu_percent` of one core; a replica that is down has None for all but `id` and
`role`, and what an older one does not tell is None too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import __version__

DOWN, DIVERGED, RECOVERING, REBUILDING, LACKING = "down", "DIVERGED", "recovering", "rebuilding", "lacking"
CUT_OFF = "cut off"
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
    "install_bytes_sent",
    "no_space",
    # What it is to the others.
    "incarnation",
    "membership",
    "rebuilding",
    "installing",
    "probation",
    "digest_index",
    "diverged",
    "disagreeing",
    "silent",
    "machines",
    "missing_machine",
    # For collectors.
    "events_waiting",
    "event_bytes_waiting",
    "pushes",
    "expiries",
    "digests_compared",
    "digests_differing",
    "cpu_seconds",
)
"""`compaction` is a map: `running`, `runs`, `failures`, `snapshots`, `last_seconds`, `segments`, `bytes_before`,
`bytes_after`, `error`. `events_waiting` are those that sessions have not acknowledged in the log, `digests_compared` those
of members that it compared as a leader, `pushes` the messages of events that it sent and `expiries` the sessions that it
expired as one, `cpu_seconds` what the process has used.
`install_bytes_sent` went to members that entries alone could not bring up to date, since the process began.

`membership` is active, passive, reserve or returning, by what the replica knows to be committed; `installing` while
it receives a snapshot, `rebuilding` while it restores its state, `machines` are those of one's own that it has, type
to versions, `missing_machine` says what it lacks and cannot go on without, `probation` while it may not vote after
its log was lost or damaged, `no_space` while its disk is full, `diverged` when its digest is not the others'.
`disagreeing` are the members whose digests differ, as a leader has heard: those against a majority, or all when there is none;
`silent` those that it has not heard for an election timeout.
"""

ROUTER_FIELDS = (
    "id",
    "endpoint",
    "pid",
    "clients",
    "sessions",
    "bad_messages",
    "not_sent",
    "unreachable",
    "unread",
    "memory_bytes",
    "cpu_seconds",
)
"""`pid` is None while it is down. The others are None for all but the router that was asked: its `clients`, the
`sessions` that they hold, and since it began what it could not read, hand to a replica or hand to a client (that was gone,
or did not read).
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
    routers = _routers(report)
    meant = {**report, "routers": routers}
    return {
        "version": report.get("version", __version__),
        "cluster_id": report.get("cluster_id"),
        "endpoints": list(report.get("endpoints") or endpoints),
        "routers": routers,
        "compactor": report.get("compactor"),
        "verdict": verdict(meant),
        "healthy": is_healthy(meant),
        "shards": [_in_order(shard) for shard in report["shards"]],
    }


def _routers(report: Status) -> list[dict[str, Any]]:
    """The routers that the host's supervisor knows, and what the one that was asked tells of itself."""
    own = report.get("router") or {}
    found = [
        {"id": number, "endpoint": endpoint, "pid": pid}
        for number, (endpoint, pid) in enumerate(report.get("routers", ()))
    ]
    return [
        {name: {**router, **(own if router["id"] == own.get("id") else {})}.get(name) for name in ROUTER_FIELDS}
        for router in found or ([own] if own else [])
    ]


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
    complaints += [f"router {router['id']} is down" for router in status.get("routers", ()) if router["pid"] is None]
    if complaints:
        return "degraded: " + "; ".join(complaints)
    if not shards:
        return "unavailable: there are no shards"
    return f"healthy: every shard can lose {_count(min(map(spare, shards)), 'more ')}"


def _complaints(shard: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a shard that serves: the worst first, and at the end what it can still bear."""
    ids = _undecided(shard)
    if ids:
        yield (
            f"replicas {', '.join(map(str, ids))} of shard {shard['id']} have DIVERGED from each other, and no majority "
            "tells which of them is right"
        )
    found = conditions(shard)
    for condition, sentence in _SENTENCES.items():
        for replica, its in found.items():
            if its == condition:
                yield sentence.format(replica=replica, shard=shard["id"])
    for row in shard["replicas"]:
        if row.get("no_space"):
            refused = ", so writes are refused" if row["id"] == shard["leader"] else ""
            yield f"replica {row['id']} of shard {shard['id']} has no disk space left{refused}"
    lost = list(found.values()).count(DOWN)
    if lost:
        yield f"shard {shard['id']} has lost {lost} of {_count(len(found))}, can lose {spare(shard)} more"


_SENTENCES = {
    DIVERGED: "replica {replica} of shard {shard} has DIVERGED from the others and serves no more",
    RECOVERING: "replica {replica} of shard {shard} is recovering and does not vote yet",
    REBUILDING: "replica {replica} of shard {shard} is being rebuilt",
    LACKING: "replica {replica} of shard {shard} lacks a machine and serves nobody (see its log)",
    CUT_OFF: "replica {replica} of shard {shard} is up, but its leader does not hear it",
}


def conditions(shard: Mapping[str, Any]) -> dict[int, str]:
    """Each replica's condition by its id: one of the six words at the top, or empty for one that does all it should."""
    odd = disagreeing(shard) if not _undecided(shard) else []
    silent = _told_by_leader(shard, "silent")
    return {row["id"]: _condition(row, odd=row["id"] in odd, silent=row["id"] in silent) for row in shard["replicas"]}


def _condition(replica: Mapping[str, Any], *, odd: bool, silent: bool) -> str:
    if replica["role"] == DOWN:
        return DIVERGED if odd else DOWN  # one that is odd has stopped; if it is up, it has begun anew
    if silent:
        return CUT_OFF
    if replica.get("membership") == "returning":
        return RECOVERING  # its probation is over, but until it is promoted the others do without its vote
    flags = (
        (RECOVERING, "probation"),
        (LACKING, "missing_machine"),
        (REBUILDING, "installing"),
        (REBUILDING, "rebuilding"),
    )
    return next((condition for condition, name in flags if replica.get(name)), "")


def disagreeing(shard: Mapping[str, Any]) -> list[int]:
    """The members whose digests differ, as the leader knows: all that it compared when no majority agrees."""
    return _told_by_leader(shard, "disagreeing")


def _told_by_leader(shard: Mapping[str, Any], field: str) -> list[int]:
    told = (row.get(field) for row in shard["replicas"] if row["id"] == shard["leader"])
    return list(next(told, None) or ())


def _undecided(shard: Mapping[str, Any]) -> list[int]:
    """The same when there is no majority among them, which is when the leader counts itself."""
    ids = disagreeing(shard)
    return ids if shard["leader"] in ids else []


def is_healthy(status: Status) -> bool:
    """True when no replica is missing or in trouble and every shard has a leader."""
    return verdict(status).startswith("healthy")


def spare(shard: Mapping[str, Any]) -> int:
    """How many more voting replicas of the shard may fail before it has no majority; negative when it has none.

    One that is being rebuilt or lacks a machine has its log and votes; one that recovers, is cut off or has diverged does not.
    """
    voters = [replica for replica in shard["replicas"] if replica.get("membership") in (None, "active")]
    found = conditions(shard)
    present = sum(found[replica["id"]] in ("", REBUILDING, LACKING) for replica in voters)
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
    return [
        _row(shard, replica, conditions(shard)[replica["id"]])
        for shard in status["shards"]
        for replica in shard["replicas"]
    ]


def _row(shard: Mapping[str, Any], replica: Mapping[str, Any], condition: str) -> tuple[str, ...]:
    names = ("term", "commit_index", "applied_index", "last_index", "snapshot_index", "live_entries", "sessions")
    cpu = replica.get("cpu_percent")
    return (
        str(shard["id"]),
        str(replica["id"]),
        _text(replica.get("pid")),
        condition or _role(replica),
        *(_text(replica.get(name)) for name in names),
        bytes_text(replica.get("log_bytes")),
        bytes_text(replica.get("memory_bytes")),
        "-" if cpu is None else f"{cpu:.0f} %",
    )


def _role(replica: Mapping[str, Any]) -> str:
    """What a replica that nothing ails does."""
    membership = replica.get("membership")
    return str(replica["role"] if membership in (None, "active") else membership)


def router_lines(status: Status) -> list[str]:
    """What there is to say of the routers, a line each."""
    return [
        f"router {router['id']} {'down' if router['pid'] is None else 'pid ' + str(router['pid'])}, {router['endpoint']}"
        for router in status["routers"]
    ]


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
