"""Targets behind the parsers: what leader, router and client do with a message that can be read and makes no sense."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from random import Random
from typing import Any

import msgpack
from ocelog.client.backoff import Fibonacci
from ocelog.client.calls import Call, EventBatch, Outbox, Resource
from ocelog.client.connection import Connection, Event
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.frames import REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES, Item, Reply, Request
from ocelog.client.protocol.limits import SLOTS, Limits
from ocelog.client.session import ShardSession
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.router.core import Router
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.outbox import Origin

from tests.unit_shard.desk import KEY, Desk, opening, operation
from tests.unit_shard.rebuild.drawing import OPERATIONS

from .target import Target
from .wire import joined, split, vectors

MACHINES = registry(BUILT_IN)
TYPES = sorted(MACHINES)


# -- a leader ---------------------------------------------------------------------------------------


def desk() -> tuple[Desk, int]:
    """A leader with a resource of every type, which the session that is returned has opened: entry 3, 4, 5..."""
    made = Desk(machines=MACHINES)
    session = made.register()
    made.commands(session, 1, *(opening(name, name) for name in TYPES))
    made.turn()
    return made, session


def still_serves(leader: Desk, session: int) -> None:
    """Whatever came before, the session's next command is answered, or the session has ended as the log says."""
    known = leader.executor.sessions.get(session)
    if known is None:
        return
    leader.commands(session, known.last + 1, opening("afterwards", "counter"))
    answers = [answer for answer in leader.turn() if answer.kind == frames.RESULTS]
    # A client that says that it has results which it never got is believed, also of this one.
    codes = (errors.OK, errors.ACKNOWLEDGED)
    assert any(code in codes for answer in answers for code, _ in answer.results), answers


def leader(data: bytes) -> None:
    """Any message to a leader; a request's session and key are made to fit when they are 0, so that bodies count."""
    try:
        header, body = frames.parse_request(split(data, REQUEST_BYTES))
    except frames.BadFrame:
        return
    serving, session = desk()
    if header.kind in (frames.ROUTES, frames.GONE):
        return  # a router's own word, which no client can send
    if header.session in (0, 5) or header.session > len(serving.log):
        header = header._replace(session=session, key=KEY)
    serving.leadership.receive(Origin(b"router", 1), header, body)
    serving.turn()
    serving.ticks(2)
    still_serves(serving, session)


def leader_samples() -> list[bytes]:
    """The requests of the vectors, and commands of the resources that `desk` has."""
    made = [joined(parts) for parts in vectors("messages") if parts[0][1:2] and parts[0][1] < 0x80]
    for name in ("put", "listen"):
        body = frames.pack_parts([operation(3 + TYPES.index("map"), name, b"\xa1a", b"\x01")])
        fields = request_header(frames.COMMAND, count=1, first_sequence=len(TYPES) + 1)
        made.append(REQUEST.pack(*fields) + body)
    return made


def request_header(kind: int, **fields: int) -> Request:
    """A request's header, of no session."""
    zero = dict.fromkeys(Request._fields, 0) | {"version": frames.VERSION, "key": KEY, "milliseconds_left": 1000}
    return Request(**(zero | {"kind": kind} | fields))


def machine(data: bytes) -> None:
    """An operation, of a command and of a query, in a message without a fault: the first byte chooses the resource."""
    serving, session = desk()
    body = data[1:]
    try:
        decoded = operations.decode(body)
        decoded[0] = 3 + (data[0] % len(TYPES))
        body = operations.encode(decoded)
    except (operations.BadOperation, ValueError, OverflowError, IndexError):
        pass
    serving.commands(session, len(TYPES) + 1, body)
    serving.turn()
    serving.query(session, body, after=len(TYPES) + 1)
    serving.turn()
    serving.ticks(2)
    still_serves(serving, session)


def machine_samples() -> list[bytes]:
    """Every command of every built-in machine, each with a few arguments."""
    made = []
    for place, name in enumerate(TYPES):
        for command, choices in OPERATIONS.get(name, {}).items():
            for arguments in itertools.islice(itertools.product(*choices), 3):
                made.append(bytes([place]) + operation(0, command, *arguments))
    return made


# -- a router ---------------------------------------------------------------------------------------


@functools.cache
def router_config() -> RouterConfig:
    """Two shards of three replicas."""
    fields: dict[str, Any] = {"data": "/tmp", "cluster_id": "ab" * 16, "shards": 2, "replicas": 3, "sockets": "/tmp/s"}
    fields |= {"listen": "tcp://127.0.0.1:0", "slots": [[0, 8191, 0], [8192, 16383, 1]]}
    return RouterConfig.from_json(json.dumps(fields))


def serving_router() -> Router:
    """A router that knows two leaders and a client."""
    core = Router(router_config())
    for shard in (0, 1):
        row = reply_header(frames.LEADER, shard=shard, term=1, leader=0)
        core.from_replica(3 * shard, frames.pack_bundle([Item(0, [REPLY.pack(*row)])]))
    core.from_client(b"ada", [REQUEST.pack(*request_header(frames.COMMAND, count=1, session=5, first_sequence=7))])
    return core


def reply_header(kind: int, **fields: int) -> Reply:
    """An answer's header."""
    return Reply(**(dict.fromkeys(Reply._fields, 0) | {"version": frames.VERSION, "kind": kind} | fields))


def let_work(core: Router) -> None:
    """The router hands on and answers what it has; a sound request is handed on after it."""
    core.take_for_clients()
    core.take_for_replicas()
    core.now += 5.0
    core.tick()
    core.from_client(b"bob", [REQUEST.pack(*request_header(frames.HELLO, shard=frames.NO_SHARD, request=9))])
    assert any(identity == b"bob" for identity, _ in core.take_for_clients()), "a greeting was not answered"


def router_from_client(data: bytes) -> None:
    """Any message of a client."""
    core = serving_router()
    core.from_client(b"ada", split(data, REQUEST_BYTES))
    let_work(core)


def router_from_replica(data: bytes) -> None:
    """A bundle of a replica."""
    core = serving_router()
    core.from_replica(0, [data])
    let_work(core)


def bundle_samples() -> list[bytes]:
    """Bundles of answers, to the router itself and to its client."""
    replies = [parts for parts in vectors("messages") if len(parts) == 1 and parts[0][1:2] and parts[0][1] >= 0x80]
    made = [frames.pack_bundle([Item(route, parts) for parts in replies[:8]])[0] for route in (0, 1, 7)]
    return made + [parts[0] for parts in vectors("bundles")]


# -- a client ---------------------------------------------------------------------------------------


class Silent:
    """A transport to nobody, and an owner of calls that remembers nothing."""

    def open(self, endpoint: str) -> None:
        """A connection is not made."""

    def close(self) -> None:
        """There is nothing to close."""

    def send(self, message: object) -> None:
        """Nobody gets it."""

    def receive(self) -> None:
        """Nothing comes."""

    def event(self) -> None:
        """Nothing happens."""

    def deliver(self, calls: object) -> None:
        """Nobody waits."""


def client_session(data: bytes) -> None:
    """A message to a client's session with a command and a query under way; one that opens it comes before the right one."""
    try:
        reply, body = frames.parse_reply(split(data, REPLY_BYTES))
    except frames.BadFrame:
        return
    outbox, now = Outbox(), 1000.0
    session = ShardSession(0, outbox, Random(1), client_id="fuzzed", timeout=30.0)
    session.connected("tcp://a:1", 1, now)
    resource = Resource("numbers", "map", 0)
    resource.index = 5
    for query in (False, True):
        session.submit(Call(resource, ("get", b"\xa1a"), query, now, now + 60, Silent(), None))
    session.pump(now)
    registering = frames.parse_request(outbox.messages[-1])[0].request
    opened = reply_header(frames.REGISTERED, session=77, request=registering, index=77)
    limits = memoryview(msgpack.packb(Limits().as_dict() | {"timeout_ms": 30_000}))
    messages = [(opened, limits), (reply, body)]
    if reply.kind == frames.REGISTERED:
        messages.insert(0, (reply._replace(request=registering), body))
    for header, rest in messages:
        with contextlib.suppress(frames.BadFrame):
            session.receive(header, rest, now)
        for item in outbox.finished:
            if isinstance(item, EventBatch):
                item.done()
        outbox.finished.clear()
        session.pump(now)
    for _ in range(50):
        now = max(now, min(session.wake_at(), now + 5))
        session.tick(now)
        session.pump(now)


def client_samples() -> list[bytes]:
    """The answers of the vectors, as of the session under test."""
    made = []
    for parts in vectors("messages"):
        if parts[0][1:2] and parts[0][1] >= 0x80:
            header, body = frames.parse_reply(parts)
            header = header._replace(shard=0, session=77)
            made.append(REPLY.pack(*header) + bytes(body))
    return made


def welcome(data: bytes) -> None:
    """What a router says when it is greeted."""
    connection = Connection(["tcp://a:1", "tcp://b:1"], Silent(), Random(1), Fibonacci(0.1, 1.0))
    connection.tick(0.0)
    connection.event(Event.OPENED, 0.0)
    header = reply_header(frames.WELCOME, shard=frames.NO_SHARD, request=1)
    connection.receive([REPLY.pack(*header) + data], 0.0)
    for second in range(20):
        connection.tick(float(second))


def targets() -> list[Target]:
    """All of them."""
    slots = [[0, SLOTS // 2 - 1, 0], [SLOTS // 2, SLOTS - 1, 1]]
    greeting = msgpack.packb({"cluster_id": "ab" * 16, "slots": slots, "routers": ["tcp://c:1"]})
    return [
        Target(name="leader", run=leader, samples=leader_samples(), accepted=()),
        Target(name="machine", run=machine, samples=machine_samples(), accepted=()),
        Target(name="router_from_client", run=router_from_client, samples=leader_samples(), accepted=()),
        Target(name="router_from_replica", run=router_from_replica, samples=bundle_samples(), accepted=()),
        Target(name="client_session", run=client_session, samples=client_samples(), accepted=()),
        Target(name="welcome", run=welcome, samples=[greeting], accepted=()),
    ]
