"""What clients have told a leader that they have: results, and events handled; collected for the log.

Only what is in the log may make a replica forget, so what came by message is folded into one entry now and then. A late
copy of an old message is no news.
"""

from __future__ import annotations

import msgpack

from ..log.entry import KEEP_ALIVE, SNAPSHOT
from .sessions import Session, SessionTable


class Acknowledgements:
    """The highest sequence and event index that each session told since they were folded last."""

    def __init__(self) -> None:
        self._results: dict[int, int] = {}
        self._handled: dict[int, int] = {}

    def results(self, session: Session, sequence: int) -> None:
        """The client has all results up to `sequence`."""
        if sequence > self._results.get(session.id, 0):
            self._results[session.id] = sequence

    def handled(self, session: Session, index: int) -> None:
        """The client has handled all events up to the batch of `index`."""
        if index > self._handled.get(session.id, 0):
            self._handled[session.id] = index

    def fold(self, sessions: SessionTable) -> tuple[int, int, int, int, int, bytes] | None:
        """The record of what is not in the log yet, for all sessions, or None when that is nothing."""
        results, self._results = self._results, {}
        handled, self._handled = self._handled, {}
        moved = []
        for session_id in results | handled:
            session = sessions.get(session_id)
            if session is None:
                continue
            sequence, index = results.get(session_id, 0), handled.get(session_id, 0)
            if min(sequence, session.last) > session.acknowledged or index > session.handled:
                moved.append((session_id, sequence, index))
        if not moved:
            return None
        return (KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb(moved))

    def forget(self, session_id: int) -> None:
        """The session has ended."""
        self._results.pop(session_id, None)
        self._handled.pop(session_id, None)
