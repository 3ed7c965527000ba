"""What is left of sessions that have ended: who asks later what became of a sequence gets an answer for an hour of log time.

A record holds the highest sequence that was applied and the results that were not acknowledged. Changed only by applying
committed entries, so it is equal on all replicas at equal index: a record is dropped, the oldest first, when there are more
than so many or with more than so many bytes, and when log time has passed it by an hour. After that a session is forgotten,
which is not the same as a session that never was.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from .sessions import ResultAt, Session

KEPT_MS = 3_600_000
RECORDS_MAX = 20_000
BYTES_MAX = 32 * 1024 * 1024
"""Of results. All three are constants of the format: replicas with other ones would forget other records."""


class EndedSession(NamedTuple):
    """`results` are those of the sequences in (acknowledged, last]; nothing above `last` was or will ever be applied."""

    id: int
    key: bytes
    last: int
    acknowledged: int
    results: dict[int, ResultAt]
    result_bytes: int
    ended_at: int

    @classmethod
    def of(cls, session: Session, last: int, time: int) -> EndedSession:
        """The record of a session that ends at log time `time`; `last` is the last sequence that has a result."""
        acknowledged, results = session.acknowledged, session.results
        return cls(session.id, session.key, last, acknowledged, results, session.result_bytes, time)


class EndedSessions:
    """The records, in the order in which the sessions ended. `bytes` are those of all results."""

    def __init__(self) -> None:
        self._records: dict[int, EndedSession] = {}
        self._order: deque[EndedSession] = deque()
        self.bytes = 0
        self.get = self._records.get

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, session_id: int) -> bool:
        return session_id in self._records

    def add(self, record: EndedSession) -> None:
        """A session has ended, later than all others; it may push out the oldest records, or be too large itself."""
        self._records[record.id] = record
        self._order.append(record)
        self.bytes += record.result_bytes
        while len(self._records) > RECORDS_MAX or self.bytes > BYTES_MAX:
            self._drop()

    def forget(self, time: int) -> None:
        """Drop what ended an hour before log time `time`, or earlier."""
        order = self._order
        while order and order[0].ended_at <= time - KEPT_MS:
            self._drop()

    def records(self) -> list[EndedSession]:
        """All of them, as they are now, the oldest first."""
        return list(self._order)

    def _drop(self) -> None:
        record = self._order.popleft()
        del self._records[record.id]
        self.bytes -= record.result_bytes
