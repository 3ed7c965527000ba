"""What only a leader keeps: which sequence each session is to send next, early commands, and who waits for what.

Volatile: made anew with every term and dropped on stepping down, when everyone waiting is answered NOT_LEADER. It
turns messages of clients into records for the log and never decides anything that must survive it. It is begun only
once the leader has applied the no-op of its term: from then on the session table is complete, and what lies above it
in the log is this intake's own, so the expected sequence of a session is `last + 1` until it logs something for it.

Rules: a sequence is spent by whatever is logged for it first; a refusal for good is a void in the command's place;
BUSY, NO_SPACE and GAP spend nothing; the expected command is never refused for lack of the room that early ones take.
What one session and what all together can make a leader keep is bounded; beyond it BUSY is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ..client.protocol import errors, frames
from ..client.protocol.frames import Request
from ..client.protocol.limits import Limits
from ..log.entry import SNAPSHOT, UNREGISTER
from .acknowledgements import Acknowledgements
from .admission import Verdict, judge, void
from .company import Company
from .early import Early, EarlyCommands
from .executor import Executor
from .outbox import Origin, Outbox
from .receipts import Receipts, Trace
from .results import ACKNOWLEDGED
from .sessions import ResultAt, Session
from .settling import Settling

Record = tuple[int, int, int, int, int, bytes]

WINDOW_MAX = 0xFFFF
"""An entry's window has 16 bits: so many results may be unacknowledged, or an entry would forget more than it knows."""

BUSY_RETRY_MS = 20
NO_SPACE_RETRY_MS = 500
RESULTS_BYTES_MAX = 64 * 1024 * 1024
UNAPPLIED_BYTES_MAX = 64 * 1024 * 1024


class Waiting(NamedTuple):
    """A message of commands whose results, of sequences `first` to `last`, are owed to `origin`; traced or not."""

    origin: Origin
    request: int
    first: int
    last: int
    trace: Trace | None = None


class Spent(NamedTuple):
    """Sequences from `first` on that this turn's records spend; undone when there is no room for the records."""

    session_id: int
    first: int
    waiting: Waiting


class Intake:
    """The leader's side of all sessions of a shard, for one term.

    `records` are what the turn's messages add to the log, in order, as `log.entry.encode` takes them; the first gets
    the index `next_index`. The replica appends them and calls `appended`, or `refused` when there is no room.
    `acknowledgements` collects those that came by message and are to be folded into the log; `settling` knows whose events
    are still unhandled; `company` whether a turn had better wait for others' commands.
    `results_bytes_max` bounds the unacknowledged results of one session, `unapplied_bytes_max` the commands of all
    sessions that are logged and not applied.
    """

    def __init__(
        self,
        executor: Executor,
        outbox: Outbox,
        limits: Limits,
        next_index: int,
        settling: Settling,
        receipts: Receipts,
        *,
        results_bytes_max: int = RESULTS_BYTES_MAX,
        unapplied_bytes_max: int = UNAPPLIED_BYTES_MAX,
    ) -> None:
        self.executor = executor
        self.outbox = outbox
        self.limits = limits
        self.results_bytes_max = results_bytes_max
        self.unapplied_bytes_max = unapplied_bytes_max
        self.records: list[Record] = []
        self.next_index = next_index
        self.settling = settling
        self.receipts = receipts
        self.acknowledgements = Acknowledgements()
        self.company = Company()
        self._expected: dict[int, int] = {}
        self._waiting: dict[int, deque[Waiting]] = {}
        self._early = EarlyCommands()
        self._spent: list[Spent] = []
        self._unapplied: deque[tuple[int, int]] = deque()
        self._unapplied_bytes = 0
        self._turn_bytes = 0

    def expected(self, session: Session) -> int:
        """The next sequence of the session that has not been logged."""
        return self._expected.get(session.id) or session.last + 1

    def fold_acknowledgements(self) -> None:
        """Log what is not in the log yet of the acknowledgements that came by message, all as one entry."""
        record = self.acknowledgements.fold(self.executor.sessions)
        if record is not None:
            self.records.append(record)

    # -- messages ------------------------------------------------------------------------------------

    def commands(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        """Take a message of commands, or its repetition."""
        first, count = header.first_sequence, header.count
        if first < 1 or not 1 <= count <= self.limits.operations_max:
            most = self.limits.operations_max
            text = f"{count} operations from sequence {first}; a message has 1 to {most}, from sequence 1 on"
            self._refuse(Waiting(origin, header.request, first, first), session.id, errors.BAD_MESSAGE, text)
            return
        expected = self.expected(session)
        if first > expected:
            self._early.keep(Early(origin, header, bytes(body)))
            self._tell_gap(origin, header, expected)
            return
        self.company.sent(session.id)
        self._take(session, origin, header, body, expected)
        if session.id in self._early:
            while early := self._early.pop(session.id, self.expected(session)):
                self._take(session, early.origin, early.header, early.body, self.expected(session))

    def unregister(self, session: Session, origin: Origin, header: Request) -> None:
        """Take a client's own end of its session, which spends the next sequence."""
        sequence, expected = header.first_sequence, self.expected(session)
        waiting = Waiting(origin, header.request, sequence, sequence)
        if sequence < 1:
            text = "an unregister takes the session's next sequence, from 1 on"
            self._refuse(waiting, session.id, errors.BAD_MESSAGE, text)
        elif sequence > expected:
            self._tell_gap(origin, header, expected)
        elif sequence == expected:
            self.records.append((UNREGISTER, SNAPSHOT, 1, session.id, sequence, b""))
            self._spend(session, sequence, waiting)
        elif sequence > session.last:
            self._enqueue(session, waiting)
        else:
            self._answer(session, waiting)

    def _take(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes, expected: int) -> None:
        """Log what is new in a message and remember who waits for all of it."""
        first = header.first_sequence
        last = first + header.count - 1
        trace = self.receipts.begin() if header.flags & frames.TRACED else None
        if last >= expected:
            room = self._room(session, header, expected)
            if last > room:
                last = room
                self._tell_busy(session, origin, header, max(expected, room + 1))
            if last >= expected:
                self._record(session, header, self._verdicts(header, body, expected, last), expected)
                self._turn_bytes += len(body)
                self._unapplied_bytes += len(body)
                if trace is not None:
                    self.receipts.recorded(trace, self.next_index + len(self.records) - 1)
        if last < first:
            return
        waiting = Waiting(origin, header.request, first, last, trace)
        if last >= expected:
            self._spend(session, expected, waiting)
        elif last > session.last:
            self._enqueue(session, waiting)
        else:
            self._answer(session, waiting)

    def _room(self, session: Session, header: Request, expected: int) -> int:
        """The highest sequence that may be logged for the session now."""
        if self._unapplied_bytes > self.unapplied_bytes_max or session.result_bytes > self.results_bytes_max:
            return expected - 1
        return min(session.last + self.limits.in_flight_max, header.acknowledged + WINDOW_MAX)

    def _verdicts(self, header: Request, body: memoryview | bytes, first: int, last: int) -> list[Verdict]:
        """Judge the operations of sequences first..last. A body that cannot be read is refused for good, all of it."""
        try:
            parts = frames.unpack_parts(body, header.count)
        except frames.BadFrame as error:
            return [void(errors.BAD_OPERATION, str(error))] * (last - first + 1)
        executor, limits = self.executor, self.limits
        skip = first - header.first_sequence
        return [judge(part, executor, limits) for part in parts[skip : skip + last - first + 1]]

    def _record(self, session: Session, header: Request, verdicts: list[Verdict], sequence: int) -> None:
        records = self.records
        decoded = self.executor.decoded
        session_id = session.id
        index = self.next_index + len(records)
        # A command's window says what the client had acknowledged when it sent it; it cannot have this result yet.
        window = max(1, sequence - header.acknowledged)
        for kind, mode, payload, operation in verdicts:
            if operation is not None:
                decoded[index] = operation
            records.append((kind, mode, window, session_id, sequence, payload))
            index += 1
            window += 1
            sequence += 1

    # -- who waits for what --------------------------------------------------------------------------

    def _spend(self, session: Session, first: int, waiting: Waiting) -> None:
        self._expected[session.id] = waiting.last + 1
        self._spent.append(Spent(session.id, first, waiting))
        self._enqueue(session, waiting)

    def _enqueue(self, session: Session, waiting: Waiting) -> None:
        queue = self._waiting.get(session.id)
        if queue is None:
            self._waiting[session.id] = deque((waiting,))
        elif len(queue) < self.limits.in_flight_max:
            queue.append(waiting)
        # A longer queue holds repetitions only; the client repeats this one if it still cares.

    def _answer(self, session: Session, waiting: Waiting) -> None:
        """Send the results of sequences first..last, all of them applied."""
        first, last = waiting.first, waiting.last
        if self.outbox.full:
            self._refuse(waiting, session.id, errors.BUSY, "too many answers at once", BUSY_RETRY_MS)
            return
        known = session.results
        forgotten = (0, ACKNOWLEDGED)
        found = [known.get(sequence, forgotten) for sequence in range(first, last + 1)]
        if waiting.trace is not None:
            self.receipts.send(waiting.origin, waiting.request, session, first, found, waiting.trace)
        if session.result_bytes <= self.limits.message_bytes_max:
            self._send_results(session, waiting, first, found)
            return
        for part in _portions(found, self.limits.message_bytes_max):
            self._send_results(session, waiting, first, part)
            first += len(part)

    def _send_results(self, session: Session, waiting: Waiting, first: int, found: list[ResultAt]) -> None:
        indexes = [index for index, _ in found]
        body = frames.pack_results(indexes, [result for _, result in found])
        self.outbox.answer(
            waiting.origin,
            frames.RESULTS,
            waiting.request,
            session.id,
            body,
            flags=frames.UNSETTLED if self.settling.any_pending(indexes) else 0,
            count=len(found),
            first_sequence=first,
            event_index=session.event_index,
        )

    def settle(self) -> None:
        """Answer everyone whose commands were applied since the last call."""
        executor = self.executor
        unapplied = self._unapplied
        while unapplied and unapplied[0][0] <= executor.applied_index:
            self._unapplied_bytes -= unapplied.popleft()[1]
        if executor.ended:
            ended, executor.ended = executor.ended, []
            for session, expired in ended:
                self._dismiss(session, expired)
        touched, executor.touched = executor.touched, []
        for session in touched:
            queue = self._waiting.get(session.id)
            if queue is None:
                continue
            while queue and queue[0].last <= session.last:
                self._answer(session, queue.popleft())
            if not queue:
                del self._waiting[session.id]
                if self._expected.get(session.id) == session.last + 1:
                    del self._expected[session.id]

    def _dismiss(self, session: Session, expired: bool) -> None:
        """A session has ended: answer what was applied, then its unregister, and what lies behind as unknown."""
        self._expected.pop(session.id, None)
        self.acknowledgements.forget(session.id)
        text = f"session {session.id} has ended"
        for waiting in self._waiting.pop(session.id, ()):
            if waiting.first == session.last and not expired:
                self._answer_unregister(session, waiting)
            elif waiting.last <= session.last:
                self._answer(session, waiting)
            else:
                self._refuse(waiting, session.id, errors.UNKNOWN_SESSION, text)
        for early in self._early.drop(session.id):
            self._refuse(_waiting_of(early), session.id, errors.UNKNOWN_SESSION, text)

    def _answer_unregister(self, session: Session, waiting: Waiting) -> None:
        origin, request, *_ = waiting
        self.outbox.answer(origin, frames.UNREGISTERED, request, session.id, event_index=session.event_index)

    # -- refusals ------------------------------------------------------------------------------------

    def _refuse(self, waiting: Waiting, session_id: int, code: int, text: str, retry_after_ms: int = 0) -> None:
        origin, request, first, *_ = waiting
        session = self.executor.sessions.get(session_id)
        self.outbox.refuse(
            origin,
            request,
            session_id,
            code,
            text,
            first_sequence=first,
            event_index=0 if session is None else session.event_index,
            retry_after_ms=retry_after_ms,
        )

    def _tell_gap(self, origin: Origin, header: Request, expected: int) -> None:
        waiting = Waiting(origin, header.request, expected, expected)
        self._refuse(waiting, header.session, errors.GAP, f"sequence {expected} is expected next")

    def _tell_busy(self, session: Session, origin: Origin, header: Request, first: int) -> None:
        """Say from where to repeat. A session too full of results begins with the first that its client may lack."""
        if session.result_bytes > self.results_bytes_max or first > header.acknowledged + WINDOW_MAX:
            first = min(first, session.acknowledged + 1)
            self.fold_acknowledgements()
            text = f"the session keeps {len(session.results)} results ({session.result_bytes} bytes) unacknowledged"
        elif self._unapplied_bytes > self.unapplied_bytes_max:
            text = f"{self._unapplied_bytes} bytes of commands are not applied yet"
        else:
            text = f"at most {self.limits.in_flight_max} operations of a session in flight"
        waiting = Waiting(origin, header.request, first, first)
        self._refuse(waiting, session.id, errors.BUSY, text, BUSY_RETRY_MS)

    def appended(self, next_index: int) -> None:
        """The records are in the log; what comes next gets `next_index` and up."""
        self.records = []
        self._spent = []
        if self.receipts.open:
            self.receipts.appended()
        self.next_index = next_index
        self._unapplied.append((next_index - 1, self._turn_bytes))
        self._turn_bytes = 0

    def refused(self) -> None:
        """There was no room for the records: nothing is spent, and their senders are told NO_SPACE."""
        for offset in range(len(self.records)):
            self.executor.decoded.pop(self.next_index + offset, None)
        for session_id, first, waiting in reversed(self._spent):
            self._expected[session_id] = first
            queue = self._waiting.get(session_id)
            if queue is not None and waiting in queue:
                queue.remove(waiting)
            text = "the leader's disk is full"
            self._refuse(waiting._replace(first=first), session_id, errors.NO_SPACE, text, NO_SPACE_RETRY_MS)
        self.records = []
        self._spent = []
        self._unapplied_bytes -= self._turn_bytes
        self._turn_bytes = 0
        self.receipts.refused()

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER; this intake is not used again."""
        text = "leadership was lost"
        for session_id, queue in self._waiting.items():
            for waiting in queue:
                self._refuse(waiting, session_id, errors.NOT_LEADER, text)
        for early in self._early.drop_all():
            self._refuse(_waiting_of(early), early.header.session, errors.NOT_LEADER, text)
        self.executor.decoded.clear()


def _waiting_of(early: Early) -> Waiting:
    first = early.header.first_sequence
    return Waiting(early.origin, early.header.request, first, first + early.header.count - 1)


def _portions(results: list[ResultAt], bytes_max: int) -> Iterator[list[ResultAt]]:
    """Cut results so that each portion has at most `bytes_max` bytes, or is a single one."""
    start, size = 0, 0
    for position, (_, result) in enumerate(results):
        if position > start and size + len(result) > bytes_max:
            yield results[start:position]
            start, size = position, 0
        size += len(result)
    yield results[start:]
