"""A cluster's figures in the OpenMetrics text format, made from its status; pure.

Names begin with `ocelog_` and end with the unit, seconds or bytes, where there is one. What a status does not tell (a
replica is down, or older than this) has no sample, so that an absent figure is never taken for a nought.

Invariants: the samples of a family stand together, under its TYPE, UNIT and HELP; a family without samples is left out;
the last line is `# EOF`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import status as meaning

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PREFIX = "ocelog_"
UNITS = ("seconds", "bytes")
ROLES = ("leader", "follower", "candidate")

Row = Mapping[str, Any]
Labels = tuple[tuple[str, str], ...]
Value = float | int | None


class Family(NamedTuple):
    """A metric: what it is called without the prefix and `_total`, what kind it is, and how a row of its scope tells it.

    `kind` is gauge, counter, info or stateset; the value of an info is a map of labels, of a stateset a map of states.
    """

    scope: str
    name: str
    kind: str
    help: str
    of: Callable[[Row], Any]

    @property
    def unit(self) -> str:
        """The unit that the name ends with, empty if it has none."""
        return next((unit for unit in UNITS if self.name.endswith("_" + unit)), "")

    @property
    def printed(self) -> str:
        """The name of its samples."""
        ending = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return PREFIX + self.name + ending


def _field(*path: str, scale: float | None = None) -> Callable[[Row], Value]:
    """A number, or a truth as 1 or 0, somewhere in the row; None when it is not there."""

    def read(row: Row) -> Value:
        value: Any = row
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, bool):
            return int(value)
        if not isinstance(value, int | float):
            return None
        return value * scale if scale is not None else value

    return read


def _failed(replica: Row) -> Value:
    compaction = replica.get("compaction")
    return int(compaction.get("error") is not None) if isinstance(compaction, Mapping) else None


FAMILIES = (
    Family("cluster", "cluster", "info", "version of the router that was asked, and the cluster's identity", lambda it: {
        "version": it["version"], "cluster_id": it["cluster_id"]}),
    Family("cluster", "healthy", "gauge", "1 when nothing is missing and every shard has a leader",
           lambda it: int(it["healthy"])),
    Family("cluster", "compactor_up", "gauge", "1 while the host's compactor runs",
           lambda it: int(it["compactor"] is not None)),
    Family("shard", "shard_term", "gauge", "highest term that a replica knows", _field("term")),
    Family("shard", "shard_has_leader", "gauge", "1 when a replica leads", lambda it: int(it["leader"] is not None)),
    Family("shard", "shard_spare_replicas", "gauge", "how many more may fail before there is no majority; negative when "
           "there is none", meaning.spare),
    Family("shard", "shard_diverged_replicas", "gauge", "replicas whose state is not that of the others, as the leader "
           "has found", lambda it: len(meaning.disagreeing(it))),
    Family("replica", "replica_up", "gauge", "1 when it answers", lambda it: int(it["role"] != meaning.DOWN)),
    Family("replica", "replica_role", "stateset", "what it is to its shard",
           lambda it: {role: int(it["role"] == role) for role in ROLES}),
    Family("replica", "replica_term", "gauge", "its term", _field("term")),
    Family("replica", "replica_commit_index", "gauge", "index of the last entry known to be committed",
           _field("commit_index")),
    Family("replica", "replica_applied_index", "gauge", "index of the last entry applied", _field("applied_index")),
    Family("replica", "replica_last_index", "gauge", "index of the last entry in its log", _field("last_index")),
    Family("replica", "replica_snapshot_index", "gauge", "index of its newest snapshot", _field("snapshot_index")),
    Family("replica", "replica_dense_index", "gauge", "index above which no entry is missing", _field("dense_index")),
    Family("replica", "replica_log_bytes", "gauge", "its log", _field("log_bytes")),
    Family("replica", "replica_log_segments", "gauge", "segments of its log", _field("segments")),
    Family("replica", "replica_log_live_entries", "gauge", "entries still needed, as of its snapshot",
           _field("live_entries")),
    Family("replica", "replica_log_live_bytes", "gauge", "and their size", _field("live_bytes")),
    Family("replica", "replica_compactions", "counter", "compactions and snapshots that ended, however they did",
           _field("compaction", "runs")),
    Family("replica", "replica_compaction_failures", "counter", "those that ended with an error",
           _field("compaction", "failures")),
    Family("replica", "replica_compaction_failed", "gauge", "1 when the last one did", _failed),
    Family("replica", "replica_compaction_running", "gauge", "1 while one runs", _field("compaction", "running")),
    Family("replica", "replica_compaction_last_seconds", "gauge", "how long the last one took",
           _field("compaction", "last_seconds")),
    Family("replica", "replica_snapshots", "counter", "snapshots taken", _field("compaction", "snapshots")),
    Family("replica", "replica_snapshot_pause_seconds", "gauge", "the longest time that the last snapshot kept it from "
           "its work", _field("snapshot_pause_ms", scale=0.001)),
    Family("replica", "replica_install_sent_bytes", "counter", "as a leader, sent to members that entries alone could "
           "not bring up to date", _field("install_bytes_sent")),
    Family("replica", "replica_sessions", "gauge", "open sessions", _field("sessions")),
    Family("replica", "replica_events_waiting", "gauge", "events that their sessions have not acknowledged",
           _field("events_waiting")),
    Family("replica", "replica_events_waiting_bytes", "gauge", "and their size", _field("event_bytes_waiting")),
    Family("replica", "replica_digest_index", "gauge", "index at which it last told its digest", _field("digest_index")),
    Family("replica", "replica_digests_compared", "counter", "as a leader, digests of members that it compared",
           _field("digests_compared")),
    Family("replica", "replica_digests_differing", "counter", "indexes at which not all of these were the same",
           _field("digests_differing")),
    Family("replica", "replica_diverged", "gauge", "1 when its state is not that of the others", _field("diverged")),
    Family("replica", "replica_no_space", "gauge", "1 while its disk is full", _field("no_space")),
    Family("replica", "replica_rebuilding", "gauge", "1 while it restores its state and answers no query",
           _field("rebuilding")),
    Family("replica", "replica_installing", "gauge", "1 while it receives a snapshot", _field("installing")),
    Family("replica", "replica_probation", "gauge", "1 while it may not vote, since its files were lost or damaged",
           _field("probation")),
    Family("replica", "replica_incarnation", "gauge", "how many times it came back without its files",
           _field("incarnation")),
    Family("replica", "replica_memory_bytes", "gauge", "resident memory", _field("memory_bytes")),
    Family("replica", "replica_cpu_seconds", "counter", "CPU time that it has used", _field("cpu_seconds")),
    Family("router", "router_up", "gauge", "1 when it answers", _field("up")),
    Family("router", "router_clients", "gauge", "clients that it knows", _field("clients")),
    Family("router", "router_sessions", "gauge", "sessions that they hold", _field("sessions")),
    Family("router", "router_bad_messages", "counter", "messages of clients that it could not read",
           _field("bad_messages")),
    Family("router", "router_not_sent", "counter", "requests that a replica had no room for", _field("not_sent")),
    Family("router", "router_unreachable", "counter", "answers for clients that were gone", _field("unreachable")),
    Family("router", "router_unread", "counter", "answers and events dropped, since their clients did not read",
           _field("unread")),
    Family("router", "router_memory_bytes", "gauge", "resident memory", _field("memory_bytes")),
    Family("router", "router_cpu_seconds", "counter", "CPU time that it has used", _field("cpu_seconds")),
)  # fmt: skip
"""Everything there is, in the order in which it is printed; docs/operations.md has the same table."""


class Sample(NamedTuple):
    """One line: labels in order, and the number."""

    labels: Labels
    value: float


def samples(report: Row) -> Iterator[tuple[Family, list[Sample]]]:
    """Every family that has any, with its samples; `report` is a status, as `scrape.report` completes it."""
    rows: dict[str, list[tuple[Labels, Row]]] = {
        "cluster": [((), report)],
        "shard": [((("shard", str(shard["id"])),), shard) for shard in report["shards"]],
        "replica": list(_replicas(report)),
        "router": [((("router", str(it["id"])), ("endpoint", str(it["endpoint"]))), it) for it in report["routers"]],
    }
    for family in FAMILIES:
        found = [sample for labels, row in rows[family.scope] for sample in _of(family, labels, row)]
        if found:
            yield family, found


def _replicas(report: Row) -> Iterator[tuple[Labels, Row]]:
    for shard in report["shards"]:
        odd = {id_ for id_, condition in meaning.conditions(shard).items() if condition == meaning.DIVERGED}
        for replica in shard["replicas"]:
            labels = (("shard", str(shard["id"])), ("replica", str(replica["id"])))
            # One that has diverged stops: what is known of it then is what its leader tells.
            yield labels, {**replica, "diverged": True} if replica["id"] in odd else replica


def _of(family: Family, labels: Labels, row: Row) -> Iterator[Sample]:
    value = family.of(row)
    if family.kind == "info":
        yield Sample((*labels, *((name, str(text)) for name, text in value.items())), 1)
    elif family.kind == "stateset":
        for state, holds in value.items():
            yield Sample((*labels, (family.printed, state)), holds)
    elif value is not None:
        yield Sample(labels, value)


def text(report: Row) -> str:
    """The figures of a cluster as OpenMetrics text."""
    lines: list[str] = []
    for family, found in samples(report):
        name = PREFIX + family.name
        lines.append(f"# TYPE {name} {family.kind}")
        if family.unit:
            lines.append(f"# UNIT {name} {family.unit}")
        lines.append(f"# HELP {name} {_escaped(family.help)}")
        lines += [f"{family.printed}{_labels(sample.labels)} {_number(sample.value)}" for sample in found]
    return "\n".join([*lines, "# EOF", ""])


def as_json(report: Row) -> list[dict[str, Any]]:
    """The same for programs that rather read JSON."""
    return [
        {
            "name": family.printed,
            "type": family.kind,
            "unit": family.unit,
            "help": family.help,
            "samples": [{"labels": dict(sample.labels), "value": sample.value} for sample in found],
        }
        for family, found in samples(report)
    ]


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    # Digits enough to read the same number again; what was scaled carries no rounding error of its own to people.
    return str(value) if isinstance(value, int) else repr(round(value, 9))
