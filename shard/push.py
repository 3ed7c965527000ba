"""Pushing events: from the replicated queues of sessions to their clients, until the clients have handled them.

The leader sends each session its batches in order, at most a credit of bytes ahead of what the client has received. Every
message names the batch before its first one, so a client takes each batch once and without gaps. What is not received is
sent again from the first such batch, one message at a time and ever more seldom, or at once when the client says that it
misses events; when everything is received and nothing handled for long, an empty message asks what became of it.

Everything here is of one term: a new leader begins with what the log says is unhandled, and clients tell it the rest. A
session without events costs nothing here, and one that waits costs something only when its timer is due.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..client.protocol import frames
from ..client.protocol.events import Route
from ..client.protocol.limits import Limits
from .acknowledgements import Acknowledgements
from .executor import Executor
from .outbox import Origin, Outbox
from .reader import Reader
from .routes import Routes
from .sessions import Batch, Session
from .settling import Settling
from .wheel import Wheel

logger = logging.getLogger(__name__)

CREDIT_BYTES = 1024 * 1024
"""Batches sent to a session and not received, in bytes; a single larger one is sent alone."""

REPEAT_FIRST_MS = 500
REPEAT_LAST_MS = 4000
"""How long a push waits for its answer before it is repeated, at first and at last; doubled each time."""

AGAIN_MS = 100
"""What was sent less long ago may still be on its way when a client says that it misses it; and one that lost a message says
so of each one behind it."""

SUSPECT_AGAIN_MS = 1000


class Pushes:
    """See the module. `tick` and `settle` are called like those of the leader's term; `credit` is in bytes.

    `suspects` are sessions to be expired if a majority confirms that this leader leads: an event was left unhandled for
    their own timeout, or there are more than `limits` allow. `fold_soon` says that what clients acknowledged should get
    into the log before its second is over, since a session's queue is half full. `messages` counts what was sent.
    """

    def __init__(
        self,
        executor: Executor,
        outbox: Outbox,
        settling: Settling,
        acknowledgements: Acknowledgements,
        limits: Limits,
        *,
        tick_ms: int,
        credit: int = CREDIT_BYTES,
    ) -> None:
        self.executor = executor
        self.outbox = outbox
        self.settling = settling
        self.acknowledgements = acknowledgements
        self.limits = limits
        self.tick_ms = tick_ms
        self.credit = credit
        self.routes = Routes()
        self.ticks = 0
        self.suspects: list[int] = []
        self.fold_soon = False
        self.messages = 0
        self._readers: dict[int, Reader] = {}
        self._to_send: dict[int, Reader] = {}
        self._timers: Wheel[Reader] = Wheel()
        self._body: tuple[Batch, bytes] | None = None

    # -- what the log brings -------------------------------------------------------------------------

    def begin(self) -> None:
        """The session table is complete: take over everything that is unhandled in it."""
        self.routes.forget_unknown(self.executor.sessions)
        self.executor.published.clear()
        for session in self.executor.sessions:
            if session.events:
                self._queue(session)

    def absorb(self) -> None:
        """Take what was published, and which sessions ended, since the last call."""
        executor = self.executor
        if executor.published:
            sessions = executor.sessions
            for session in executor.published:
                if sessions.get(session.id) is session:
                    self._queue(session)
            executor.published.clear()
        for session, _ in executor.ended:
            self._dismiss(session)

    def _queue(self, session: Session) -> None:
        reader = self._readers.get(session.id)
        if reader is None:
            reader = self._readers[session.id] = Reader(session)
        idle = not reader.batches
        for batch in reader.queue_new():
            self.settling.published(batch.index)
        self._to_send[session.id] = reader
        if idle:
            self._begin_waiting(reader)
        limits = self.limits
        if 2 * session.event_count > limits.events_max or 2 * session.event_bytes > limits.event_bytes_max:
            self.fold_soon = True
            if self._is_overfull(reader) and not reader.suspected:
                reader.suspected = True
                self.suspects.append(session.id)

    def _dismiss(self, session: Session) -> None:
        """An ended session has handled everything: nobody waits for it."""
        self.routes.forget(session.id)
        self._to_send.pop(session.id, None)
        reader = self._readers.pop(session.id, None)
        if reader is not None:
            for index in reader.indexes():
                self.settling.handled(index)
            reader.batches.clear()

    # -- what clients and routers say ----------------------------------------------------------------

    def heard_from(self, session: Session, origin: Origin, connection: int) -> None:
        """A request of the session came from there, so that is where its events go."""
        if self.routes.take(session.id, origin, connection):
            self._moved(session.id)

    def told_routes(self, router: bytes, routes: Iterable[Route], *, begun: bool) -> None:
        """A router says which sessions it can reach; before the term has begun nobody knows which of them are open."""
        sessions = self.executor.sessions
        for session_id, route, connection in routes:
            if begun and sessions.get(session_id) is None:
                continue
            if self.routes.take(session_id, Origin(router, route), connection):
                self._moved(session_id)

    def _moved(self, session_id: int) -> None:
        """What is under way to the old place may be lost: all that was not received is sent to the new one."""
        reader = self._readers.get(session_id)
        if reader is not None and reader.batches:
            reader.begin_again()
            self._wait_again(reader)
            self._to_send[session_id] = reader

    def acknowledged(self, session: Session, received: int, handled: int, *, again: bool) -> None:
        """The client has received and handled its batches up to these indexes; `again`: it misses some behind them.

        What it claims about entries that are not applied here is cut down to those that are: this leader has applied all
        that was applied before its term began, so an honest client only knows more if there is a newer leader.
        """
        reader = self._readers.get(session.id)
        if reader is None:
            return
        applied = self.executor.applied_index
        progress = reader.receive(min(received, applied))
        if handled > reader.handled:
            done = reader.handle(min(handled, applied))
            if done:
                progress = True
                for index in done:
                    self.settling.handled(index)
                reader.suspected = False
        # Also when it is no news: what was folded may have found no room in the log.
        in_log = min(reader.handled, session.event_index)
        if in_log > session.handled:
            self.acknowledgements.handled(session, in_log)
        if reader.received:
            # What it has from an earlier leader was never sent in this term, and must not be waited for longer than that.
            reader.mark(reader.batches[reader.received - 1], self.ticks)
        if progress:
            self._wait_again(reader)
        if again:
            self._begin_again(reader)
        if reader.unsent:
            self._to_send[session.id] = reader

    def _begin_again(self, reader: Reader) -> None:
        """The client misses something: it is lost, or still on its way, which a short while will tell."""
        soonest = reader.sent_at + self._ticks_of(AGAIN_MS)
        if self.ticks >= soonest:
            reader.begin_again()
        elif reader.batches:
            reader.repeat_at = min(reader.repeat_at, soonest)
            self._set_timer(reader)

    # -- sending -------------------------------------------------------------------------------------

    def send(self) -> None:
        """Send what may be sent: after the turn's results, so that a command's result leaves before its events."""
        if not self._to_send:
            return
        waiting, self._to_send = self._to_send, {}
        for session_id, reader in waiting.items():
            if self.outbox.full:
                self._to_send[session_id] = reader
                continue
            origin = self.routes.of(session_id)
            if origin is None:
                continue
            while reader.unsent and self._send_one(reader, origin):
                pass
        self._body = None

    @property
    def postponed(self) -> bool:
        """Whether something could not be sent in this turn for the size of its answers."""
        return bool(self._to_send)

    def _send_one(self, reader: Reader, origin: Origin) -> bool:
        """Send the next message of events; False when the credit is used up."""
        message = reader.next_message(self.credit)
        if not message:
            return False
        reader.mark(message[-1], self.ticks)
        reader.sent_at = self.ticks
        if len(message) == 1:
            body = self._shared_body(message[0])
        else:
            body = frames.pack_results([batch.index for batch in message], [batch.payload for batch in message])
        self._push(reader, origin, message[0].previous, len(message), body)
        return True

    def _shared_body(self, batch: Batch) -> bytes:
        """The body of a message of one batch; the sessions that a command published to have it in common."""
        if self._body is not None:
            known, body = self._body
            if known.payload is batch.payload and known.index == batch.index:
                return body
        body = frames.pack_results([batch.index], [batch.payload])
        self._body = (batch, body)
        return body

    def _push(self, reader: Reader, origin: Origin, previous: int, count: int, body: bytes) -> None:
        session = reader.session
        self.messages += 1
        self.outbox.answer(
            origin,
            frames.EVENTS,
            previous,
            session.id,
            body,
            count=count,
            first_sequence=session.last,
            event_index=session.event_index,
        )

    # -- time ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One turn of the clock that really ran: repeat what waited long enough, suspect who made others wait too long."""
        self.ticks += 1
        for reader in self._timers.take(self.ticks):
            if reader.timer == self.ticks and reader.batches:
                self._look_at(reader)
            elif reader.timer == self.ticks:
                reader.timer = 0

    def _look_at(self, reader: Reader) -> None:
        session = reader.session
        if self.has_outstayed(session):
            self.suspects.append(session.id)
        if self.ticks >= reader.repeat_at:
            origin = self.routes.of(session.id)
            if origin is not None:
                self._repeat(reader, origin)
            reader.delay = min(2 * reader.delay, self._ticks_of(REPEAT_LAST_MS))
            reader.repeat_at = self.ticks + reader.delay
        reader.timer = 0
        self._set_timer(reader)

    def _repeat(self, reader: Reader, origin: Origin) -> None:
        """Send one message again, or ask what became of what was received."""
        if reader.received < len(reader.batches):
            reader.begin_again()
            self._send_one(reader, origin)
        else:
            self._push(reader, origin, reader.session.event_index, 0, b"")

    def _begin_waiting(self, reader: Reader) -> None:
        reader.delay = self._ticks_of(REPEAT_FIRST_MS)
        reader.repeat_at = self.ticks + reader.delay
        self._set_timer(reader)

    def _wait_again(self, reader: Reader) -> None:
        """There was progress: the next repetition is a while off, and its timer set if it would come too late."""
        if reader.batches:
            self._begin_waiting(reader)

    def _set_timer(self, reader: Reader) -> None:
        """Look at the reader when it is to be sent something, or when its patience ends, whichever is first."""
        due = reader.repeat_at
        if reader.marks:
            outstayed = reader.marks[0][1] + reader.session.timeout_ms // self.tick_ms + 1
            if outstayed <= self.ticks:
                outstayed = self.ticks + self._ticks_of(SUSPECT_AGAIN_MS)
            due = min(due, outstayed)
        if not reader.timer or due < reader.timer:
            reader.timer = max(due, self.ticks + 1)
            self._timers.put(reader.timer, reader)

    def _ticks_of(self, milliseconds: int) -> int:
        return max(1, milliseconds // self.tick_ms)

    # -- patience ------------------------------------------------------------------------------------

    def has_outstayed(self, session: Session) -> bool:
        """Whether the session makes others wait: an event unhandled for its timeout, or too many of them."""
        reader = self._readers.get(session.id)
        if reader is None:
            return False
        return reader.sent_for(self.ticks) * self.tick_ms > session.timeout_ms or self._is_overfull(reader)

    def _is_overfull(self, reader: Reader) -> bool:
        return reader.events > self.limits.events_max or reader.size > self.limits.event_bytes_max

    def take_suspects(self) -> list[int]:
        """The sessions suspected since the last call."""
        suspects, self.suspects = self.suspects, []
        return suspects

    def forget_router(self, router: bytes) -> None:
        """The router cannot be reached any more: its clients will be heard elsewhere."""
        self.routes.forget_router(router)

    def gone(self, router: bytes, routes: Iterable[Route]) -> None:
        """The router cannot reach these clients any more."""
        self.routes.gone(router, routes)
