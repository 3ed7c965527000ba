"""A leader's care for sessions: whom it has heard, and whom it has not heard for too long.

Patience is counted in ticks that really ran: a pause of the process, however long, is one tick. It starts again with
a term, since a new leader has heard nobody yet. Only a leader expires a session, and only by an entry that it logs
after a majority confirmed that it still leads.
"""

from __future__ import annotations

from .sessions import SessionTable


class Patience:
    """When each session was last heard, in this leader's own ticks."""

    def __init__(self, tick_ms: int) -> None:
        self.tick_ms = tick_ms
        self.ticks = 0
        self._heard: dict[int, int] = {}

    def tick(self) -> None:
        """One turn of the clock that really ran."""
        self.ticks += 1

    def hear(self, session_id: int) -> None:
        """Any request is a sign of life."""
        self._heard[session_id] = self.ticks

    def is_silent(self, session_id: int, timeout_ms: int) -> bool:
        """Whether the session has been silent for longer than its timeout."""
        silent_ticks = self.ticks - self._heard.get(session_id, 0)
        return silent_ticks * self.tick_ms > timeout_ms

    def silent(self, sessions: SessionTable) -> list[int]:
        """The ids of all sessions that were silent for too long; also forgets sessions that are gone."""
        self._heard = {session.id: self._heard.get(session.id, 0) for session in sessions}
        return [session.id for session in sessions if self.is_silent(session.id, session.timeout_ms)]
