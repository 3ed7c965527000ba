"""A client's session on one shard: what to send, what a reply means, when to repeat. No sockets, clock or threads.

Calls come in through `submit`, replies through `receive`, time through `tick`; at the end of a turn `pump` sends what
waits. Messages and finished calls go to the `Outbox`. All is a function of those and of the random numbers given, so a
test can replay any history.

Invariants: a command gets its sequence when it is sent, never earlier, and the session goes on until the shard has
answered that sequence; a command that was sent is never repeated under another session; only the shard ends a session.
"""

from __future__ import annotations

import logging
from math import inf
from random import Random

from . import outcomes
from .asking import Asking
from .backoff import Strategy
from .calls import Call, ClientState, EventBatch, Outbox
from .envelope import Envelope
from .flow import Flow
from .lifecycle import Lifecycle, State
from .protocol import errors, frames
from .protocol.frames import Reply
from .protocol.limits import Limits
from .protocol.values import decode
from .queries import QueryBatch
from .standing import Standing

logger = logging.getLogger("ocelog.client")

_LEADERLESS = frozenset((errors.NOT_LEADER, errors.NO_LEADER, errors.NOT_SENT))
# Whichever replica was to answer a query cannot, or is not there: the leader may.
_NOT_HERE = frozenset((*_LEADERLESS, errors.BEHIND))


class ShardSession:
    """The calls of one client on one shard, in order, exactly once. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        shard: int,
        outbox: Outbox,
        random: Random,
        *,
        client_id: str,
        timeout: float,
        recovery: str = "recover",
        retry: Strategy | None = None,
    ) -> None:
        self.envelope = Envelope(shard)
        self.flow = Flow(self.envelope, outbox, Limits(), random, retry)
        self.lifecycle = Lifecycle(
            self.envelope, client_id, timeout, random, outbox.messages.append, self.flow.events.body, retry
        )
        self.asking = Asking(self.envelope, outbox, random)
        self.standing = Standing(self.envelope, outbox)
        self.submit = self.flow.submit
        self.give_up = self.flow.give_up
        self.term = 0
        self._recovers = recovery == "recover"
        self._outbox = outbox
        self._reopen = False
        self._connected = False
        self._leaderless = False

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        return self.lifecycle.state is State.CLOSED

    def close(self, now: float) -> None:
        """Fail what never left and unregister behind what did."""
        self._reopen = False
        self.flow.abandon(now, waiting_only=True)
        if self.lifecycle.state is State.OPEN:
            self.flow.flight.end(now)
        else:
            self.abandon(now)

    def abandon(self, now: float) -> None:
        """Fail whatever is left; nothing is sent after this."""
        self.flow.abandon(now)
        self.asking.abandon(now)
        if self.standing.state is not None:
            self.standing.change(ClientState.CLOSED, "the client was closed")
        self.standing.suspend_at = inf
        self.lifecycle.end(final=True)

    def handled(self, batch: EventBatch, now: float) -> None:
        """Somebody has handled these events."""
        self.flow.events.mark(batch)

    # -- time ------------------------------------------------------------------------------------------

    def wake_at(self) -> float:
        """When `tick` has something to do, if nothing else happens."""
        flow, lifecycle = self.flow, self.lifecycle
        if not self._connected:
            return min(flow.sweep_at, self.asking.wake_at, self.standing.suspend_at)
        if lifecycle.state is not State.OPEN:
            return min(flow.sweep_at, self.asking.wake_at, self.standing.suspend_at, lifecycle.wake_at)
        return min(
            flow.sweep_at,
            self.asking.wake_at,
            self.standing.suspend_at,
            lifecycle.wake_at,
            flow.flight.window.resend_at,
            flow.flight.queries.resend_at,
            flow.events.wake_at,
            flow.settling.wake_at,
        )

    def tick(self, now: float) -> None:
        """Do what is due: repeats, keep-alives, deadlines."""
        flow = self.flow
        if now >= flow.sweep_at:
            flow.sweep(now, self._waited_for())
        if now >= self.asking.wake_at:
            self.asking.tick(now, connected=self._connected)
        self.standing.tick(self._patience, now)
        if self._connected:
            if self.lifecycle.state is State.OPEN:
                flow.flight.tick(now)
                flow.events.tick(now)
                flow.settling.tick(now)
            self.lifecycle.tick(flow.flight.window.acknowledged, now)

    def pump(self, now: float) -> None:
        """End of a turn: send what waits in the queue, once there is a session, and deliver what has its turn."""
        flow = self.flow
        if not self._connected:
            flow.deliver(now)
        elif self.lifecycle.state is State.OPEN:
            if flow.queue and flow.flight.unregister is None:
                flow.pump(now)
            flow.end_turn(now)
        elif flow.queue or self._reopen:
            self._reopen = False
            self.lifecycle.begin(now)
        if self.standing.suspend_at == inf and (
            flow.flight.window.pending
            or flow.flight.queries.count
            or self.lifecycle.request
            or not (self._connected or self.closed)
        ):
            # An answer is due, or nobody is there to ask.
            self.standing.waits(self._patience, now)

    @property
    def _patience(self) -> float:
        return self.lifecycle.timeout / 3

    def wants_router(self) -> bool:
        """Whether another router is to be tried; says so once each time patience is over."""
        moves, self.standing.moves = self.standing.moves, False
        return moves and self._connected

    def _waited_for(self) -> str:
        if not self._connected:
            return "no router answers"
        if self.lifecycle.state is not State.OPEN:
            return "the shard has not opened a session"
        if self.flow.flight.window.holding:
            return "the shard takes no commands at the moment"
        return "earlier commands are unanswered"

    # -- connection ------------------------------------------------------------------------------------

    def connected(self, endpoint: str, number: int, now: float) -> None:
        """A router answers: everything unanswered leaves again, under a higher connection number."""
        self.envelope.endpoint, self.envelope.connection = endpoint, number
        self._connected = True
        self._repeat_everything(now)

    def disconnected(self) -> None:
        """No router at the moment; deadlines go on, repeating waits."""
        self._connected = False

    def unreachable(self) -> None:
        """Every router was tried and none answers."""
        if self.lifecycle.state is not State.CLOSED:
            self.standing.suspend("no router answers")

    def leader_changed(self, term: int, leader: int, now: float) -> None:
        """A notice who leads the shard. A newer leader, or a known one that is back, gets everything at once."""
        if leader == frames.NO_LEADER_KNOWN or term < self.term:
            return
        newer, self.term = term > self.term, term
        if (newer or self._leaderless) and self._connected:
            self._repeat_everything(now)

    def _repeat_everything(self, now: float) -> None:
        self._leaderless = False
        if self.lifecycle.state is State.OPEN:
            self.flow.flight.repeat_everything(now)
            self.flow.events.repeat()
            self.flow.settling.repeat(now)
        self.asking.repeat(now)
        self.lifecycle.repeat(now)
        self.lifecycle.tick(self.flow.flight.window.acknowledged, now)

    # -- replies ---------------------------------------------------------------------------------------

    def receive(self, reply: Reply, body: memoryview, now: float) -> None:
        """One reply for this shard. Raises BadFrame when its body is malformed; nothing has changed then."""
        handler = _HANDLERS.get(reply.kind)
        if handler is not None:
            if reply.session != self.envelope.session:
                return  # a late reply to a session that is over
            self._leaderless = False
            self.standing.suspend_at = inf
            if self.standing.state is not ClientState.CONNECTED:
                self.standing.answered()
            handler(self, reply, body, now)
        elif reply.kind == frames.REGISTERED:
            self._registered(reply, body, now)
        elif reply.kind == frames.OUTCOME_REPORT:
            self.asking.answered(reply, body)
        elif reply.kind == frames.REFUSED:
            self._refused(reply, str(body, "utf-8", "replace"), now)
        if (
            reply.event_index
            and reply.event_index > self.flow.events.received
            and reply.session == self.envelope.session
        ):
            self.flow.events.heard(reply.event_index, now)

    def _registered(self, reply: Reply, body: memoryview, now: float) -> None:
        if self.lifecycle.state is not State.REGISTERING or reply.request != self.lifecycle.request:
            return
        try:
            self.lifecycle.registered(reply.session, decode(bytes(body)), now)
        except (errors.OcelogError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise frames.BadFrame(f"the limits in the answer to a register cannot be read: {error}") from None
        self.flow.begin(self.lifecycle.limits)
        self.flow.settling.repeat(now)
        self._leaderless = False
        self.standing.answered()
        self.standing.change(ClientState.CONNECTED, "a session is open")

    def _results(self, reply: Reply, body: memoryview, now: float) -> None:
        self.flow.arrivals.results(reply, body, now)

    def _answers(self, reply: Reply, body: memoryview, now: float) -> None:
        self.flow.arrivals.answers(reply, body, now)

    def _events(self, reply: Reply, body: memoryview, now: float) -> None:
        self.flow.arrivals.events(reply, body, now)

    def _receipt(self, reply: Reply, body: memoryview, now: float) -> None:
        self.flow.arrivals.receipt(reply, body)

    def _settled(self, reply: Reply, body: memoryview, now: float) -> None:
        self.flow.settling.settled(reply, body)

    def _kept_alive(self, reply: Reply, body: memoryview, now: float) -> None:
        self.lifecycle.kept_alive(reply.request, now)

    def _unregistered(self, reply: Reply, body: memoryview, now: float) -> None:
        self.abandon(now)

    # -- refusals --------------------------------------------------------------------------------------

    def _refused(self, reply: Reply, text: str, now: float) -> None:
        if self.asking.holds(reply.request):
            self._refused_question(reply, text, now)
        if reply.session != self.envelope.session:
            return  # a late reply to a session that is over
        if reply.code not in _LEADERLESS:
            self.standing.answered()
        # Without a leader the pause is the client's own: a notice ends it as soon as there is one.
        retry_after = 0.0 if reply.code in _LEADERLESS else reply.retry_after_ms / 1000
        retry = reply.code in errors.ROWS and errors.ROWS[reply.code].retry
        if reply.code == errors.UNKNOWN_SESSION and reply.session:
            self._expired(text, now)
        elif reply.request == self.lifecycle.request:
            self._refused_lifecycle(reply, text, retry, retry_after, now)
        elif (batch := self.flow.flight.queries.get(reply.request)) is not None:
            if retry:
                self._refused_queries(reply, batch, retry_after, now)
            else:
                self.flow.refuse_queries(batch, reply.code, text, now)
        elif (message := self.flow.flight.window.message(reply.request)) is not None:
            self._refused_commands(reply, message, text, retry_after, now)
        elif self.flow.settling.asked(reply.request):
            self._leaderless |= reply.code in _LEADERLESS
            self.flow.settling.refused(retry_after, now)

    def _refused_queries(self, reply: Reply, batch: QueryBatch, retry_after: float, now: float) -> None:
        if batch.ordered and reply.code in _NOT_HERE and self.flow.flight.queries.redirected(batch, now):
            self.flow.flight.send_query(batch, now)
            return
        self._leaderless |= reply.code in _LEADERLESS
        self.flow.flight.queries.refused(batch, retry_after, now)

    def _refused_question(self, reply: Reply, text: str, now: float) -> None:
        self._leaderless |= reply.code in _LEADERLESS
        retry_after = 0.0 if reply.code in _LEADERLESS else reply.retry_after_ms / 1000
        self.asking.refused(reply, text, retry_after, now)

    def _refused_lifecycle(self, reply: Reply, text: str, retry: bool, retry_after: float, now: float) -> None:
        if retry:
            self._leaderless |= reply.code in _LEADERLESS
            self.lifecycle.refused(retry_after, now)
        elif self.lifecycle.state is State.REGISTERING:
            self.lifecycle.end()
            self.flow.refuse_waiting(reply.code, text, now)
        else:
            logger.warning("a keep-alive was refused: %s: %s", errors.name_of(reply.code), text)
            self.lifecycle.refused(1.0, now)

    def _refused_commands(
        self, reply: Reply, message: tuple[int, int], text: str, retry_after: float, now: float
    ) -> None:
        window, first = self.flow.flight.window, reply.first_sequence
        if reply.code in _LEADERLESS:
            # Whatever that replica took before is not surely in the log: with no leader all of it is repeated.
            self._leaderless = True
            window.refused(0, retry_after, now)
        elif reply.code == errors.GAP:
            expected = window.gap(first, now)
            if expected is not None:
                self.flow.flight.repeat_commands(expected, now)
        elif reply.code in errors.ROWS and errors.ROWS[reply.code].retry:
            window.refused(first, retry_after, now)
        elif not self.flow.refuse(max(first, message[0]), message[1], reply.code, text, now):
            self._expired(f"the shard refuses even empty commands: {errors.name_of(reply.code)}: {text}", now)
        else:
            self.flow.flight.repeat_commands(message[0], now)

    def _expired(self, text: str, now: float) -> None:
        if self.lifecycle.state is not State.OPEN:
            return
        closing = self.flow.flight.unregister is not None
        if not closing:
            logger.warning("session %d on shard %d ended: %s", self.envelope.session, self.envelope.shard, text)
        final = closing or not self._recovers
        self.flow.expire(now, final=final)
        if closing:
            self.abandon(now)
            return
        self.standing.change(ClientState.EXPIRED, text or "the shard ended the session")
        if final:
            self.submit = self._submit_too_late
            self.standing.change(ClientState.CLOSED, "no session follows one that expired")
        self._reopen = not final
        self.standing.suspend_at = inf
        self.lifecycle.end(final=final)

    def _submit_too_late(self, call: Call) -> None:
        self._outbox.fail(call, outcomes.expired(call, self.envelope, call.started))


_HANDLERS = {
    frames.RESULTS: ShardSession._results,
    frames.ANSWERS: ShardSession._answers,
    frames.EVENTS: ShardSession._events,
    frames.RECEIPT: ShardSession._receipt,
    frames.SETTLED: ShardSession._settled,
    frames.KEPT_ALIVE: ShardSession._kept_alive,
    frames.UNREGISTERED: ShardSession._unregistered,
}
