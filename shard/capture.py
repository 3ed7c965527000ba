"""The state of a shard at one index, put into the pieces of a snapshot while entries go on being applied.

A capture begins between two turns, when everything up to its index S is applied, and holds on to what there is: a copy of the
table of sessions, of the resources and of the timers, not of what is in them. It is then written by and by, a bounded
number of rows per turn. Whoever applies an entry meanwhile shows it the session or resource that is about to change:
what was not written yet is set aside first, as it is, so the pieces hold the state at S and nothing later.

It knows nothing of files. Its pieces are made of the state alone: no order of the process, no time of its own.

A session's results and events are bytes that nobody changes, so setting them aside is a copy of references; so are the
records of ended sessions, all of which are copied at once. A machine is asked for
its `snapshot()` in one go, when it is its turn or before the first change: a machine should keep in its snapshot no more
than it can hand out within one turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop
from typing import TYPE_CHECKING, Any, NamedTuple

from .ended import EndedSession
from .errors import CaptureFailed
from .pieces import (
    BATCHES_PER_ROW,
    ENDED,
    FORMAT_VERSION,
    HEAD,
    PIECE_BYTES,
    RESOURCES,
    RESULTS_PER_ROW,
    SESSIONS,
    TIMERS,
    PieceWriter,
    pack,
    unpack,
)
from .resource import Resource
from .sessions import Batch, ResultAt, Session

if TYPE_CHECKING:
    from .executor import Executor

ROWS_MAX = 500
BYTES_MAX = 1 << 20
"""What one step may write, unless a single row is larger: a few milliseconds."""

READ_BACK_MAX = 64 * 1024
"""States up to this size are read back at once, which finds what msgpack packs and does not unpack (a tuple as a key)."""


class _Aside(NamedTuple):
    """A session as it was at S: its row, and the results and events to be written behind it."""

    row: bytes
    results: tuple[ResultAt, ...]
    events: tuple[Batch, ...]


class Capture:
    """See the module. `index`, `time` and `digest` are those of the state; `pieces` are complete once `step` says so.

    The executor's releases must have been handed to the log before: the live set at S belongs to the snapshot.
    """

    def __init__(self, executor: Executor) -> None:
        assert executor.capture is None, f"a capture at {executor.applied_index} during another one"
        assert not executor.released, f"entries released up to {executor.applied_index} are not told to the log yet"
        self.index = executor.applied_index
        self.time = executor.time
        self.digest = executor.digest
        self._executor = executor
        self._sessions = executor.sessions.by_id()
        self._resources = executor.resources.copy()
        self._sessions_aside: dict[int, _Aside] = {}
        self._resources_aside: dict[int, bytes] = {}
        self._ended = executor.ended_records.records()
        self._timers = executor.timers.unowned()
        self._active = sorted(executor.active.items())
        self._payloads: dict[bytes, int] = {}
        self._problem: str | None = None
        self._writer = PieceWriter()
        self._rows = self._write()
        executor.capture = self

    @property
    def pieces(self) -> list[bytes]:
        """What was written so far."""
        return self._writer.pieces

    def step(self, rows_max: int = ROWS_MAX, bytes_max: int = BYTES_MAX) -> bool:
        """Write more; returns whether the pieces are complete. Raises CaptureFailed, after which this capture is over."""
        written = 0
        for count, (kind, row) in enumerate(self._rows, 1):
            if self._problem is not None:
                break
            self._writer.add(kind, row)
            written += len(row)
            if count >= rows_max or written >= bytes_max:
                return False
        self.abandon()
        if self._problem is not None:
            raise CaptureFailed(self._problem)
        self._writer.close()
        return True

    def abandon(self) -> None:
        """Stop looking on; without effect on a capture that is complete."""
        self._rows = iter(())  # it knows this capture: let go of each other
        if self._executor.capture is self:
            self._executor.capture = None

    # -- what is about to change ---------------------------------------------------------------------

    def before_session(self, session: Session) -> None:
        """The session is about to change: set it aside unless that was done, or it was opened after S."""
        if session.id in self._sessions:
            self._sessions_aside[session.id] = _set_aside(self._sessions.pop(session.id))

    def before_resource(self, resource: Resource) -> None:
        """The resource is about to change: set it aside unless that was done, or it was opened after S."""
        if resource.index in self._resources:
            self._resources_aside[resource.index] = self._pack_resource(self._resources.pop(resource.index))

    # -- writing -------------------------------------------------------------------------------------

    def _write(self) -> Iterator[tuple[int, bytes]]:
        """The rows, one by one; what is set aside meanwhile is taken from there."""
        session_ids = sorted((*self._sessions, *self._sessions_aside))
        indexes = sorted((*self._resources, *self._resources_aside))
        counts = (len(session_ids), len(indexes), len(self._timers), len(self._ended))
        yield HEAD, pack((FORMAT_VERSION, self.index, self.time, self.digest, *counts, self._active))
        for session_id in session_ids:
            session = self._sessions.pop(session_id, None)
            found = self._sessions_aside.pop(session_id) if session is None else _set_aside(session)
            yield SESSIONS, found.row
            for row in _result_rows(found.results):
                yield SESSIONS, row
            for row in self._batch_rows(found.events):
                yield SESSIONS, row
        for index in indexes:
            if index in self._resources:
                yield RESOURCES, self._pack_resource(self._resources.pop(index))
            else:
                yield RESOURCES, self._resources_aside.pop(index)
        while self._timers:
            yield TIMERS, pack(heappop(self._timers))
        for record in self._ended:
            yield ENDED, _pack_record(record)
            for row in _result_rows(tuple(record.results.values())):
                yield ENDED, row

    def _batch_rows(self, events: tuple[Batch, ...]) -> Iterator[bytes]:
        """Rows that end where a piece would, since payloads may be large. Each is written once, whoever else has it.

        A backlog that a thousand listeners share is kept once in memory, and would be a thousand times as large here.
        """
        known = self._payloads
        row: list[tuple[Any, ...]] = []
        size = 0
        for index, previous, count, payload in events:
            place = known.get(payload)
            if place is None:
                known[payload] = len(known)
                row.append((index, previous, count, payload))
                size += len(payload)
            else:
                row.append((index, previous, place))
            if len(row) == BATCHES_PER_ROW or size >= PIECE_BYTES:
                yield pack(row)
                row, size = [], 0
        if row:
            yield pack(row)

    def _pack_resource(self, resource: Resource) -> bytes:
        machine = resource.machine
        state = None
        try:
            if hasattr(machine, "snapshot"):
                state = _pack_state(machine.snapshot())
        except MemoryError:
            raise
        except Exception as error:
            name = f"{resource.name!r}, a {resource.type_name}"
            self._problem = f"the snapshot of {name} at entry {self.index}: {type(error).__name__}: {error}"
        counts = (resource.kept, resource.released)
        row = (resource.index, resource.name, resource.type_name, resource.version, *counts, state)
        return pack(row)  # type: ignore[no-any-return]


def _pack_state(state: object) -> bytes:
    """What a machine's `snapshot` returned, as `install` will be able to have it back."""
    # Two containers around it: msgpack packs a level more than it unpacks, and what cannot be read must fail here.
    packed: bytes = pack([[state]])[2:]
    if len(packed) <= READ_BACK_MAX:
        unpack(packed)
    return packed


def _set_aside(session: Session) -> _Aside:
    results, events = tuple(session.results.values()), tuple(session.events)
    fields = (session.id, session.client_id, session.key, session.timeout_ms, session.last, session.acknowledged)
    return _Aside(pack((*fields, session.event_index, session.handled)), results, events)


def _pack_record(record: EndedSession) -> bytes:
    return pack((record.id, record.key, record.last, record.acknowledged, record.ended_at))  # type: ignore[no-any-return]


def _result_rows(results: tuple[ResultAt, ...]) -> Iterator[bytes]:
    for start in range(0, len(results), RESULTS_PER_ROW):
        yield pack(results[start : start + RESULTS_PER_ROW])
