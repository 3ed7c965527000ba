"""Compactions and snapshots that an operator asks for: every replica is asked, then watched until it has finished.

What is done and when is the replica's affair; here is only what it said and what its status says since. `judge` is
pure; `carry_out` asks and waits, with a clock that tests replace.

Invariant: every replica that was asked has one outcome at the end, whatever became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..client.protocol.admin import COMPACT, AdminRequest
from ..client.protocol.errors import OcelogError
from . import status

DONE, REFUSED, FAILED, UNFINISHED = "done", "refused", "failed", "unfinished"
HEADINGS = ("shard", "replica", "result", "S", "segments", "before", "after", "seconds")
POLL_S = (0.05, 1.0)
"""The first pause between two looks at the status and the longest one; each is half as long again as the one before."""
ASK_S_MAX = 5.0

Ask = Callable[[Sequence[str], AdminRequest, int | None, float], list[dict[str, Any]]]
StatusOf = Callable[[Sequence[str], float], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one replica: `result` is one of the four words above, `reason` why it is not `done`.

    `segments` were rewritten, from `bytes_before` to `bytes_after` for the log as a whole, in `seconds`; None for what
    a replica did not tell and, but for `seconds`, for a snapshot.
    """

    shard: int
    replica: int
    result: str
    reason: str = ""
    snapshot_index: int | None = None
    segments: int | None = None
    bytes_before: int | None = None
    bytes_after: int | None = None
    seconds: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table under HEADINGS."""
        return (
            str(self.shard),
            str(self.replica),
            f"{self.result}: {self.reason}" if self.reason else self.result,
            *("-" if value is None else str(value) for value in (self.snapshot_index, self.segments)),
            status.bytes_text(self.bytes_before),
            status.bytes_text(self.bytes_after),
            "-" if self.seconds is None else f"{self.seconds:.1f}",
        )


def judge(wanted: AdminRequest, accepted: Mapping[str, Any], replica: Mapping[str, Any]) -> Outcome | None:
    """What became of a replica that accepted, from its row in a status; None while it is at work, or down."""
    run, index = accepted.get("run"), accepted.get("snapshot_index")
    compaction = replica.get("compaction") or {}
    snapshot_index = replica.get("snapshot_index") or 0
    if replica["role"] == status.DOWN or (run is not None and compaction.get("runs", 0) < run):
        return None
    error = str(compaction.get("error") or "") if run is not None else ""
    if not error and index is not None and snapshot_index < index:
        return None
    figures = {}
    if wanted.what == COMPACT:
        figures = {name: compaction.get(name) for name in ("segments", "bytes_before", "bytes_after")}
    return Outcome(
        shard=accepted["shard"],
        replica=accepted["replica"],
        result=FAILED if error else DONE,
        reason=error,
        snapshot_index=snapshot_index,
        seconds=compaction.get("last_seconds") if run is not None else None,
        **figures,
    )


def carry_out(
    endpoints: Sequence[str],
    wanted: AdminRequest,
    shard: int | None,
    timeout: float,
    *,
    ask: Ask | None = None,
    status_of: StatusOf = status.fetch,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Outcome]:
    """Ask every replica of a shard (None: of all), and wait until each has finished, `timeout` seconds at most.

    Raises OcelogError when no router takes the question.
    """
    deadline = clock() + timeout
    answers = (ask or _ask)(endpoints, wanted, shard, min(timeout, ASK_S_MAX))
    outcomes = {_key(row): _refusal(row) for row in answers if row.get("ok") is not True}
    watched = {_key(row): _Watched(wanted, row) for row in answers if row.get("ok") is True}
    pause = POLL_S[0]
    while watched:
        for key, replica in _replicas(endpoints, status_of).items():
            outcome = watched[key].look(replica) if key in watched else None
            if outcome is not None:
                outcomes[key] = outcome
                del watched[key]
        left = deadline - clock()
        if left <= 0:
            break
        if watched:
            sleep(min(pause, left))
            pause = min(pause * 1.5, POLL_S[1])
    outcomes.update({key: one.unfinished(timeout) for key, one in watched.items()})
    return [outcomes[key] for key in sorted(outcomes)]


def _ask(endpoints: Sequence[str], wanted: AdminRequest, shard: int | None, timeout: float) -> list[dict[str, Any]]:
    from ..client import admin  # needs ZeroMQ, which the rest of this module does not

    return admin.request(endpoints, wanted, shard=shard, timeout=timeout)


def _replicas(endpoints: Sequence[str], status_of: StatusOf) -> dict[tuple[int, int], Mapping[str, Any]]:
    """Every replica's row of the status, by shard and id; nothing while no router answers, which may be back soon."""
    try:
        report = status_of(endpoints, ASK_S_MAX)
    except OcelogError:
        return {}
    return {(shard["id"], replica["id"]): replica for shard in report["shards"] for replica in shard["replicas"]}


def _key(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["shard"]), int(row["replica"])


def _refusal(row: Mapping[str, Any]) -> Outcome:
    return Outcome(
        shard=row["shard"], replica=row["replica"], result=REFUSED, reason=str(row.get("reason") or "no reason")
    )


class _Watched:
    """One replica that accepted. Another process of it knows nothing of what the first one had accepted."""

    def __init__(self, wanted: AdminRequest, accepted: Mapping[str, Any]) -> None:
        self._wanted = wanted
        self._accepted = accepted
        self._pid: int | None = None
        self._error = ""

    def look(self, replica: Mapping[str, Any]) -> Outcome | None:
        """Its outcome when it has one, by its row in a status."""
        pid = replica.get("pid")
        self._pid = self._pid or pid
        self._error = str((replica.get("compaction") or {}).get("error") or "")
        if pid is not None and pid != self._pid:
            return self._without(FAILED, "it was started again meanwhile")
        return judge(self._wanted, self._accepted, replica)

    def unfinished(self, timeout: float) -> Outcome:
        """Its outcome when the time is over."""
        return self._without(UNFINISHED, self._error or f"it was still at work after {timeout:g} s")

    def _without(self, result: str, reason: str) -> Outcome:
        shard, replica = _key(self._accepted)
        return Outcome(shard=shard, replica=replica, result=result, reason=reason)
