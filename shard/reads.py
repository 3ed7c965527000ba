"""Everything of a leader that waits for a read index: queries, keep-alives, doubts about a session, and expiries.

All that arrive in one turn share one read: after they arrived, a majority confirms that this leader still leads
(Raft, section 8; thesis 6.4). A query then runs once the confirmed index is applied and, so that a session reads its
own writes, once the commands that its session sent before it are applied.
"""

from __future__ import annotations

from typing import NamedTuple

from ..client.protocol import errors, frames
from . import outcomes, queries
from .executor import Executor
from .outbox import Outbox
from .queries import ANSWERS_BYTES_MAX, Read


class Round(NamedTuple):
    """What waits for one confirmation of leadership."""

    reads: list[Read]
    suspects: list[int]


class Reads:
    """The reads of one leader's term. `waiting_max` and `bytes_max` bound what is kept; beyond them BUSY is answered."""

    def __init__(
        self,
        executor: Executor,
        outbox: Outbox,
        *,
        waiting_max: int = 65536,
        bytes_max: int = 64 * 1024 * 1024,
        answers_bytes_max: int = ANSWERS_BYTES_MAX,
    ) -> None:
        self.executor = executor
        self.outbox = outbox
        self.waiting_max = waiting_max
        self.bytes_max = bytes_max
        self.answers_bytes_max = answers_bytes_max
        self._arrived: list[Read] = []
        self._patient: list[Read] = []
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
        # Nobody waits for the answer to a keep-alive: it takes the next round, and begins none before the next tick, or ten
        # thousand idle sessions would cost a thousand rounds a second.
        patient = read.header.kind == frames.KEEP_ALIVE and read.parts is not None
        (self._patient if patient else self._arrived).append(read)

    def tick(self) -> None:
        """A tick passed: what waited for a round that others begin waits no longer."""
        self._arrived += self._patient
        self._patient.clear()

    def suspect(self, session_ids: list[int]) -> None:
        """Sessions that seem to be gone; told again by `confirm` once leadership was confirmed."""
        self._suspects.extend(session_ids)

    def has_work(self) -> bool:
        """Whether something waits for a round to begin, or could not be answered in this turn for its size."""
        return bool(self._arrived or self._suspects) or self._postponed

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
        if not self._confirmed:
            return
        applied = self.executor.applied_index
        blocked = []
        self._postponed = False
        for index, read in self._confirmed:
            if self.outbox.full:
                self._postponed = True
                blocked.append((index, read))
                continue
            if index <= applied and self._answered(read):
                pass
            elif now <= read.deadline:
                blocked.append((index, read))
                continue
            self._waiting -= 1
            self._bytes -= read.size
        self._confirmed = blocked

    def _answered(self, read: Read) -> bool:
        """Answer a confirmed read, unless its session's own commands are to be applied before it."""
        session = self.executor.sessions.get(read.header.session)
        if session is None:
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
            queries.answer(self.executor, self.outbox, read, session, self.answers_bytes_max)
        return True

    def _tell_busy(self, read: Read, text: str) -> None:
        queries.refuse(self.outbox, read, errors.BUSY, text, retry_after_ms=50)

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER; these reads are not used again."""
        waiting = self._arrived + self._patient + [read for each in self._rounds.values() for read in each.reads]
        for read in waiting + [read for _, read in self._confirmed]:
            queries.refuse(self.outbox, read, errors.NOT_LEADER, "leadership was lost")
