"""A simulated client: the production `ShardSession` and `Connection`, a workload of unique operations, a handler of events.

It does what `client/io.py` does, on a simulated connection to one router at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Any

from ocelog.client.calls import Call, ClientState, EventBatch, Outbox, Resource, StateChange
from ocelog.client.connection import Connection
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.operations import SHARD
from ocelog.client.session import ShardSession

from .handling import Handler
from .network import Network
from .requests import Requester
from .resources import resources_of, type_of
from .router import SimRouter
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan
from .transport import SimTransport
from .workload import Operation, Workload, draw_operation

_NO_SHARD = frames.NO_SHARD.to_bytes(2, "little")


class SimClient:
    """One client. `on_completed` is called for every operation that ends, `on_given` for every batch of events, in order."""

    def __init__(
        self,
        number: int,
        plan: Plan,
        scheduler: Scheduler,
        network: Network,
        workload: Workload,
        routers: Sequence[SimRouter],
    ) -> None:
        self.name = f"client-{number}"
        self.plan = plan
        self.scheduler = scheduler
        self.workload = workload
        self.on_completed: list[Callable[[Operation], None]] = []
        self.on_given: list[Callable[[SimClient, EventBatch], None]] = []
        self.paused_until = 0
        self.working = True
        self.handler = Handler(self)
        self._act_due = False
        self._next_act = inf
        # A reader: its reads do not wait behind commands of its own that a cut-off leader cannot commit.
        self.query_share = 0.98 if scheduler.chance(plan.readers) else plan.query_share
        self._transport = SimTransport(self.name, scheduler, network, routers, self.act_soon)
        self._routers = [router.listen for router in routers]
        self.begin()
        self._work()

    # -- the session ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start as a new process of the application: nothing is known of earlier sessions."""
        self._outbox = Outbox()
        random = Random(self.scheduler.rng.getrandbits(32))
        self.session = ShardSession(0, self._outbox, random, client_id=self.name, timeout=self.plan.session_timeout)
        self._transport.close()
        endpoints = list(self._routers)
        random.shuffle(endpoints)
        self.connection = Connection(endpoints, self._transport, random)
        self._resources = {name: Resource(name[0], name, 0) for name in ("map", "counter", "leases")}
        self._resources |= {name: Resource(name, type_of(name), 0) for name in resources_of(self.plan.machines)}
        self._resources["shard"] = Resource("", "shard", 0)
        self._resources["shard"].index = SHARD
        self._operations: dict[Call, Operation] = {}
        self._latest_command: Operation | None = None
        self._closing = False
        self.requests = Requester(self)
        self.handler.reset()
        self.act_soon()

    def restart(self) -> None:
        """The application dies: nobody waits for its calls any more, and nobody repeats them."""
        self.scheduler.note(f"{self.name} restarts")
        self.workload.open.difference_update(self._operations.values())
        self.requests.count_held()
        self.begin()

    def close(self) -> None:
        """End the session in good order; another one begins when that is done."""
        self.scheduler.note(f"{self.name} closes its session")
        self._closing = True
        self.session.close(self.scheduler.seconds)
        self.act()

    def reconnect(self) -> None:
        """The connection breaks; the next router is tried."""
        self._transport.drop()
        self.act()

    def pause(self, duration: int) -> None:
        """Stop doing anything for a while."""
        self.paused_until = self.scheduler.now + duration
        self.scheduler.after(duration, self.act)

    def deliver(self, calls: Sequence[Any]) -> None:
        """Part of `calls.Owner`; what is delivered is taken from the outbox instead."""

    # -- work ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        scheduler, plan = self.scheduler, self.plan
        if not self.working:
            return
        idle = len(self._operations) < 3 * plan.in_flight_max and not self._closing
        if idle and scheduler.now >= self.paused_until:
            for _ in range(scheduler.between(1, plan.burst_max)):
                self.issue()
            self.act()
        scheduler.after(scheduler.between(0, plan.think_max), self._work)

    def issue(self) -> None:
        """Begin one operation of the plan's mix."""
        self.workload.issued += 1
        if 0 < self.plan.operations_max < self.workload.issued:
            return
        if self.workload.sessions and self.scheduler.chance(self.plan.ask_share):
            self.ask()
            return
        if self.scheduler.chance(self.plan.request_share) and self.requests.begin():
            return
        drawn = draw_operation(self.scheduler.rng, self.plan, self.workload, self.query_share)
        self.submit(
            drawn.resource,
            drawn.parts,
            serial=self.workload.serial if drawn.is_command else 0,
            is_query=not drawn.is_command,
            level=drawn.level,
            selection=drawn.selection,
        )

    def nested(self) -> Operation:
        """A command from inside the handler, at any level."""
        serial = self.workload.next_serial()
        level = frames.LINEARIZABLE if self.scheduler.chance(0.7) else None
        return self.submit("counter", ("add", serial), serial=serial, level=level, nested=True)

    def submit(
        self,
        resource: str,
        parts: tuple[Any, ...],
        *,
        serial: int = 0,
        is_query: bool = False,
        timeout: float = 0.0,
        level: int | None = None,
        selection: int = 0,
        nested: bool = False,
    ) -> Operation:
        """Begin this operation; without a timeout it gets one of the plan's kind."""
        now = self.scheduler.seconds
        operation = self._operation(resource, parts, serial)
        if not is_query:
            self._latest_command = operation
        deadline = now + (timeout or self._timeout())
        operation.call = Call(
            self._resources[resource],
            parts,
            is_query,
            now,
            deadline,
            self,
            None,
            level=level,
            selection=selection,
            nested=nested,
        )
        self._begun(operation)
        if self._closing:
            self._outbox.fail(operation.call, errors.Closed("the client is closed"))  # as `Sessions` does
        else:
            self.session.submit(operation.call)
        return operation

    def ask(self) -> Operation:
        """Ask what became of a sequence of any session that anybody has had."""
        rng = self.scheduler.rng
        session = rng.choice(sorted(self.workload.sessions))
        key, last = self.workload.sessions[session]
        if rng.random() < 0.05:
            key = bytes(16)
        parts = ("outcome", session, key, rng.randint(1, last + 2))
        now = self.scheduler.seconds
        operation = self._operation("shard", parts, 0)
        operation.asked = parts[1:]
        operation.call = Call(self._resources["shard"], parts, True, now, now + self._timeout(), self, None)
        self._begun(operation)
        self.session.asking.ask(operation.call, now)
        return operation

    def _operation(self, resource: str, parts: tuple[Any, ...], serial: int) -> Operation:
        return Operation(self.name, serial, resource, parts, self.workload.known_index, self._latest_command)

    def _begun(self, operation: Operation) -> None:
        self._operations[operation.call] = operation
        self.workload.open.add(operation)

    def _timeout(self) -> float:
        return 0.05 + self.scheduler.rng.random() if self.scheduler.chance(self.plan.give_up) else 1000.0

    def resource(self, name: str) -> Resource:
        """The client's own record of a resource."""
        return self._resources[name]

    def give_up(self, operation: Operation) -> None:
        """Nobody waits for this call any more, as when a task that awaits it is cancelled."""
        if self._operations.pop(operation.call, None) is not None:
            operation.given_up = True
            self.workload.open.discard(operation)
            self.session.give_up(operation.call, self.scheduler.seconds)

    def finish(self) -> None:
        """No more work but one last write and read, which have to succeed."""
        self.working = False
        if self._closing:
            self.restart()
        self.requests.finish()
        serial = self.workload.next_serial()
        self.submit("counter", ("add", serial), serial=serial, timeout=1000.0)
        self.submit("counter", ("get",), is_query=True, timeout=1000.0)
        self.act()

    def waits_for(self, sequence: int) -> bool:
        """Whether the result of this sequence of its session is still to come, to a caller that waits for nothing else.

        When a session ends, what it was given is delivered before the calls fail that it was not given the results of.
        """
        calls = [
            call for call in self._operations if call.sequence == sequence and not call.is_query and not call.error
        ]
        return any(call.nested or call.level != frames.LINEARIZABLE for call in calls)

    # -- the loop ------------------------------------------------------------------------------------

    def act_soon(self) -> None:
        """Take a turn before long."""
        if not self._act_due:
            self._act_due = True
            self.scheduler.after(self.scheduler.between(0, MS), self.act)

    def act(self) -> None:
        """One turn of the client's I/O loop."""
        self._act_due = False
        if self.scheduler.now < self.paused_until:
            return
        self._read()
        now = self.scheduler.seconds
        self.connection.tick(now)
        handled, self._outbox.handled[:] = list(self._outbox.handled), []
        for batch in handled:
            self.session.handled(batch, now)
        self.session.tick(now)
        self.session.pump(now)
        for message in self._outbox.messages:
            self._transport.send(message)
        self._outbox.messages.clear()
        self._collect(self.session.envelope.session)
        self._note_session()
        if self._closing and self.session.closed:
            while self._outbox.finished:  # a handler goes on calling while the client ends
                self._collect(0)
            self.begin()
        self._plan_next(now)

    def _plan_next(self, now: float) -> None:
        wake_at = max(now, min(self.session.wake_at(), self.connection.wake_at))
        if wake_at < inf:
            at = self.scheduler.now + max(1, int((wake_at - now) * SECOND) + 1)
            if at < self._next_act or self._next_act <= self.scheduler.now:
                self._next_act = at
                self.scheduler.after(at - self.scheduler.now, self._woken, at)

    def _woken(self, at: int) -> None:
        if at == self._next_act:
            self._next_act = inf
            self.act()

    def _read(self) -> None:
        now = self.scheduler.seconds
        while (message := self._transport.receive()) is not None:
            if message[0][2:4] == _NO_SHARD:
                if self.connection.receive(message, now):
                    self.session.connected(self.connection.endpoint, self.connection.number, now)
                continue
            reply, body = frames.parse_reply(message)
            session_id = self.session.envelope.session
            if reply.kind == frames.LEADER:
                self.session.leader_changed(reply.term, reply.leader, now)
            else:
                self.session.receive(reply, body, now)
            # At once: what ends now ends under this session, and a later message may be the end of it.
            self._collect(session_id)
        was_ready = self.connection.ready
        while (event := self._transport.event()) is not None:
            self.connection.event(event, now)
        if was_ready and not self.connection.ready:
            self.session.disconnected()

    def _collect(self, session_id: int) -> None:
        delivered = list(self._outbox.finished)
        self._outbox.finished.clear()
        for item in delivered:
            if isinstance(item, EventBatch):
                self._given(item)
            elif isinstance(item, StateChange):
                self._changed(item)
            elif (operation := self._operations.pop(item, None)) is not None:
                operation.session_id = operation.session_id or session_id
                self._ended(operation)

    def _given(self, batch: EventBatch) -> None:
        self.scheduler.note(f"{self.name} is given {batch}")
        for callback in self.on_given:
            callback(self, batch)
        self.requests.given(batch)
        self.handler.give(batch)

    def _changed(self, change: StateChange) -> None:
        self.scheduler.note(f"{self.name} is {change.state.value}: {change.reason}")
        if change.state in (ClientState.EXPIRED, ClientState.CLOSED):
            self.requests.session_over(change.state)
            self.handler.recover()

    def _ended(self, operation: Operation) -> None:
        call = operation.call
        operation.session_over = operation.session_id != self.session.envelope.session
        self.workload.open.discard(operation)
        self.workload.finished.append(operation)
        outcome = call.result if call.error is None else type(call.error).__name__
        self.scheduler.note(f"{self.name}: {call.parts} number {call.sequence} ends with {outcome}")
        for callback in self.on_completed:
            callback(operation)
        if operation.then is not None:
            operation.then()

    def _note_session(self) -> None:
        envelope = self.session.envelope
        if envelope.session:
            for call, operation in self._operations.items():
                if call.reopened and not operation.reopened:
                    # It was refused for sure, and runs again, maybe in another session.
                    operation.reopened, operation.session_id = True, 0
                # A command belongs to the session that gave it its sequence, however late its call ends.
                if call.sequence and not operation.session_id:
                    operation.session_id = envelope.session
            latest = self._latest_command.call.sequence if self._latest_command is not None else 0
            self.workload.note_session(envelope.session, envelope.key, latest)
