"""What an operator asks of replicas through this router: one question to each, one answer made of theirs.

Pure. Every request is a round of its own, since two of them may ask for different things; a member that has not
answered within ROUND_S counts as one that has not accepted.

Invariant: every round that was begun is told its asker once, with one row for each member that it was about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from ...client.protocol.frames import Frame
from .gather import Asker, decoded

ROUND_S = 1.8
"""Less than the time after which a client asks again."""
ROUNDS_MAX = 64
FIRST_ROUND = 1 << 62
"""Far from the request ids of the status rounds, so that a refusal is of one kind of question only."""

NO_ANSWER = "it did not answer in time"
NOT_CONNECTED = "it is down"


@dataclass(kw_only=True, slots=True)
class _Round:
    asker: Asker
    deadline: float
    members: tuple[int, ...]
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)


class AdminRounds:
    """The rounds under way; members are numbered `shard * replicas + replica`."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._rounds: dict[int, _Round] = {}
        self._last = FIRST_ROUND

    def begin(self, asker: Asker, members: Iterable[int], now: float) -> int | None:
        """A round about those members: the request id to ask them under, or None when too many are under way."""
        if len(self._rounds) >= ROUNDS_MAX:
            return None
        self._last += 1
        self._rounds[self._last] = _Round(asker=asker, deadline=now + ROUND_S, members=tuple(members))
        return self._last

    def add(self, member: int, request: int, body: Frame) -> None:
        """A member's own report."""
        report = decoded(body)
        self._take(member, request, report if report is not None else _refused("its answer cannot be read"))

    def refuse(self, member: int, request: int, reason: str) -> None:
        """The member was asked and refused, or could not be asked."""
        self._take(member, request, _refused(reason))

    def miss(self, member: int) -> None:
        """The member cannot be reached any more: it answers no round."""
        for request in self._rounds:
            self.refuse(member, request, NOT_CONNECTED)

    def _take(self, member: int, request: int, report: dict[str, Any]) -> None:
        found = self._rounds.get(request)
        if found is not None and member in found.members:
            found.reports.setdefault(member, report)

    @property
    def deadline(self) -> float | None:
        """When `finished` has something to say at the latest: 0.0 for now, None when no round is under way."""
        return min((0.0 if _is_complete(one) else one.deadline for one in self._rounds.values()), default=None)

    def finished(self, now: float) -> list[tuple[Asker, bytes]]:
        """Who is to be answered now, and with which body."""
        over = [request for request, one in self._rounds.items() if _is_complete(one) or now >= one.deadline]
        return [self._answer(self._rounds.pop(request)) for request in over]

    def _answer(self, one: _Round) -> tuple[Asker, bytes]:
        rows = []
        for member in one.members:
            shard, replica = divmod(member, self._replicas)
            report = one.reports.get(member) or _refused(NO_ANSWER)
            rows.append({**report, "shard": shard, "replica": replica, "ok": report.get("ok") is True})
        return one.asker, bytes(msgpack.packb({"replicas": rows}))


def _is_complete(one: _Round) -> bool:
    return len(one.reports) == len(one.members)


def _refused(reason: str) -> dict[str, Any]:
    return {"ok": False, "reason": reason}
