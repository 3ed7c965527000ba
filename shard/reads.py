"""Everything of a leader that waits for a read index: queries, keep-alives, doubts about a session, and expiries.

All that arrive in one turn share one read: after they arrived, a majority confirms that this leader still leads
(Raft, section 8; thesis 6.4). A query then runs once the confirmed index is applied and, so that a session reads its
own writes, once the commands that its session sent before it are applied.

A BOUNDED_LINEARIZABLE query needs no read while the leader has a lease, asked about after the query arrived and in the
turn in which it runs; without a lease it waits for a read like the others. No other level ever goes by the lease: that
one rests on clocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..client.protocol import errors, frames
from . import outcomes, queries
from .executor import Executor
from .outbox import Outbox
from .queries import ANSWERS_BYTES_MAX, Read
from .receipts import LEASE, READ_INDEX


class Round(NamedTuple):
    """What waits for one confirmation of leadership."""

    reads: list[Read]
    suspects: list[int]


class Reads:
    """The reads of one leader's term. `waiting_max` and `bytes_max` bound what is kept; beyond them BUSY is answered.

    `clock` (seconds) is for receipts.
    """

    def __init__(
        self,
        executor: Executor,
        outbox: Outbox,
        *,
        waiting_max: int = 65536,
        bytes_max: int = 64 * 1024 * 1024,
        answers_bytes_max: int = ANSWERS_BYTES_MAX,
        clock: Callable[[], float] = float,
    ) -> None:
        self.executor = executor
        self.outbox = outbox
        self.waiting_max = waiting_max
        self.bytes_max = bytes_max
        self.answers_bytes_max = answers_bytes_max
        self.clock = clock
        self._arrived: list[Read] = []
        self._patient: list[Read] = []
        self._bounded: list[Read] = []
        self._leased: list[Read] = []
        self._blocked: list[Read] = []
        self._suspects: list[int] = []
        self._rounds: dict[int, Round] = {}
        self._confirmed: list[tuple[int, Read]] = []
        self._last_id = 0
        self._waiting = 0
        self._bytes = 0
        self._postponed = False

    def add(self, read: Read) -> None:
        """Take a read that arrived this turn."""
        if self._waiting >= self.waiting_max or self._bytes > self.bytes_max:
            self._tell_busy(read, f"{self._waiting} reads ({self._bytes} bytes) are waiting")
            return
        self._waiting += 1
        self._bytes += read.size
        header = read.header
        if read.parts is None:
            self._arrived.append(read)
        elif header.kind == frames.QUERY and header.level == frames.BOUNDED_LINEARIZABLE:
            self._bounded.append(read)
        elif header.kind == frames.KEEP_ALIVE:
            # Nobody waits for the answer to a keep-alive: it takes the next round, and begins none before the next tick,
            # or ten thousand idle sessions would cost a thousand rounds a second.
            self._patient.append(read)
        else:
            self._arrived.append(read)

    def tick(self) -> None:
        """A tick passed: what waited for a round that others begin waits no longer."""
        self._arrived += self._patient
        self._patient.clear()

    @property
    def wants_lease(self) -> bool:
        """Whether a query may run this turn if there is a lease."""
        return bool(self._bounded or self._blocked)

    def decide_by_lease(self, has_lease: bool) -> None:
        """Whether there is a lease in this turn; if not, what counted on it waits for the next round."""
        waiting = self._bounded + self._blocked
        self._bounded, self._blocked = [], []
        if has_lease:
            self._leased += waiting
        else:
            self._arrived += waiting

    def suspect(self, session_ids: list[int]) -> None:
        """Sessions that seem to be gone; told again by `confirm` once leadership was confirmed."""
        self._suspects.extend(session_ids)

    def has_work(self) -> bool:
        """Whether something waits for a round to begin, or could not be answered in this turn for its size."""
        return bool(self._arrived or self._bounded or self._suspects) or self._postponed

    def next_round(self) -> int | None:
        """The id of a round for what arrived since the last one, or None when nothing did."""
        if not self._arrived and not self._suspects:
            return None
        self._last_id += 1
        self._rounds[self._last_id] = Round(self._arrived + self._patient, self._suspects)
        self._arrived, self._patient, self._suspects = [], [], []
        return self._last_id

    def confirm(self, round_id: int, index: int) -> list[int]:
        """The round is confirmed at this read index; its reads may run from there on. Returns its suspects."""
        confirmed = self._rounds.pop(round_id)
        self._confirmed.extend((index, read) for read in confirmed.reads)
        return confirmed.suspects

    def run(self, now: int) -> None:
        """Run and answer what may run at the applied index; forget what nobody waits for any more (`now` in ticks)."""
        self._postponed = False
        if self._confirmed:
            applied = self.executor.applied_index
            confirmed, self._confirmed = self._confirmed, []
            for index, read in confirmed:
                if not self._is_over(read, now, READ_INDEX, may_run=index <= applied):
                    self._confirmed.append((index, read))
        if self._leased:
            # What waits on is asked about again: the lease may be over by then.
            leased, self._leased = self._leased, []
            self._blocked += [read for read in leased if not self._is_over(read, now, LEASE, may_run=True)]

    def _is_over(self, read: Read, now: int, path: str, *, may_run: bool) -> bool:
        """Answer the read if it may run and can be answered; whether nobody waits for it any more."""
        if self.outbox.full:
            self._postponed = True
            return False
        if not (may_run and self._answered(read, path)) and now <= read.deadline:
            return False
        self._waiting -= 1
        self._bytes -= read.size
        return True

    def _answered(self, read: Read, path: str) -> bool:
        """Answer a confirmed read, unless its session's own commands are to be applied before it."""
        session = self.executor.sessions.get(read.header.session)
        if session is None and read.header.kind == frames.OUTCOME and not read.header.session:
            outcomes.answer(self.executor, self.outbox, read, None)
        elif session is None:
            queries.refuse_unknown(self.outbox, read)
        elif read.parts is None:
            self._tell_busy(read, "the session has just become known here")
        elif read.header.first_sequence > session.last:
            return False
        elif read.header.kind == frames.KEEP_ALIVE:
            event_index = session.event_index
            self.outbox.answer(read.origin, frames.KEPT_ALIVE, read.header.request, session.id, event_index=event_index)
        elif read.header.kind == frames.OUTCOME:
            outcomes.answer(self.executor, self.outbox, read, session)
        else:
            queries.answer(self.executor, self.outbox, read, session, self.answers_bytes_max, path, self.clock)
        return True

    def _tell_busy(self, read: Read, text: str) -> None:
        queries.refuse(self.outbox, read, errors.BUSY, text, retry_after_ms=50)

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER; these reads are not used again."""
        waiting = self._arrived + self._patient + self._bounded + self._leased + self._blocked
        waiting += [read for each in self._rounds.values() for read in each.reads]
        for read in waiting + [read for _, read in self._confirmed]:
            queries.refuse(self.outbox, read, errors.NOT_LEADER, "leadership was lost")
