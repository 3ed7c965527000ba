"""Whether the commands of a leader's turn had better wait for those of other sessions.

An entry costs every replica a turn, a sync and an answer, whether it comes alone or with fifty others. Many clients with one
command each would have all of them work once per command, and wait for each other's processors. So a leader to whom several
sessions send looks once more, a moment later, before it logs what came. One whose turn brought a command for each of them, or
who has no more than a few clients, never does.
"""

from __future__ import annotations

SECONDS = 0.0003
"""So long is waited: little beside a sync and two messages, and longer than it takes to hand a message over."""

SESSIONS_MIN = 4
"""So many sessions sent commands within a tick of late, or nobody is waited for."""


class Company:
    """Counts who sends. A tick is long beside the time of one command, so whoever sends all the time sends in each."""

    __slots__ = ("_lately", "_senders")

    def __init__(self) -> None:
        self._senders: set[int] = set()
        self._lately = 0

    def sent(self, session_id: int) -> None:
        """A session has sent commands."""
        self._senders.add(session_id)

    def tick(self) -> None:
        """Another tick begins."""
        self._lately = len(self._senders)
        self._senders.clear()

    def wanted(self, records: int) -> bool:
        """Whether a turn with so many records is to wait: not when all of those that send may be in it already."""
        return self._lately >= SESSIONS_MIN and 0 < records < self._lately
