"""Sessions and records of ended ones, out of the rows of a snapshot: see `pieces.py` for their form.

A row is a session's own, or goes on with the results or the events of the one before: which of these follows from what
that one said it has. Nothing is believed: whatever does not fit raises StateMismatch.
"""

from __future__ import annotations

from typing import Any

from ..client.protocol.events import unpack_batch
from ..client.protocol.frames import BadFrame
from .ended import EndedSession
from .errors import StateMismatch
from .executor import Executor
from .pieces import BATCHES_PER_ROW, RESULTS_PER_ROW, fields_of
from .sessions import Batch, ResultAt, Session


class _Results:
    """The results of one session as they come: of the sequences above `sequence` up to `last`, at indexes above `index`."""

    def __init__(self, session_id: int, acknowledged: int, last: int) -> None:
        self.session_id = session_id
        self.sequence = acknowledged
        self.last = last
        self.index = session_id
        self.found: dict[int, ResultAt] = {}
        self.bytes = 0

    @property
    def missing(self) -> bool:
        return self.sequence < self.last

    def take(self, row: Any, index_max: int) -> None:
        """A row of them."""
        if type(row) is not list or len(row) != min(RESULTS_PER_ROW, self.last - self.sequence):
            raise StateMismatch(
                f"results of session {self.session_id} from sequence {self.sequence + 1} on: {row!r:.60}"
            )
        for item in row:
            index, result = fields_of(item, "a result", int, bytes)
            self.sequence += 1
            if not self.index < index <= index_max or not result:
                text = f"result {self.sequence} of session {self.session_id} is of entry {index}, after {self.index}"
                raise StateMismatch(text)
            self.index = index
            self.found[self.sequence] = (index, result)
            self.bytes += len(result)


class SessionRows:
    """Puts into an executor what rows say about sessions, of a snapshot at `index`.

    A payload comes once, and is one object for all who have it: a thousand listeners of one key need their events once.
    """

    def __init__(self, executor: Executor, index: int) -> None:
        self._executor = executor
        self._index = index
        self._session: Session | None = None
        self._record: EndedSession | None = None
        self._results = _Results(0, 0, 0)
        self._event_index = 0
        self._last_id = 0
        self._last_end = 0
        self._payloads: list[tuple[int, bytes]] = []

    @property
    def missing(self) -> str | None:
        """What is still to come of the session whose rows came last, or None."""
        if self._results.missing:
            return f"results of session {self._results.session_id}"
        if self._session is not None:
            return f"events of session {self._session.id}"
        return None

    def session(self, row: Any) -> bool:
        """Take a row of an open session; returns whether it began one."""
        session = self._session
        if session is None:
            self._begin(row)
        elif self._results.missing:
            self._results.take(row, self._index)
        else:
            self._take_batches(session, row)
        self._settle()
        return session is None

    def _begin(self, row: Any) -> None:
        found = fields_of(row, "a session", int, str, bytes, int, int, int, int, int)
        session_id, client_id, key, timeout_ms, last, acknowledged, event_index, handled = found
        sessions = self._executor.sessions
        if not self._last_id < session_id <= self._index or not acknowledged <= last or sessions.knows(key):
            raise StateMismatch(
                f"session {session_id} after {self._last_id}, with {acknowledged} of {last} results acknowledged"
                + (", and its key is another's" if sessions.knows(key) else "")
            )
        if not handled <= event_index <= self._index or 0 < event_index < session_id:
            raise StateMismatch(f"session {session_id} with events up to entry {event_index}, handled up to {handled}")
        self._last_id = session_id
        session = self._session = Session(session_id, client_id, key, timeout_ms)
        session.last, session.acknowledged = last, acknowledged
        # As if all events were handled; those that are not come as batches, the first of which takes it from there.
        session.event_index = session.handled = handled
        self._event_index = event_index
        self._results = _Results(session_id, acknowledged, last)
        session.results = self._results.found
        sessions.adopt(session)

    def _settle(self) -> None:
        """The session is done when its results and its events have come."""
        session = self._session
        if session is not None and not self._results.missing:
            session.result_bytes = self._results.bytes
            if session.event_index == self._event_index:
                self._session = None

    def _take_batches(self, session: Session, row: Any) -> None:
        if type(row) is not list or not 0 < len(row) <= BATCHES_PER_ROW:
            raise StateMismatch(
                f"events of session {session.id} after those of entry {session.event_index}: {row!r:.60}"
            )
        for item in row:
            batch = self._batch(session, item)
            known = session.event_index
            first = not session.events
            if not known < batch.index <= self._event_index or (
                batch.previous > known if first else batch.previous != known
            ):
                text = f"events of session {session.id} of entry {batch.index} that follow those of {batch.previous}"
                raise StateMismatch(f"{text}, after {known}, of {self._event_index}")
            session.queue(batch)

    def _batch(self, session: Session, item: Any) -> Batch:
        """One batch; a payload that comes for the first time is read, as its client will have to."""
        payloads = self._payloads
        if type(item) is list and len(item) == 3:
            index, previous, place = fields_of(item, "a batch of events", int, int, int)
            if place >= len(payloads):
                raise StateMismatch(f"events of session {session.id} are payload {place} of {len(payloads)}")
            return Batch(index, previous, *payloads[place])
        batch = Batch(*fields_of(item, "a batch of events", int, int, int, bytes))
        try:
            count = len(unpack_batch(batch.payload))
        except BadFrame as error:
            raise StateMismatch(f"events of session {session.id}: {error}") from error
        if count != batch.count or not count:
            raise StateMismatch(f"{batch.count} events of session {session.id} by entry {batch.index} are {count}")
        payloads.append((count, batch.payload))
        return batch

    def ended(self, row: Any) -> bool:
        """Take a row of a session that has ended; returns whether it began one."""
        begins = not self._results.missing
        if begins:
            self._begin_record(row)
        else:
            self._results.take(row, self._index)
        record = self._record
        if record is not None and not self._results.missing:
            self._record = None
            records = self._executor.ended_records
            count = len(records)
            records.add(record._replace(result_bytes=self._results.bytes))
            if len(records) != count + 1:
                raise StateMismatch(
                    f"{count + 1} records of ended sessions with {self._results.bytes} bytes in the last"
                )
        return begins

    def _begin_record(self, row: Any) -> None:
        session_id, key, last, acknowledged, ended_at = fields_of(row, "an ended session", int, bytes, int, int, int)
        executor = self._executor
        known = session_id in executor.ended_records or executor.sessions.get(session_id) is not None
        if known or not 0 < session_id <= self._index or acknowledged > last:
            text = f"a record of session {session_id} with {acknowledged} of {last} results acknowledged"
            raise StateMismatch(f"{text}, {'which is known' if known else f'at entry {self._index}'}")
        if not self._last_end <= ended_at <= executor.time:
            raise StateMismatch(f"session {session_id} ended at {ended_at}, after {self._last_end}, at {executor.time}")
        self._last_end = ended_at
        self._results = _Results(session_id, acknowledged, last)
        self._record = EndedSession(session_id, key, last, acknowledged, self._results.found, 0, ended_at)
