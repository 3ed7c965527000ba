"""A client's session on one shard: what to send, what a reply means, when to repeat. No sockets, clock or threads.

Calls come in through `submit`, replies through `receive`, time through `tick`; at the end of a turn `pump` sends what
waits. Messages and finished calls go to the `Outbox`. All is a function of those and of the random numbers given, so a
test can replay any history.

Invariants: a command gets its sequence when it is sent, never earlier, and the session goes on until the shard has
answered that sequence; a command that was sent is never repeated under another session.
"""

from __future__ import annotations

import logging
from random import Random

from .asking import Asking
from .calls import EventBatch, Outbox
from .envelope import Envelope
from .flow import Flow
from .lifecycle import Lifecycle, State
from .protocol import errors, frames
from .protocol.frames import Reply
from .protocol.values import decode

logger = logging.getLogger("ocelog.client")

_LEADERLESS = frozenset((errors.NOT_LEADER, errors.NO_LEADER, errors.NOT_SENT))


class ShardSession:
    """The calls of one client on one shard, in order, exactly once. Times are seconds of a monotonic clock."""

    def __init__(self, shard: int, outbox: Outbox, random: Random, *, client_id: str, timeout: float) -> None:
        self.envelope = Envelope(shard)
        self.lifecycle = Lifecycle(self.envelope, client_id, timeout, random, outbox.messages.append)
        self.flow = Flow(self.envelope, outbox, self.lifecycle.limits, random)
        self.asking = Asking(self.envelope, outbox, random)
        self.submit = self.flow.submit
        self.give_up = self.flow.give_up
        self.term = 0
        self._connected = False
        self._leaderless = False

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        return self.lifecycle.state is State.CLOSED

    def close(self, now: float) -> None:
        """Fail what never left and unregister behind what did."""
        self.flow.abandon(now, waiting_only=True)
        if self.lifecycle.state is State.OPEN:
            self.flow.flight.end(now)
        else:
            self.lifecycle.end(final=True)

    def abandon(self, now: float) -> None:
        """Fail whatever is left; nothing is sent after this."""
        self.flow.abandon(now)
        self.asking.abandon(now)
        self.lifecycle.end(final=True)

    def handled(self, batch: EventBatch, now: float) -> None:
        """Somebody has handled these events."""

    # -- time ------------------------------------------------------------------------------------------

    def wake_at(self) -> float:
        """When `tick` has something to do, if nothing else happens."""
        if not self._connected:
            return min(self.flow.sweep_at, self.asking.wake_at)
        return min(self.flow.sweep_at, self.flow.flight.wake_at(), self.lifecycle.wake_at, self.asking.wake_at)

    def tick(self, now: float) -> None:
        """Do what is due: repeats, keep-alives, deadlines."""
        if now >= self.flow.sweep_at:
            self.flow.sweep(now, self._waited_for())
        if now >= self.asking.wake_at:
            self.asking.tick(now, connected=self._connected)
        if self._connected:
            self.flow.flight.tick(now)
            self.lifecycle.tick(self.flow.flight.window.acknowledged, now)

    def pump(self, now: float) -> None:
        """End of a turn: send what waits in the queue, once there is a session."""
        if self._connected and self.flow.queue and self.flow.flight.unregister is None:
            if self.lifecycle.state is State.OPEN:
                self.flow.pump(now)
            else:
                self.lifecycle.begin(now)

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

    def leader_changed(self, term: int, leader: int, now: float) -> None:
        """A notice who leads the shard. A newer leader, or a known one that is back, gets everything at once."""
        if leader == frames.NO_LEADER_KNOWN or term < self.term:
            return
        newer, self.term = term > self.term, term
        if (newer or self._leaderless) and self._connected:
            self._repeat_everything(now)

    def _repeat_everything(self, now: float) -> None:
        self._leaderless = False
        self.flow.flight.repeat_everything(now)
        self.asking.repeat(now)
        self.lifecycle.repeat(now)
        self.lifecycle.tick(self.flow.flight.window.acknowledged, now)

    # -- replies ---------------------------------------------------------------------------------------

    def receive(self, reply: Reply, body: memoryview, now: float) -> None:
        """One reply for this shard. Raises BadFrame when its body is malformed; nothing has changed then."""
        if reply.kind == frames.REGISTERED:
            if self.lifecycle.state is State.REGISTERING and reply.request == self.lifecycle.request:
                self.lifecycle.registered(reply.session, decode(bytes(body)), now)
                self.flow.begin(self.lifecycle.limits)
        elif reply.kind == frames.OUTCOME_REPORT:
            self.asking.answered(reply, body)
        elif reply.kind == frames.REFUSED and self.asking.holds(reply.request):
            self._refused_question(reply, str(body, "utf-8", "replace"), now)
        elif reply.session != self.envelope.session:
            return  # a late reply to a session that is over
        elif reply.kind == frames.RESULTS:
            self._leaderless = False
            self.flow.results(reply, body, now)
        elif reply.kind == frames.ANSWERS:
            self._leaderless = False
            self.flow.answers(reply, body, now)
        elif reply.kind == frames.KEPT_ALIVE:
            self.lifecycle.kept_alive(reply.request, now)
        elif reply.kind == frames.UNREGISTERED:
            self.abandon(now)
        elif reply.kind == frames.REFUSED:
            self._refused(reply, str(body, "utf-8", "replace"), now)
        if reply.index > self.envelope.seen:
            self.envelope.seen = reply.index

    def _refused(self, reply: Reply, text: str, now: float) -> None:
        # Without a leader the pause is the client's own: a notice ends it as soon as there is one.
        retry_after = 0.0 if reply.code in _LEADERLESS else reply.retry_after_ms / 1000
        retry = reply.code in errors.ROWS and errors.ROWS[reply.code].retry
        if reply.code == errors.UNKNOWN_SESSION and reply.session:
            self._expired(text, now)
        elif reply.request == self.lifecycle.request:
            self._refused_lifecycle(reply, text, retry, retry_after, now)
        elif (batch := self.flow.flight.queries.get(reply.request)) is not None:
            if retry:
                self._leaderless |= reply.code in _LEADERLESS
                self.flow.flight.queries.refused(batch, retry_after, now)
            else:
                self.flow.refuse_queries(batch, reply.code, text, now)
        elif (message := self.flow.flight.window.message(reply.request)) is not None:
            self._refused_commands(reply, message, text, retry_after, now)

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
        elif reply.code in (errors.BUSY, errors.NO_SPACE):
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
        self.flow.expire(now)
        self.lifecycle.end(final=closing)
