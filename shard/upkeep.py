"""A leader's care for sessions: whom it has heard, and whom it has not heard for too long.

Patience is counted in ticks that really ran: a pause of the process, however long, is one tick. It starts again with
a term, since a new leader has heard nobody yet. Only a leader expires a session, and only by an entry that it logs
after a majority confirmed that it still leads.
"""

from __future__ import annotations

from .sessions import Session, SessionTable
from .wheel import Wheel


class Patience:
    """When each session was last heard, in this leader's own ticks.

    A session is looked at when it would be silent if nothing had been heard of it since the last look: one that is heard
    of regularly costs a look per timeout, however often `silent` is asked.
    """

    def __init__(self, tick_ms: int) -> None:
        self.tick_ms = tick_ms
        self.ticks = 0
        self._heard: dict[int, int] = {}
        self._looks: Wheel[int] = Wheel()

    def tick(self) -> None:
        """One turn of the clock that really ran."""
        self.ticks += 1

    def watch(self, session: Session) -> None:
        """An open session is to be looked after from now on; it counts as heard. More than once is once."""
        if session.id not in self._heard:
            self._look_again(session.id, session.timeout_ms)
        self._heard[session.id] = self.ticks

    def hear(self, session_id: int) -> None:
        """Any request is a sign of life."""
        self._heard[session_id] = self.ticks

    def forget(self, session_id: int) -> None:
        """The session has ended."""
        self._heard.pop(session_id, None)

    def is_silent(self, session_id: int, timeout_ms: int) -> bool:
        """Whether the session has been silent for longer than its timeout."""
        silent_ticks = self.ticks - self._heard.get(session_id, 0)
        return silent_ticks * self.tick_ms > timeout_ms

    def silent(self, sessions: SessionTable) -> list[int]:
        """The ids of watched sessions that have been silent for too long; named again until they are heard or gone."""
        silent = []
        for session_id in self._looks.take(self.ticks):
            session = sessions.get(session_id)
            if session is None:
                self._heard.pop(session_id, None)
            elif self.is_silent(session_id, session.timeout_ms):
                silent.append(session_id)
                self._looks.put(self.ticks + 1, session_id)
            else:
                self._look_again(session_id, session.timeout_ms)
        return silent

    def _look_again(self, session_id: int, timeout_ms: int) -> None:
        heard = self._heard.get(session_id, self.ticks)
        self._looks.put(heard + timeout_ms // self.tick_ms + 1, session_id)
