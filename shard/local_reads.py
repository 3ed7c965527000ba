"""SEQUENTIAL and CAUSAL queries: answered by any replica that has applied what the session has seen, without a round.

A query waits until this replica has applied the highest index that its client has seen (results, events, answers);
at SEQUENTIAL also until the commands that its session sent before it are applied. What is applied is committed, so that
an answer is never of a state that could be taken back; it may be of an older one than the leader's, and so every answer
says of which.

A replica that has heard no leader for an election timeout, that is rebuilding its state, or that is still behind after
a bounded wait refuses with the leader and the term it knows: the client asks the leader then. What waits is bounded in
number, bytes and time. It knows nothing of rounds and leases.
"""

from __future__ import annotations

from collections.abc import Callable

from ..client.protocol import errors, frames
from ..client.protocol.frames import BadFrame, Request
from ..client.protocol.limits import Limits
from . import queries
from .outbox import Origin, Outbox
from .queries import ANSWERS_BYTES_MAX, READ_WAIT_MS_MAX, Read
from .raft.core import Raft
from .raft.messages import LEADER
from .receipts import LOCAL
from .state import ReplicaState

BEHIND_MS = 500
"""How long a query waits for a replica that does not lead to catch up: longer than any lag but that of one in trouble."""

RETRY_MS = 50

READING_MS = 1000
"""For so long after a query its replica is told of every commit at once: reads come in company."""


class LocalReads:
    """The queries that one replica answers by itself, whatever its role; `clock` (seconds) is for receipts."""

    def __init__(
        self,
        core: Raft,
        state: ReplicaState,
        outbox: Outbox,
        limits: Limits,
        *,
        tick_ms: int,
        waiting_max: int = 4096,
        bytes_max: int = 16 * 1024 * 1024,
        answers_bytes_max: int = ANSWERS_BYTES_MAX,
        clock: Callable[[], float] = float,
    ) -> None:
        self.core = core
        self.state = state
        self.outbox = outbox
        self.limits = limits
        self.tick_ms = tick_ms
        self.waiting_max = waiting_max
        self.bytes_max = bytes_max
        self.answers_bytes_max = answers_bytes_max
        self.clock = clock
        self._waiting: list[Read] = []
        self._bytes = 0
        self._postponed = False
        self._quiet_from = 0

    def receive(self, origin: Origin, header: Request, body: memoryview) -> None:
        """Take a message of queries; it is answered by `run`."""
        arrived = self.clock() if header.flags & frames.TRACED else 0.0
        read = Read(origin, header, None, self._deadline(header), arrived)
        if len(body) > self.limits.message_bytes_max:
            text = f"a body of {len(body)} bytes; at most {self.limits.message_bytes_max}"
            queries.refuse(self.outbox, read, errors.TOO_LARGE, text)
            return
        if len(self._waiting) >= self.waiting_max or self._bytes > self.bytes_max:
            text = f"{len(self._waiting)} messages of queries ({self._bytes} bytes) are waiting"
            queries.refuse(self.outbox, read, errors.BUSY, text, retry_after_ms=RETRY_MS)
            return
        try:
            read = read._replace(parts=queries.parts_of(header, body, self.limits))
        except BadFrame as error:
            queries.refuse(self.outbox, read, errors.BAD_MESSAGE, str(error))
            return
        self._waiting.append(read)
        self._bytes += read.size
        self._quiet_from = self.core.ticks + READING_MS // self.tick_ms

    def _deadline(self, header: Request) -> int:
        # A leader has nobody to send a query to: what waits there waits for commands that have not arrived.
        most = READ_WAIT_MS_MAX if self.core.role is LEADER else BEHIND_MS
        return self.core.ticks + min(header.milliseconds_left, most) // self.tick_ms + 1

    @property
    def has_work(self) -> bool:
        """Whether something could not be answered in this turn for the size of its answer."""
        return self._postponed

    @property
    def lately(self) -> bool:
        """Whether there have been queries within READING_MS."""
        return self.core.ticks < self._quiet_from

    def run(self) -> None:
        """Answer what may be answered at the applied index; refuse what this replica cannot answer, or not in time."""
        self._postponed = False
        if not self._waiting:
            return
        code = self._unable()
        waiting, self._waiting = self._waiting, []
        for read in waiting:
            if code:
                queries.refuse(self.outbox, read, code, retry_after_ms=RETRY_MS)
            elif self.outbox.full:
                self._postponed = True
                self._waiting.append(read)
                continue
            elif not self._answered(read):
                if self.core.ticks <= read.deadline:
                    self._waiting.append(read)
                    continue
                self._give_up(read)
            self._bytes -= read.size

    def _unable(self) -> int:
        """Why this replica can answer nobody at the moment, as an error's code; 0 when it can."""
        core = self.core
        if not core.in_contact:
            return errors.NO_LEADER if core.leader is None else errors.NOT_LEADER
        return errors.OK if self.state.usable and not core.installing else errors.BEHIND

    def _answered(self, read: Read) -> bool:
        """Answer a query, unless this replica has not applied yet what it must see."""
        executor = self.state.executor
        header = read.header
        session = executor.sessions.get(header.session)
        if session is None:
            if header.session > executor.applied_index:
                return False  # it may be opened by what is not applied here yet
            queries.refuse_unknown(self.outbox, read)
        elif session.key != header.key:
            queries.refuse_unknown(self.outbox, read)
        elif header.seen > executor.applied_index or (
            header.level != frames.CAUSAL and header.first_sequence > session.last
        ):
            return False
        else:
            queries.answer(executor, self.outbox, read, session, self.answers_bytes_max, LOCAL, self.clock)
        return True

    def _give_up(self, read: Read) -> None:
        """Nobody waits any more for what a leader could not answer; what a follower could not, its leader can."""
        if self.core.role is not LEADER:
            applied = self.state.executor.applied_index
            text = f"applied through {applied}; the query asks for {read.header.seen} and sequence {read.header.first_sequence}"
            queries.refuse(self.outbox, read, errors.BEHIND, text)
