"""Everything of a leader that waits for a read index: queries, keep-alives that move nothing, and expiries.

All that arrive in one turn share one read: after they arrived, a majority confirms that this leader still leads
(Raft, section 8; thesis 6.4). A query then runs once the confirmed index is applied and, so that a session reads its
own writes, once the commands that its session sent before it are applied.
"""

from __future__ import annotations

from typing import NamedTuple

from ..client.protocol import errors, frames
from ..client.protocol.frames import Request
from .executor import Executor
from .outbox import Origin, Outbox
from .results import encode_error


class Read(NamedTuple):
    """A query or a keep-alive, from arrival to its answer; `deadline` is in the leader's ticks."""

    origin: Origin
    header: Request
    parts: list[bytes]
    deadline: int


class Round(NamedTuple):
    """What waits for one confirmation of leadership."""

    reads: list[Read]
    suspects: list[int]


class Reads:
    """The reads of one leader's term. `waiting_max` bounds what is kept; beyond it BUSY is answered."""

    def __init__(self, executor: Executor, outbox: Outbox, *, waiting_max: int = 65536) -> None:
        self.executor = executor
        self.outbox = outbox
        self.waiting_max = waiting_max
        self._arrived: list[Read] = []
        self._suspects: list[int] = []
        self._rounds: dict[int, Round] = {}
        self._confirmed: list[tuple[int, Read]] = []
        self._last_id = 0
        self._waiting = 0

    def add(self, read: Read) -> None:
        """Take a read that arrived this turn."""
        if self._waiting >= self.waiting_max:
            header = read.header
            text = f"{self._waiting} reads are waiting for their confirmation"
            self.outbox.refuse(
                read.origin, header.request, header.session, errors.BUSY, text, retry_after_ms=50
            )
            return
        self._waiting += 1
        self._arrived.append(read)

    def suspect(self, session_ids: list[int]) -> None:
        """Sessions that seem to be gone; told again by `confirm` once leadership was confirmed."""
        self._suspects.extend(session_ids)

    def has_arrived(self) -> bool:
        """Whether something waits for a round to begin."""
        return bool(self._arrived or self._suspects)

    def next_round(self) -> int | None:
        """The id of a round for what arrived since the last one, or None when nothing did."""
        if not self._arrived and not self._suspects:
            return None
        self._last_id += 1
        self._rounds[self._last_id] = Round(self._arrived, self._suspects)
        self._arrived, self._suspects = [], []
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
        sessions = self.executor.sessions
        blocked = []
        for index, read in self._confirmed:
            session = sessions.get(read.header.session)
            if session is None:
                self._refuse_unknown(read)
            elif index <= applied and read.header.first_sequence <= session.last:
                self._answer(read)
            elif now <= read.deadline:
                blocked.append((index, read))
                continue
            self._waiting -= 1
        self._confirmed = blocked

    def _answer(self, read: Read) -> None:
        origin, header, parts, _ = read
        if header.kind == frames.KEEP_ALIVE:
            self.outbox.answer(origin, frames.KEPT_ALIVE, header.request, header.session)
            return
        run = self.executor.run_query
        results = [run(header.session, part) if part else encode_error(errors.BAD_OPERATION, "empty") for part in parts]
        body = frames.pack_parts(results)
        self.outbox.answer(origin, frames.ANSWERS, header.request, header.session, body, count=len(results))

    def _refuse_unknown(self, read: Read) -> None:
        header = read.header
        text = f"session {header.session} has ended"
        self.outbox.refuse(read.origin, header.request, header.session, errors.UNKNOWN_SESSION, text)

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER; these reads are not used again."""
        waiting = self._arrived + [read for each in self._rounds.values() for read in each.reads]
        for read in waiting + [read for _, read in self._confirmed]:
            header = read.header
            self.outbox.refuse(
                read.origin, header.request, header.session, errors.NOT_LEADER, "leadership was lost"
            )
