"""Which log indexes are settled, and who waits for it.

An index is settled when it is applied and no open session has an unhandled batch of events of it. That is counted here
and stored nowhere: handled is what the log says or what a client has told this leader, and a session that ends has
handled everything. A new leader counts from the log and asks the clients again, so what was settled may be unsettled
once more; it never was untrue, since handled events stay handled.

Whoever waits is answered with what is settled, in portions; repeating the question is harmless, since the repetition takes
the place of the first. It must never know how events get to clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..client.protocol import errors, frames
from ..client.protocol.events import INDEXES_MAX, pack_indexes, unpack_indexes
from ..client.protocol.frames import BadFrame, Request
from .outbox import Origin, Outbox
from .sessions import Session

WAITERS_MAX = 65536
"""So many (session, index) may wait at once; beyond them BUSY is answered, and the client asks again."""

BUSY_RETRY_MS = 50


class Asker(NamedTuple):
    """A question for settled indexes, by a session; forgotten after tick `deadline`, when its client has repeated it."""

    origin: Origin
    request: int
    session: Session
    deadline: int


class Settling:
    """The counts and the waiters of one leader's term.

    `pending` has the number of open sessions with an unhandled batch, by index; what is applied and not in it is settled.
    """

    def __init__(self, outbox: Outbox, *, waiters_max: int = WAITERS_MAX) -> None:
        self.outbox = outbox
        self.waiters_max = waiters_max
        self.pending: dict[int, int] = {}
        self._waiting: dict[int, dict[int, Asker]] = {}
        self._waiters = 0
        self._settled: list[int] = []

    # -- counting ------------------------------------------------------------------------------------

    def published(self, index: int) -> None:
        """One more session has an unhandled batch of this index."""
        self.pending[index] = self.pending.get(index, 0) + 1

    def handled(self, index: int) -> None:
        """One session less has: it handled the batch, or it ended."""
        left = self.pending[index] - 1
        if left:
            self.pending[index] = left
            return
        del self.pending[index]
        if index in self._waiting:
            self._settled.append(index)

    def any_pending(self, indexes: Iterable[int]) -> bool:
        """Whether one of these indexes, all of them applied, is not settled."""
        pending = self.pending
        return bool(pending) and not pending.keys().isdisjoint(indexes)

    # -- waiting -------------------------------------------------------------------------------------

    def ask(
        self,
        session: Session,
        origin: Origin,
        header: Request,
        body: memoryview | bytes,
        *,
        applied: int,
        deadline: int,
    ) -> None:
        """Take a SETTLE: answer what is settled at once, and the rest when it is."""
        try:
            if not 1 <= header.count <= INDEXES_MAX:
                raise BadFrame(f"{header.count} indexes in a message; 1 to {INDEXES_MAX}")
            indexes = unpack_indexes(body, header.count)
        except BadFrame as error:
            self._refuse(origin, header.request, session, errors.BAD_MESSAGE, str(error))
            return
        asker = Asker(origin, header.request, session, deadline)
        settled = [index for index in indexes if index <= applied and index not in self.pending]
        if settled:
            self._answer(asker, settled)
        if not all(self._wait(index, asker) for index in indexes if index in self.pending):
            text = f"{self._waiters} questions for settled indexes are waiting"
            self._refuse(origin, header.request, session, errors.BUSY, text, BUSY_RETRY_MS)
        elif max(indexes) > applied:
            # Only a client that was answered by a newer leader, or that makes indexes up, is ahead of this one.
            text = f"index {max(indexes)} is not applied yet"
            self._refuse(origin, header.request, session, errors.BUSY, text, BUSY_RETRY_MS)

    def _wait(self, index: int, asker: Asker) -> bool:
        """Note who waits for an index; False when too many do."""
        waiting = self._waiting.setdefault(index, {})
        if asker.session.id not in waiting:
            if self._waiters >= self.waiters_max:
                if not waiting:
                    del self._waiting[index]
                return False
            self._waiters += 1
        waiting[asker.session.id] = asker
        return True

    def settle(self) -> None:
        """Tell everyone who waits for what has been settled since the last call: one message per question."""
        if not self._settled:
            return
        settled, self._settled = self._settled, []
        told: dict[Asker, list[int]] = {}
        for index in settled:
            if index in self.pending:
                continue
            for asker in self._waiting.pop(index, {}).values():
                self._waiters -= 1
                told.setdefault(asker, []).append(index)
        for asker, indexes in told.items():
            self._answer(asker, indexes)

    def forget_late(self, now: int) -> None:
        """Drop those whose deadline has passed (`now` in ticks); a client that still cares has asked again meanwhile."""
        for index, waiting in list(self._waiting.items()):
            for session_id in [session_id for session_id, asker in waiting.items() if now > asker.deadline]:
                del waiting[session_id]
                self._waiters -= 1
            if not waiting:
                del self._waiting[index]

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER: the next leader counts for itself."""
        askers = dict.fromkeys(asker for waiting in self._waiting.values() for asker in waiting.values())
        for origin, request, session, _ in askers:
            self._refuse(origin, request, session, errors.NOT_LEADER, "leadership was lost")

    # -- answers -------------------------------------------------------------------------------------

    def _answer(self, asker: Asker, indexes: Sequence[int]) -> None:
        origin, request, session, _ = asker
        body = pack_indexes(indexes)
        event_index = session.event_index
        self.outbox.answer(
            origin, frames.SETTLED, request, session.id, body, count=len(indexes), event_index=event_index
        )

    def _refuse(
        self, origin: Origin, request: int, session: Session, code: int, text: str, retry_after_ms: int = 0
    ) -> None:
        event_index = session.event_index
        self.outbox.refuse(
            origin, request, session.id, code, text, event_index=event_index, retry_after_ms=retry_after_ms
        )
