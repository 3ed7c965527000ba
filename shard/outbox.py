"""Answers on their way to clients, collected over a turn and handed out once per router."""

from __future__ import annotations

from typing import NamedTuple

from ..client.protocol import frames
from ..client.protocol.frames import REPLY, Frame, Item

TURN_BYTES_MAX = 64 * 1024 * 1024


class Origin(NamedTuple):
    """Where a request came from: the router's identity and its number for the client (0: the router itself)."""

    router: bytes
    route: int


class Outbox:
    """Answers by router, in the order they were given.

    `member` is the replica that answers. `term`, `leader` and `index` go into every header and are kept current by the
    replica. A question of a few bytes may have an answer of megabytes, so whoever makes large answers stops when the turn's
    are `full`.
    """

    def __init__(self, shard: int, member: int = 0) -> None:
        self.shard = shard
        self.member = member
        self.term = 0
        self.leader = frames.NO_LEADER_KNOWN
        self.index = 0
        self._by_router: dict[bytes, list[Item]] = {}
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether this turn's answers have more than TURN_BYTES_MAX bytes."""
        return self._bytes > TURN_BYTES_MAX

    def answer(
        self,
        origin: Origin,
        kind: int,
        request: int,
        session: int,
        body: Frame = b"",
        *,
        code: int = 0,
        flags: int = 0,
        count: int = 0,
        first_sequence: int = 0,
        event_index: int = 0,
        retry_after_ms: int = 0,
    ) -> None:
        """Queue one answer; `event_index` is that of the session (client/protocol/frames.py, Reply)."""
        header = REPLY.pack(
            frames.VERSION,
            kind,
            self.shard,
            code,
            flags,
            count,
            request,
            session,
            first_sequence,
            self.index,
            event_index,
            self.term,
            self.leader,
            retry_after_ms,
        )
        self._bytes += len(body)
        item = Item(origin.route, frames.request_frames(header, body))
        items = self._by_router.get(origin.router)
        if items is None:
            self._by_router[origin.router] = [item]
        else:
            items.append(item)

    def refuse(
        self,
        origin: Origin,
        request: int,
        session: int,
        code: int,
        text: str = "",
        *,
        first_sequence: int = 0,
        event_index: int = 0,
        retry_after_ms: int = 0,
    ) -> None:
        """Queue a refusal that is about a whole message, or its sequences from `first_sequence` on."""
        self.answer(
            origin,
            frames.REFUSED,
            request,
            session,
            text.encode(),
            code=code,
            first_sequence=first_sequence,
            event_index=event_index,
            retry_after_ms=retry_after_ms,
        )

    def take(self) -> dict[bytes, list[Item]]:
        """Everything queued since the last call, by router."""
        taken, self._by_router = self._by_router, {}
        self._bytes = 0
        return taken
