"""Commands that came before their predecessors, in a small budget of their own.

Dropping one is silent and harmless: the client was told of the gap and repeats. Keeping them out of the room of the
expected command is what makes the client's progress certain (a shared budget can be filled by early ones for ever).
"""

from __future__ import annotations

from typing import NamedTuple

from ..client.protocol.frames import Request
from .outbox import Origin

MESSAGES_MAX = 1024
BYTES_MAX = 4 * 1024 * 1024


class Early(NamedTuple):
    """A message of commands that is waiting for its predecessors."""

    origin: Origin
    header: Request
    body: bytes


class EarlyCommands:
    """Early messages of all sessions of a leader, at most MESSAGES_MAX and BYTES_MAX together."""

    def __init__(self) -> None:
        self._by_session: dict[int, dict[int, Early]] = {}
        self._messages = 0
        self._bytes = 0

    def __contains__(self, session_id: int) -> bool:
        return session_id in self._by_session

    def keep(self, early: Early) -> None:
        """Keep the message if there is room; one of the same session and sequence is replaced."""
        if self._messages >= MESSAGES_MAX or self._bytes + len(early.body) > BYTES_MAX:
            return
        kept = self._by_session.setdefault(early.header.session, {})
        replaced = kept.get(early.header.first_sequence)
        kept[early.header.first_sequence] = early
        self._messages += replaced is None
        self._bytes += len(early.body) - (0 if replaced is None else len(replaced.body))

    def pop(self, session_id: int, expected: int) -> Early | None:
        """Take the first message of the session that starts at or before `expected`, or None."""
        kept = self._by_session.get(session_id)
        if kept is None:
            return None
        first = min(kept)
        if first > expected:
            return None
        early = kept.pop(first)
        self._messages -= 1
        self._bytes -= len(early.body)
        if not kept:
            del self._by_session[session_id]
        return early

    def drop(self, session_id: int) -> list[Early]:
        """Forget all messages of one session and return them."""
        dropped = list(self._by_session.pop(session_id, {}).values())
        self._messages -= len(dropped)
        self._bytes -= sum(len(early.body) for early in dropped)
        return dropped

    def drop_all(self) -> list[Early]:
        """Forget everything and return it."""
        return [early for session_id in list(self._by_session) for early in self.drop(session_id)]
