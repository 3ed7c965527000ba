"""The replicated session table: which sessions are open, what each applied last, the results it may still ask for, and
the events it has not handled.

Changed only by applying committed entries, so it is equal on all replicas at equal index. It must never know who leads,
what time it is outside the log, or where a client is connected; `intake.py` keeps what only a leader knows.

Invariants per session: acknowledged <= last; results are kept for exactly the sequences in (acknowledged, last].
handled <= event_index; the batches that are kept are those published at the indexes in (handled, event_index], each names
the one before it, and the last of them is of event_index: so none are kept exactly when handled equals event_index.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

ResultAt = tuple[int, bytes]
"""A result and the log index of its command: (index, code byte + payload)."""


class Batch(NamedTuple):
    """What one log index published to one session: `count` events, packed as they travel (`client/protocol/events.py`).

    `previous` is the index of the batch before, of the same session, or 0: how a client notices a gap.
    """

    index: int  # type: ignore[assignment]  # the names of two methods of every tuple, which nobody needs here
    previous: int
    count: int  # type: ignore[assignment]
    payload: bytes


NO_EVENTS: deque[Batch] = deque(maxlen=0)
"""Of every session that has handled all its events: an empty deque of its own would take most of a session's memory."""


class Session:
    """One open session. Its id is the index of its register entry; `key` is the secret every request must carry.

    `last` is the highest applied sequence, `acknowledged` the highest one whose results the client is known (by
    the log) to have. `timeout_ms` is the patience the leader has with its silence.

    `event_index` is the index of the last batch that was ever published to it, also when it was handled long ago: the next
    batch names it. `handled` is up to where the log says that events were handled; `events` are the batches above it, to be
    read only, with `event_count` events and `event_bytes` bytes in them.
    """

    __slots__ = (
        *("acknowledged", "client_id", "id", "key", "last", "result_bytes", "results", "timeout_ms"),
        *("event_bytes", "event_count", "event_index", "events", "handled"),
    )

    def __init__(self, session_id: int, client_id: str, key: bytes, timeout_ms: int) -> None:
        self.id = session_id
        self.client_id = client_id
        self.key = key
        self.timeout_ms = timeout_ms
        self.last = 0
        self.acknowledged = 0
        self.results: dict[int, ResultAt] = {}
        self.result_bytes = 0
        self.event_index = 0
        self.handled = 0
        self.events = NO_EVENTS
        self.event_count = 0
        self.event_bytes = 0

    def acknowledge(self, sequence: int) -> None:
        """Forget results up to `sequence`, at most up to what was applied. Lower than before changes nothing."""
        sequence = min(sequence, self.last)
        results = self.results
        for known in range(self.acknowledged + 1, sequence + 1):
            self.result_bytes -= len(results.pop(known)[1])
        self.acknowledged = max(self.acknowledged, sequence)

    def publish(self, index: int, payload: bytes, count: int) -> None:
        """Queue the batch of `count` events that the entry at `index` published; one for each index, in their order."""
        self.queue(Batch(index, self.event_index, count, payload))

    def queue(self, batch: Batch) -> None:
        """Queue a batch as it is."""
        assert batch.index > self.event_index, f"events of entry {batch.index} after those of {self.event_index}"
        if self.events is NO_EVENTS:
            self.events = deque()
        self.events.append(batch)
        self.event_index = batch.index
        self.event_count += batch.count
        self.event_bytes += len(batch.payload)

    def handle(self, index: int) -> None:
        """Forget the events up to log index `index`, at most up to what was published. Lower than before changes nothing."""
        index = min(index, self.event_index)
        if index <= self.handled:
            return
        self.handled = index
        if index == self.event_index:
            self.events = NO_EVENTS
            self.event_count = self.event_bytes = 0
            return
        events = self.events
        while events[0].index <= index:
            batch = events.popleft()
            self.event_count -= batch.count
            self.event_bytes -= len(batch.payload)


class SessionTable:
    """All open sessions of one shard, by id and by key."""

    def __init__(self) -> None:
        self._by_id: dict[int, Session] = {}
        self._by_key: dict[bytes, Session] = {}
        self.get = self._by_id.get  # the hottest lookup there is: one call, not two

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_id.values())

    def register(self, index: int, client_id: str, key: bytes, timeout_ms: int) -> tuple[Session, bool]:
        """Open a session at `index`, or find the open one of the same key. Returns it and whether it is new."""
        known = self._by_key.get(key)
        if known is not None:
            return known, False
        session = Session(index, client_id, key, timeout_ms)
        self.adopt(session)
        return session, True

    def adopt(self, session: Session) -> None:
        """Take a session that is open; of a higher id than all others, since the table is in the order of ids."""
        self._by_id[session.id] = session
        self._by_key[session.key] = session

    def by_id(self) -> dict[int, Session]:
        """A copy of the table by id, ascending: at the cost of a copy, however long it is looked through."""
        return self._by_id.copy()

    def knows(self, key: bytes) -> bool:
        """Whether a session of this key is open."""
        return key in self._by_key

    def end(self, session_id: int) -> Session | None:
        """Take a session out of the table; None when it is not open."""
        session = self._by_id.pop(session_id, None)
        if session is not None:
            del self._by_key[session.key]
        return session
