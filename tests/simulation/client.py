"""A simulated client: the production `ShardSession`, a workload of unique operations, and a router's part in between.

It finds the leader as a router does, by notices and by asking around, and sometimes sends to the wrong replica on purpose. Every
command that writes carries a serial number nobody else uses, so its effect can be recognised wherever it shows up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from ocelog.client.calls import Call, Outbox, Resource
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import Item
from ocelog.client.session import ShardSession

from .host import host_name
from .network import Frames, Network
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan

HELLO_INTERVAL = SECOND // 2
OPERATIONS = (
    "put",
    "put",
    "put",
    "put",
    "put_if_absent",
    "put_if_absent",
    "replace",
    "replace",
    "remove",
    "remove",
    "clear",
)
LEASE_OPERATIONS = ("put", "put", "put_if_absent", "hold", "put_both", "alarm", "remove", "clear")
TTLS = (0, 20, 50, 100, 100, 500, 3000)
"""In ms; often the same, so that timers fall due together."""


@dataclass(eq=False)
class Operation:
    """One call and what is known of it.

    `serial` is 0 for a query; `known_index` is what everybody together knew of the log when it began; `behind` is the
    command that its client had submitted last.
    """

    client: str
    serial: int
    resource: str
    parts: tuple[Any, ...]
    known_index: int
    behind: Operation | None
    call: Call = field(init=False)
    session_id: int = 0

    def __str__(self) -> str:
        return f"{self.client}: {self.parts} on {self.resource}, session {self.session_id} {self.call.sequence}"


class Workload:
    """What all clients of a run share: serial numbers, and what is known to have happened."""

    def __init__(self) -> None:
        self.serial = 0
        self.known_index = 0
        self.open: set[Operation] = set()
        self.finished: list[Operation] = []

    def next_serial(self) -> int:
        """A number for one command."""
        self.serial += 1
        return self.serial


class SimClient:
    """One client. `on_completed` is called for every operation that ends, with a result or with an error."""

    def __init__(self, number: int, plan: Plan, scheduler: Scheduler, network: Network, workload: Workload) -> None:
        self.name = f"client-{number}"
        self.plan = plan
        self.scheduler = scheduler
        self.network = network
        self.workload = workload
        self.on_completed: list[Callable[[Operation], None]] = []
        self.paused_until = 0
        self.working = True
        self._inbox: list[Frames] = []
        self._act_due = False
        self._next_act = inf
        self._term = 0
        self._leader: int | None = None
        # A reader: its reads do not wait behind commands of its own that a cut-off leader cannot commit.
        self.query_share = 0.98 if scheduler.chance(plan.readers) else plan.query_share
        network.attach(self.name, self._receive)
        self.begin()
        self._work()
        self._hello()

    # -- the session ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start as a new process of the application: nothing is known of earlier sessions."""
        self._outbox = Outbox()
        seed = self.scheduler.rng.getrandbits(32)
        self.session = ShardSession(
            0, self._outbox, Random(seed), client_id=self.name, timeout=self.plan.session_timeout
        )
        self._resources = {name: Resource(name[0], name, 0) for name in ("map", "counter", "leases")}
        self._connection = 1
        self._operations: dict[Call, Operation] = {}
        self._latest_command: Operation | None = None
        self._closing = False
        self.session.connected(self.name, self._connection, self.scheduler.seconds)

    def restart(self) -> None:
        """The application dies: nobody waits for its calls any more, and nobody repeats them."""
        self.scheduler.note(f"{self.name} restarts")
        self.workload.open.difference_update(self._operations.values())
        self.begin()

    def close(self) -> None:
        """End the session in good order; another one begins when that is done."""
        self.scheduler.note(f"{self.name} closes its session")
        self._closing = True
        self.session.close(self.scheduler.seconds)
        self.act()

    def reconnect(self) -> None:
        """The router is lost and another one found."""
        self.session.disconnected()
        self._connection += 1
        self.session.connected(self.name, self._connection, self.scheduler.seconds)
        self.act()

    def pause(self, duration: int) -> None:
        """Stop doing anything for a while."""
        self.paused_until = self.scheduler.now + duration
        self.scheduler.after(duration, self.act)

    def deliver(self, calls: Sequence[Call]) -> None:
        """Part of `calls.Owner`; finished calls are taken from the outbox instead."""

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
        rng, plan = self.scheduler.rng, self.plan
        resource = "leases" if rng.random() < plan.lease_share else rng.choice(("map", "counter"))
        key = b"k%d" % rng.randrange(plan.keys)
        if rng.random() < self.query_share:
            self.submit(resource, ("get",) if resource == "counter" else ("get", key), is_query=True)
            return
        serial = self.workload.next_serial()
        if rng.random() < plan.bad_share:
            self.submit(resource, rng.choice(BAD_PARTS), serial=serial)
        elif resource == "counter":
            self.submit(resource, ("add", serial), serial=serial)
        elif resource == "leases":
            self.submit(resource, self._lease_parts(key, b"v%d" % serial), serial=serial)
        else:
            name = rng.choice(OPERATIONS)
            parts = {"clear": (), "remove": (key,)}.get(name, (key, b"v%d" % serial))
            self.submit(resource, (name, *parts), serial=serial)

    def _lease_parts(self, key: bytes, value: bytes) -> tuple[Any, ...]:
        rng = self.scheduler.rng
        name = rng.choice(LEASE_OPERATIONS)
        if name == "alarm":
            return name, rng.choice(TTLS), rng.randrange(3)
        if name == "put_both":
            return name, key, b"k%d" % rng.randrange(self.plan.keys), value
        if name in ("remove", "clear"):
            return (name, key) if name == "remove" else (name,)
        return (name, key, value) if name == "hold" else (name, key, value, rng.choice(TTLS))

    def submit(
        self, resource: str, parts: tuple[Any, ...], *, serial: int = 0, is_query: bool = False, timeout: float = 0.0
    ) -> Operation:
        """Begin this operation; without a timeout it gets one of the plan's kind."""
        scheduler = self.scheduler
        now = scheduler.seconds
        operation = Operation(self.name, serial, resource, parts, self.workload.known_index, self._latest_command)
        if not is_query:
            self._latest_command = operation
        if not timeout:
            timeout = 0.05 + scheduler.rng.random() if scheduler.chance(self.plan.give_up) else 1000.0
        call = Call(self._resources[resource], parts, is_query, now, now + timeout, self, None)
        operation.call = call
        self._operations[call] = operation
        self.workload.open.add(operation)
        self.session.submit(call)
        return operation

    def act(self) -> None:
        """One turn of the client's I/O loop."""
        self._act_due = False
        if self.scheduler.now < self.paused_until:
            return
        inbox, self._inbox = self._inbox, []
        for each in inbox:
            self._read(each)
        now = self.scheduler.seconds
        self.session.tick(now)
        self.session.pump(now)
        self._send()
        self._collect(self.session.envelope.session)
        if self._closing and self.session.closed:
            self.begin()
        wake_at = self.session.wake_at()
        if wake_at < inf:
            self._wake(max(1, int((wake_at - now) * SECOND) + 1))

    def finish(self) -> None:
        """No more work but one last write and read, which have to succeed."""
        self.working = False
        if self._closing:
            self.restart()
        serial = self.workload.next_serial()
        self.submit("counter", ("add", serial), serial=serial, timeout=1000.0)
        self.submit("counter", ("get",), is_query=True, timeout=1000.0)
        self.act()

    def _wake(self, delay: int) -> None:
        at = self.scheduler.now + delay
        if at < self._next_act or self._next_act <= self.scheduler.now:
            self._next_act = at
            self.scheduler.after(delay, self._woken, at)

    def _woken(self, at: int) -> None:
        if at == self._next_act:
            self._next_act = inf
            self.act()

    def _collect(self, session_id: int) -> None:
        finished = list(self._outbox.finished)
        self._outbox.finished.clear()
        for call in finished:
            operation = self._operations.pop(call, None)
            if operation is None:
                continue
            operation.session_id = session_id
            self.workload.open.discard(operation)
            self.workload.finished.append(operation)
            outcome = call.result if call.error is None else type(call.error).__name__
            self.scheduler.note(f"{self.name}: {call.parts} number {call.sequence} ends with {outcome}")
            for callback in self.on_completed:
                callback(operation)

    # -- the router's part ---------------------------------------------------------------------------

    def _hello(self) -> None:
        header = frames.REQUEST.pack(
            frames.VERSION, frames.HELLO, frames.NO_SHARD, 0, 0, 0, 0, 0, frames.NO_KEY, 0, 0, 0, 0, 1000
        )
        for member in range(self.plan.members):
            self._pass_on(member, [Item(0, [header])])
        self.scheduler.after(HELLO_INTERVAL, self._hello)

    def _send(self) -> None:
        for message in self._outbox.messages:
            self._pass_on(self._target(), [Item(1, message)])
        self._outbox.messages.clear()

    def _target(self) -> int:
        if self._leader is None or self.scheduler.chance(self.plan.misdirect):
            return self.scheduler.rng.randrange(self.plan.members)
        return self._leader

    def _pass_on(self, member: int, items: list[Item]) -> None:
        self.network.send(self.name, host_name(member), frames.pack_bundle(items))

    def _receive(self, source: str, frames_in: Frames) -> None:
        self._inbox.append(frames_in)
        if not self._act_due:
            self._act_due = True
            self.scheduler.after(self.scheduler.between(0, MS), self.act)

    def _read(self, bundle: Frames) -> None:
        now = self.scheduler.seconds
        for route, parts in frames.unpack_bundle(bundle):
            reply, body = frames.parse_reply(parts)
            self._note_leader(reply)
            if route == 0:
                if reply.kind == frames.LEADER:
                    self.session.leader_changed(reply.term, reply.leader, now)
            else:
                session_id = self.session.envelope.session
                self.session.receive(reply, body, now)
                # At once: what ends now ends under this session, and a later message may be the end of it.
                self._collect(session_id)

    def _note_leader(self, reply: frames.Reply) -> None:
        if reply.term >= self._term and reply.leader != frames.NO_LEADER_KNOWN:
            self._term, self._leader = reply.term, reply.leader
        elif reply.code in (errors.NO_LEADER, errors.NOT_LEADER) and reply.term >= self._term:
            self._leader = None


BAD_PARTS = (
    ("frobnicate",),
    ("put", b"k0"),
    ("add", "one"),
    ("add", 1 << 63),
    ("put", b"k0", b"x" * 500),
)
