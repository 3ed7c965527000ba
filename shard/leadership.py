"""A leader's term: what it does for clients from winning the election to stepping down.

Until the no-op of its term is applied, a leader does not know the sessions that its predecessors opened; what clients
send is held back until then. Everything here is volatile; what must survive goes into the log as records.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgpack

from ..client.protocol import errors, frames
from ..client.protocol.events import unpack_handled, unpack_routes
from ..client.protocol.frames import BadFrame, Request
from ..client.protocol.limits import CLIENT_ID_BYTES_MAX, Limits
from ..client.protocol.outcomes import unpack_outcome_query
from ..log.entry import CONFIGURATION, NOOP, REGISTER, SNAPSHOT, TICK, UNREGISTER
from . import queries
from .clock import LogClock
from .executor import Executor
from .intake import BUSY_RETRY_MS, NO_SPACE_RETRY_MS, Intake
from .outbox import Origin, Outbox
from .push import Pushes
from .queries import READ_WAIT_MS_MAX, Read
from .reads import Reads
from .receipts import Receipts
from .sessions import Session
from .settling import Settling
from .upkeep import Patience

logger = logging.getLogger(__name__)

HELD_BYTES_MAX = 8 * 1024 * 1024
HOUSEKEEPING_MS = 1000

NOOP_RECORD = (NOOP, SNAPSHOT, 0, 0, 0, b"")


class Leadership:
    """One term of one leader. `noop_index` is the index of the no-op that the term began with; `clock` (seconds) is for
    receipts and decides nothing.
    """

    def __init__(
        self,
        executor: Executor,
        outbox: Outbox,
        limits: Limits,
        *,
        tick_ms: int,
        sessions_max: int,
        noop_index: int,
        results_bytes_max: int,
        clock: Callable[[], float] = float,
    ) -> None:
        self.executor = executor
        self.outbox = outbox
        self.limits = limits
        self.sessions_max = sessions_max
        self.noop_index = noop_index
        self.clock = LogClock()
        self.settling = Settling(outbox)
        self.receipts = Receipts(outbox, clock)
        self.intake = Intake(
            executor,
            outbox,
            limits,
            noop_index + 1,
            self.settling,
            self.receipts,
            results_bytes_max=results_bytes_max,
        )
        self.reads = Reads(executor, outbox, clock=clock)
        self.patience = Patience(tick_ms)
        self.pushes = Pushes(executor, outbox, self.settling, self.intake.acknowledgements, limits, tick_ms=tick_ms)
        self.expiries = 0
        self._housekeeping_ticks = max(1, HOUSEKEEPING_MS // tick_ms)
        self._registering: dict[int, tuple[Origin, Request]] = {}
        self._held: list[tuple[Origin, Request, bytes]] = []
        self._held_bytes = 0
        self._begun = False
        self._expiring: set[int] = set()
        self.configuration: tuple[int, bytes] | None = None
        self._handlers: dict[int, Callable[[Session, Origin, Request, memoryview | bytes], None]] = {
            frames.COMMAND: self.intake.commands,
            frames.QUERY: self._query,
            frames.KEEP_ALIVE: self._keep_alive,
            frames.UNREGISTER: self._unregister,
            frames.HANDLED: self._handled,
            frames.SETTLE: self._settle,
            frames.OUTCOME: self._outcome,
        }

    # -- messages ------------------------------------------------------------------------------------

    def receive(self, origin: Origin, header: Request, body: memoryview) -> None:
        """Take one message of a client."""
        if not self._begun:
            self._hold(origin, header, body)
            return
        if len(body) > self.limits.message_bytes_max:
            text = f"a body of {len(body)} bytes; at most {self.limits.message_bytes_max}"
            self._refuse(origin, header, errors.TOO_LARGE, text)
            return
        handler = self._handlers.get(header.kind)
        if header.kind == frames.OUTCOME and not header.session:
            self._outcome(None, origin, header, body)
        elif handler is not None:
            session = self._session_of(origin, header)
            if session is not None:
                handler(session, origin, header, body)
        elif header.kind == frames.REGISTER:
            self._register(origin, header, body)
        else:
            self._refuse(origin, header, errors.BAD_MESSAGE, f"a message of kind {header.kind} is not for a shard")

    def _session_of(self, origin: Origin, header: Request) -> Session | None:
        """The open session of a message, which is a sign of its life; without one the message is answered here."""
        session = self.hear(origin, header)
        if session is not None:
            return session
        if self.executor.sessions.get(header.session) is None and header.session > self.executor.applied_index:
            # Opened above what is applied here, if ever: perhaps by a leader that has replaced this one.
            self.reads.add(Read(origin, header, None, self._deadline(header)))
        else:
            text = f"session {header.session} is not open on shard {self.outbox.shard}"
            self._refuse(origin, header, errors.UNKNOWN_SESSION, text)
        return None

    def hear(self, origin: Origin, header: Request) -> Session | None:
        """Note what the header of any message tells: that its session lives, where, and which results it has."""
        session = self.executor.sessions.get(header.session)
        if session is None or session.key != header.key or not self._begun:
            return None
        self.patience.hear(session.id)
        self.pushes.heard_from(session, origin, header.connection)
        if header.acknowledged > session.acknowledged:
            self.intake.acknowledgements.results(session, header.acknowledged)
        return session

    def _hold(self, origin: Origin, header: Request, body: memoryview) -> None:
        if self._held_bytes + len(body) > HELD_BYTES_MAX or len(self._held) >= self.limits.in_flight_max:
            self._refuse(origin, header, errors.BUSY, "the leader has just been elected", BUSY_RETRY_MS)
            return
        self._held.append((origin, header, bytes(body)))
        self._held_bytes += len(body)

    def _unregister(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        self.intake.unregister(session, origin, header)

    def _query(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        try:
            parts = queries.parts_of(header, body, self.limits)
        except BadFrame as error:
            self._refuse(origin, header, errors.BAD_MESSAGE, str(error))
            return
        arrived = self.reads.clock() if header.flags & frames.TRACED else 0.0
        self.reads.add(Read(origin, header, parts, self._deadline(header), arrived))

    def _handled(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        """Events received and handled; also in the body of a keep-alive. Nothing answers it but what it asks for again."""
        try:
            received, handled = unpack_handled(body)
        except BadFrame as error:
            self._refuse(origin, header, errors.BAD_MESSAGE, str(error))
            return
        self.pushes.acknowledged(session, received, handled, again=bool(header.flags & frames.AGAIN))

    def _outcome(self, session: Session | None, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        """A question about any session, by whoever has its key; it may be asked without a session of one's own."""
        try:
            unpack_outcome_query(body)
        except BadFrame as error:
            self._refuse(origin, header, errors.BAD_MESSAGE, str(error))
            return
        self.reads.add(Read(origin, header._replace(first_sequence=0), [bytes(body)], self._deadline(header)))

    def _settle(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        applied, deadline = self.executor.applied_index, self._deadline(header)
        self.settling.ask(session, origin, header, body, applied=applied, deadline=deadline)

    def told_routes(self, router: bytes, header: Request, body: memoryview) -> None:
        """A router says which sessions it can reach, or (GONE) cannot any more. Raises BadFrame."""
        routes = unpack_routes(body, header.count)
        if header.kind == frames.GONE:
            self.pushes.gone(router, routes)
        else:
            self.pushes.told_routes(router, routes, begun=self._begun)

    def _keep_alive(self, session: Session, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        if len(body):
            self._handled(session, origin, header, body)
        self.reads.add(Read(origin, header._replace(first_sequence=0), [], self._deadline(header)))

    def _deadline(self, header: Request) -> int:
        patience = self.patience
        return patience.ticks + min(header.milliseconds_left, READ_WAIT_MS_MAX) // patience.tick_ms + 1

    def _register(self, origin: Origin, header: Request, body: memoryview | bytes) -> None:
        try:
            client_id, timeout_ms = msgpack.unpackb(bytes(body), raw=False, max_array_len=2, max_map_len=0)
        except Exception:
            client_id, timeout_ms = None, None
        if (
            type(client_id) is not str
            or type(timeout_ms) is not int
            or len(client_id.encode("utf-8", "replace")) > CLIENT_ID_BYTES_MAX
            or header.key == frames.NO_KEY
        ):
            text = "register takes [client id: str, timeout: int ms] and a key of 16 random bytes"
            self._refuse(origin, header, errors.BAD_MESSAGE, text)
            return
        sessions = self.executor.sessions
        if len(sessions) + len(self._registering) >= self.sessions_max and not sessions.knows(header.key):
            text = f"the shard holds {self.sessions_max} sessions"
            self._refuse(origin, header, errors.TOO_MANY_SESSIONS, text)
            return
        limits = self.limits
        granted = min(max(timeout_ms, limits.session_timeout_ms_min), limits.session_timeout_ms_max)
        index = self._add(REGISTER, 0, msgpack.packb([client_id, header.key, granted]))
        self._registering[index] = (origin, header)

    def add_configuration(self, payload: bytes) -> None:
        """Log a change of the configuration with this turn's records; `configuration` is (index, payload) until then."""
        self.configuration = (self._add(CONFIGURATION, 0, payload), payload)

    def _add(self, kind: int, session_id: int, payload: bytes) -> int:
        """Add a record that belongs to no sequence; returns the index it will have."""
        intake = self.intake
        intake.records.append((kind, SNAPSHOT, 0, session_id, 0, payload))
        return intake.next_index + len(intake.records) - 1

    def _refuse(self, origin: Origin, header: Request, code: int, text: str, retry_after_ms: int = 0) -> None:
        session = self.executor.sessions.get(header.session)
        self.outbox.refuse(
            origin,
            header.request,
            header.session,
            code,
            text,
            first_sequence=header.first_sequence,
            event_index=0 if session is None or session.key != header.key else session.event_index,
            retry_after_ms=retry_after_ms,
        )

    # -- turns ---------------------------------------------------------------------------------------

    def tick(self, log_time: int) -> None:
        """One tick of the core: housekeeping once a second, and a tick entry when a timer is due."""
        if not self._begun:
            return
        self.patience.tick()
        self.intake.company.tick()
        self.pushes.tick()
        self.reads.tick()
        timers = self.executor.timers
        if timers.next_due is not None and timers.next_due <= log_time and not self.intake.records:
            self._add(TICK, 0, b"")
        if self.patience.ticks % self._housekeeping_ticks == 0:
            self.intake.fold_acknowledgements()
            self.settling.forget_late(self.patience.ticks)
            sessions = self.executor.sessions
            self._expiring = {session_id for session_id in self._expiring if sessions.get(session_id) is not None}
            self._suspect(self.patience.silent(sessions))
        elif self.pushes.fold_soon:
            self.intake.fold_acknowledgements()
        self.pushes.fold_soon = False

    def _suspect(self, session_ids: list[int]) -> None:
        self.reads.suspect([session_id for session_id in session_ids if session_id not in self._expiring])

    def confirm(self, round_id: int, index: int) -> None:
        """A read round was confirmed: its reads may run, and who is still to be suspected is expired."""
        late = []
        for session_id in self.reads.confirm(round_id, index):
            session = self.executor.sessions.get(session_id)
            if session is None or session_id in self._expiring:
                continue
            outstayed = self.pushes.has_outstayed(session)
            if outstayed:
                late.append(session)
            if outstayed or self.patience.is_silent(session_id, session.timeout_ms):
                self._expiring.add(session_id)
                self._add(UNREGISTER, session_id, b"")
        if late:
            text = "shard %d: %d sessions leave their events unhandled and are expired: session %d of client %r"
            text += ", and others" if len(late) > 1 else ""
            logger.warning(text, self.outbox.shard, len(late), late[0].id, late[0].client_id)

    def settle(self) -> None:
        """Answer everyone whose operations can be answered at the applied index."""
        if not self._begun:
            if self.executor.applied_index < self.noop_index:
                return
            self._begin()
        self.pushes.absorb()
        for session, expired in self.executor.ended:
            self.patience.forget(session.id)
            self.expiries += expired
        self.intake.settle()
        registered, self.executor.registered = self.executor.registered, []
        for index, session in registered:
            self.patience.watch(session)
            self._answer_register(index, session)
        self.reads.run(self.patience.ticks)
        self.settling.settle()
        self.pushes.send()
        if self.pushes.suspects:
            self._suspect(self.pushes.take_suspects())

    def has_work(self) -> bool:
        """Whether something waits for the next turn's log or read round, or could not be sent in this one for its size."""
        return bool(self.intake.records) or self.reads.has_work() or self.pushes.postponed

    @property
    def wants_company(self) -> bool:
        """Whether what came so far had better be logged together with what comes in the next moment."""
        return self.intake.company.wanted(len(self.intake.records))

    def forget_router(self, router: bytes) -> None:
        """The router cannot be reached any more."""
        self.pushes.forget_router(router)

    def _begin(self) -> None:
        self._begun = True
        self.executor.forget_moved()
        for session in self.executor.sessions:
            self.patience.watch(session)
        self.pushes.begin()
        held, self._held = self._held, []
        for origin, header, body in held:
            self.receive(origin, header, memoryview(body))

    def _answer_register(self, index: int, session: Session) -> None:
        waiting = self._registering.pop(index, None)
        if waiting is not None and self.executor.sessions.get(session.id) is session:
            origin, header = waiting
            self.patience.hear(session.id)
            self.pushes.heard_from(session, origin, header.connection)
            body = msgpack.packb(self.limits.as_dict() | {"timeout_ms": session.timeout_ms})
            event_index = session.event_index
            self.outbox.answer(origin, frames.REGISTERED, header.request, session.id, body, event_index=event_index)

    def refused(self) -> None:
        """There was no room on the disk for the records of this turn."""
        for index in [index for index in self._registering if index >= self.intake.next_index]:
            origin, header = self._registering.pop(index)
            text = "the leader's disk is full"
            self.outbox.refuse(origin, header.request, 0, errors.NO_SPACE, text, retry_after_ms=NO_SPACE_RETRY_MS)
        self._expiring.clear()
        self.configuration = None
        self.intake.refused()

    def step_down(self) -> None:
        """Answer everyone who waits NOT_LEADER."""
        text = "leadership was lost"
        for origin, header, _ in self._held:
            self._refuse(origin, header, errors.NOT_LEADER, text)
        for origin, header in self._registering.values():
            self.outbox.refuse(origin, header.request, 0, errors.NOT_LEADER, text)
        self.intake.step_down()
        self.settling.step_down()
        self.reads.step_down()
        self._handlers.clear()  # they know this term: let go of each other, and of the state
