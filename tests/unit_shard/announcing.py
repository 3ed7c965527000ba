"""The rules of events and of settling under the adversary of `sequencing`: commands publish to clients, whose handlers send
commands themselves before they are done; some commands return only when their events were handled.

Pushing, settling, acknowledgements and expiry are the real `Leadership`, the order of delivery the real `ShardSession`.
Besides all that `sequencing` checks, `Violation` names: a stream of events that is not the log's, from the session's
beginning, without gap or repetition; a LINEARIZABLE command that returned before every open session that it published to had
handled its events; a stream or a handler that is stuck in the end.
"""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random
from typing import Any

from ocelog.client.calls import Call, EventBatch
from ocelog.client.protocol import frames
from ocelog.client.protocol.errors import EventsPending
from ocelog.client.protocol.frames import LINEARIZABLE, SEQUENTIAL
from ocelog.log.entry import SNAPSHOT
from ocelog.shard.machines.base import Commit, command
from ocelog.shard.machines.registry import registry

from .sequencing import OWNER, Client, Plan, Recorder, Run, Server, Violation

NESTED = True
"""Whether a command that a handler sends is called one: if it waited for its own events it would wait for its handler."""


class Herald(Recorder):
    """A recorder that tells sessions what it was told."""

    @command(mode=SNAPSHOT)
    def announce(self, commit: Commit, number: int, sessions: list[int]) -> int:
        """Take the number and publish it."""
        self.applied.append(number)
        self.publish(sessions, "announced", number)
        return number


class Crier(Server):
    """A server of heralds."""

    machines = registry([Herald])
    sessions_max = 100  # a client that is refused a session for good has nobody left to ask what is settled

    def fingerprint(self) -> Any:
        """Events are equal on all servers at equal index too."""
        events = [(s.id, s.event_index, s.handled, tuple(s.events)) for s in self.executor.sessions]
        return super().fingerprint(), events


class Listener(Client):
    """A client that handles its events one after the other."""

    def __init__(self, number: int, random: Random, timeout: float, plan: Plan) -> None:
        super().__init__(number, random, timeout, plan)
        self.unsubmitted = plan.operations
        self.waiting: deque[EventBatch] = deque()
        self.running: Call | None = None
        self.delivered: dict[int, list[int]] = {}
        self.handled: dict[int, int] = {}
        self.nested = 2
        self.published: dict[int, list[int]] = {}

    def announce(self, number: int, now: float, deadline: float, sessions: list[int], **kinds: Any) -> Call:
        """Submit a command that publishes."""
        parts = ("announce", number, sessions)
        call = Call(self.resource, parts, False, now, deadline, OWNER, (number, None), **kinds)
        self.calls.append(call)
        self.session.submit(call)
        return call

    def done(self, now: float) -> None:
        """The handler of the first batch has come to its end."""
        batch = self.waiting.popleft()
        self.running = None
        self.handled[batch.session] = batch.index
        batch.done()
        handled, self.outbox.handled[:] = list(self.outbox.handled), []
        for each in handled:
            self.session.handled(each, now)

    @property
    def idle(self) -> bool:
        """Nor is an event unhandled, or missing."""
        session = self.session.envelope.session
        complete = self.delivered.get(session, []) == self.published.get(session, [])
        return super().idle and not self.waiting and complete


class Announcing(Run):
    """See the module."""

    server = Crier
    client = Listener

    def __init__(self, seed: int, plan: Plan) -> None:
        self.published: dict[int, set[int]] = {}
        self.streams: dict[int, list[int]] = {}
        self.losses = 0
        super().__init__(seed, plan)
        for client in self.clients:
            client.published = self.streams

    # -- what the log publishes ------------------------------------------------------------------------

    def _first_applied(self, entry: bytes, server: Server) -> None:
        super()._first_applied(entry, server)
        index = server.executor.applied_index
        self.published[index] = {s.id for s in server.executor.sessions if s.event_index == index}
        for session in self.published[index]:
            self.streams.setdefault(session, []).append(index)

    # -- what clients get ------------------------------------------------------------------------------

    def _client_turn(self, client: Any) -> None:
        client.turn(self.now)
        finished, client.outbox.finished = client.outbox.finished, []
        for item in finished:
            if isinstance(item, Call):
                self._finished(item)
            elif isinstance(item, EventBatch):
                self._delivered(client, item)
        if self.random.random() < 0.5:
            self._handle(client)
        self.requests += [(client.number, message) for message in client.outbox.messages]
        client.outbox.messages.clear()

    def _delivered(self, client: Listener, batch: EventBatch) -> None:
        stream = client.delivered.setdefault(batch.session, [])
        stream.append(batch.index)
        if stream != self.streams.get(batch.session, [])[: len(stream)]:
            published = self.streams.get(batch.session)
            raise Violation(f"session {batch.session} got events of {stream}, published were those of {published}")
        client.waiting.append(batch)

    def _handle(self, client: Listener) -> None:
        """The handler of the first batch goes on: it may send a command, and then is not done before that is."""
        if not client.waiting:
            return
        if client.running is not None:
            if client.running.done:
                client.done(self.now)
        elif client.nested and self.random.random() < 0.3:
            client.nested -= 1
            client.running = self._announce(client, inf, LINEARIZABLE, nested=NESTED)
        else:
            client.done(self.now)

    # -- what clients want -----------------------------------------------------------------------------

    def _submit(self, client: Any) -> None:
        random = self.random
        if random.random() < 0.3:
            super()._submit(client)
            return
        for _ in range(min(client.unsubmitted, random.randint(1, 3))):
            client.unsubmitted -= 1
            deadline = self.now + random.choice([0.5, 2.0]) if random.random() < 0.15 else inf
            self._announce(client, deadline, random.choice([LINEARIZABLE, LINEARIZABLE, SEQUENTIAL]))

    def _announce(self, client: Listener, deadline: float, level: int, *, nested: bool = False) -> Call:
        client.submitted += 1
        number = client.number * 1000 + client.submitted
        known = [other.session.envelope.session for other in self.clients]
        sessions = [session for session in known if session and self.random.random() < 0.7]
        return client.announce(number, self.now, deadline, sessions, level=level, nested=nested)

    def _finished(self, call: Call) -> None:
        if isinstance(call.error, EventsPending):
            # It was applied; that its events were handled is not claimed.
            call.result, call.error = call.error.result, None
        elif call.error is None and not call.is_query and call.level == LINEARIZABLE and not call.nested:
            self._check_handled(call)
        super()._finished(call)

    def _check_handled(self, call: Call) -> None:
        if call.parts[0] != "announce" or call.deadline != inf:
            return
        handled: dict[int, int] = {}
        for client in self.clients:
            handled |= client.handled
        for session in self.published[call.index] - self.ended:
            if handled.get(session, 0) < call.index:
                raise Violation(f"{call} returned before session {session} had handled the events of {call.index}")

    # -- the network -----------------------------------------------------------------------------------

    def _deliver_reply(self, number: int, message: Any) -> None:
        if self.losses and message[0] != "leader" and frames.parse_reply(message)[0].kind == frames.EVENTS:
            self.losses -= 1
            if self.random.random() < 0.7:
                return
        super()._deliver_reply(number, message)

    def _settle_down(self) -> None:
        """The last leader's first pushes are lost too: not every loss is made good by an election."""
        self.losses = 6
        super()._settle_down()
