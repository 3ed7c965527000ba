"""The replicated session table: which sessions are open, what each applied last, and the results it may still ask for.

Changed only by applying committed entries, so it is equal on all replicas at equal index. It must never know who leads,
what time it is outside the log, or where a client is connected; `intake.py` keeps what only a leader knows.

Invariants per session: acknowledged <= last; results are kept for exactly the sequences in (acknowledged, last].
"""

from __future__ import annotations

from collections.abc import Iterator

ResultAt = tuple[int, bytes]
"""A result and the log index of its command: (index, code byte + payload)."""


class Session:
    """One open session. Its id is the index of its register entry; `key` is the secret every request must carry.

    `last` is the highest applied sequence, `acknowledged` the highest one whose results the client is known (by
    the log) to have. `timeout_ms` is the patience the leader has with its silence.
    """

    __slots__ = ("acknowledged", "client_id", "id", "key", "last", "result_bytes", "results", "timeout_ms")

    def __init__(self, session_id: int, client_id: str, key: bytes, timeout_ms: int) -> None:
        self.id = session_id
        self.client_id = client_id
        self.key = key
        self.timeout_ms = timeout_ms
        self.last = 0
        self.acknowledged = 0
        self.results: dict[int, ResultAt] = {}
        self.result_bytes = 0

    def acknowledge(self, sequence: int) -> None:
        """Forget results up to `sequence`, at most up to what was applied. Lower than before changes nothing."""
        sequence = min(sequence, self.last)
        results = self.results
        for known in range(self.acknowledged + 1, sequence + 1):
            self.result_bytes -= len(results.pop(known)[1])
        self.acknowledged = max(self.acknowledged, sequence)


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
