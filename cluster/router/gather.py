"""The cluster's status: one question to every replica, one answer made of what comes back within a second.

Pure. One round runs at a time; who asks meanwhile is served by the next round, so that nobody is told a state
older than the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

from ... import __version__
from ...client.protocol.frames import Frame
from ..status import REPLICA_FIELDS

ROUND_S = 1.0
WAITING_MAX = 1024
_FIELDS = REPLICA_FIELDS[1:]
"""What a replica tells of itself; its id is known here already."""


class Asker:
    """A client that waits for a status: its identity and the id of its request."""

    __slots__ = ("identity", "request")

    def __init__(self, identity: bytes, request: int) -> None:
        self.identity = identity
        self.request = request


class Gathering:
    """The rounds of questions. `round` is the request id of the current one, 0 before the first."""

    def __init__(self) -> None:
        self.round = 0
        self.reports: dict[int, dict[str, Any]] = {}
        self._missing: set[int] = set()
        self._deadline = 0.0
        self._served: list[Asker] = []
        self._next: list[Asker] = []

    def ask(self, asker: Asker) -> bool:
        """Queue a client's question. Returns False when too many wait already."""
        if len(self._next) >= WAITING_MAX:
            return False
        self._next.append(asker)
        return True

    @property
    def waiting(self) -> bool:
        """True when somebody waits and no round is running: time to `start` one."""
        return bool(self._next) and not self._served

    def start(self, members: set[int], now: float) -> None:
        """Begin a round: those members are asked under the request id `round`."""
        self.round += 1
        self.reports = {}
        self._missing = set(members)
        self._deadline = now + ROUND_S
        self._served, self._next = self._next, []

    def add(self, member: int, request: int, body: Frame) -> None:
        """A replica's report. One of an earlier round, or that cannot be read, is as good as none."""
        if request != self.round or member not in self._missing:
            return
        report = decoded(body)
        if report is not None:
            self.reports[member] = report
        self._missing.discard(member)

    def miss(self, member: int) -> None:
        """The member cannot be asked, or will not answer any more."""
        self._missing.discard(member)

    @property
    def deadline(self) -> float | None:
        """When `finished` has something to say at the latest: 0.0 for now, None when no round is running."""
        if not self._served:
            return None
        return self._deadline if self._missing else 0.0

    def finished(self, now: float) -> list[Asker]:
        """Those to be answered now from `reports`; empty while the round is running."""
        if not self._served or (self._missing and now < self._deadline):
            return []
        served, self._served = self._served, []
        return served


def decoded(body: Frame) -> dict[str, Any] | None:
    """The map that a replica reports, None when the bytes are none."""
    try:
        report = msgpack.unpackb(body, raw=False, max_ext_len=0)
    except Exception:  # msgpack raises a dozen unrelated types on bad bytes
        return None
    return report if isinstance(report, dict) else None


def merged(cluster_id: str, shards: int, replicas: int, reports: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """The status of the whole cluster from the reports by member; who did not report is `down`."""
    return {
        "version": __version__,
        "cluster_id": cluster_id,
        "shards": [
            _shard(shard, [_replica(replica, reports.get(shard * replicas + replica)) for replica in range(replicas)])
            for shard in range(shards)
        ],
    }


def _shard(shard: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    alive = [row for row in rows if row["role"] != "down"]
    claims = [row for row in alive if row["role"] == "leader"]
    # A leader that was deposed and does not know it yet claims an older term than its successor.
    leader = max(claims, key=_term, default=None)
    return {
        "id": shard,
        "term": max(map(_term, alive), default=0),
        "leader": leader["id"] if leader else None,
        "replicas": rows,
    }


def _term(row: dict[str, Any]) -> int:
    term = row.get("term")
    return term if isinstance(term, int) else 0


def _replica(replica: int, report: dict[str, Any] | None) -> dict[str, Any]:
    known = report if report is not None else {"role": "down"}
    return {"id": replica, **{name: known.get(name) for name in _FIELDS}}
