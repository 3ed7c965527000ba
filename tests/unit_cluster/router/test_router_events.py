"""A real router process and events: who is told that a client is gone, and what a client that does not read costs others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import psutil
import pytest
import zmq
from ocelog.client.protocol import frames
from ocelog.client.protocol.events import Route, unpack_routes
from ocelog.client.protocol.frames import NO_SHARD, Item

pytestmark = pytest.mark.system

PUSHES = 20_000
PUSH_BYTES = 1024
GROWTH_BYTES_MAX = 16 * 1024 * 1024

CLIENT = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
for message in sys.argv[2:]:
    socket.send(bytes.fromhex(message))
    socket.recv()
print("ready", flush=True)
sys.stdin.read()
"""


class Leader:
    """Replica 0 of the stage, played: answers with the session that was asked for, and remembers what the router says."""

    def __init__(self, stage: Any, member: int = 0, term: int = 1) -> None:
        self.stage = stage
        self.routes: list[Route] = []
        self.gone: list[Route] = []
        self.heard: dict[int, int] = {}
        self.played = stage.replica(0, member)
        self.played.term = term
        original = self.played._to_router

        def to_router(item: Item) -> Any:
            header, body = frames.parse_request(item.frames)
            if header.kind in (frames.ROUTES, frames.GONE):
                told = self.routes if header.kind == frames.ROUTES else self.gone
                told.extend(unpack_routes(body, header.count))
                return None
            return original(item)

        self.played._to_router = to_router
        stage.answer = self.answer

    def answer(self, item: Item) -> list[Any]:
        header, _ = frames.parse_request(item.frames)
        self.heard[header.session] = item.route
        return [self.stage.reply(frames.RESULTS, 0, header.request, session=header.session, leader=0)]

    def push(self, session: int, body: bytes) -> None:
        """Push a message of events to where the session was heard."""
        route = self.heard[session]
        self.played.push(Item(route, [self.stage.reply(frames.EVENTS, 0, 0, body, session=session)]))


def hello(stage: Any, connection: int) -> bytes:
    return stage.request(frames.HELLO, shard=NO_SHARD, connection=connection)


def attached(stage: Any, session: int, connection: int = 1, **options: Any) -> zmq.Socket[bytes]:
    """A client that has greeted, and was answered for its session."""
    client = stage.client(**options)
    client.send(hello(stage, connection))
    stage.receive(client, frames.WELCOME)
    stage.until(lambda: _answered(stage, client, session))
    return client


def _answered(stage: Any, client: zmq.Socket[bytes], session: int) -> bool:
    return bool(stage.ask(client, frames.RESULTS, frames.REFUSED, session=session)[0].kind == frames.RESULTS)


@contextmanager
def another_process(stage: Any, session: int) -> Iterator[subprocess.Popen[str]]:
    """A client that has greeted and was answered, in a process of its own; it says nothing more."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, stage.endpoint, hello(stage, 7).hex(), stage.request(session=session).hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        stage.until(lambda: process.stdout.readline() == "ready\n")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_leader_is_told_of_a_client_that_closes_without_having_to_push(stage):
    leader = Leader(stage)
    client = attached(stage, session=21, connection=5)
    stays = attached(stage, session=22)
    stage.clients.remove(client)
    client.close(0)
    stage.until(lambda: leader.gone)
    assert leader.gone == [Route(21, leader.heard[21], 5)]
    assert _answered(stage, stays, 22)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_is_told_of_a_client_that_is_killed_or_answers_no_heartbeat(stage, way):
    leader = Leader(stage)
    attached(stage, session=22)  # by now the router knows the leader, so the other one is not refused
    with another_process(stage, session=21) as process:
        process.send_signal(way)
        stage.until(lambda: leader.gone)
        assert leader.gone == [Route(21, leader.heard[21], 7)]


def test_a_descriptor_that_was_used_before_is_not_taken_for_its_former_client(stage):
    leader = Leader(stage)
    for session in range(30, 40):
        client = attached(stage, session)
        stage.clients.remove(client)
        client.close(0)
        stage.until(lambda session=session: [route.session for route in leader.gone] == [*range(30, session + 1)])
    stays = attached(stage, 50)
    assert _answered(stage, stays, 50)
    assert len(leader.gone) == 10


def test_a_new_leader_is_told_at_once_and_pushes_to_clients_that_have_not_spoken(stage):
    first = Leader(stage)
    clients = {session: attached(stage, session, connection=session) for session in range(60, 70)}
    second = Leader(stage, member=1, term=2)
    second.heard = first.heard
    stage.until(lambda: len(second.routes) == 10)
    assert sorted(second.routes) == [Route(session, first.heard[session], session) for session in range(60, 70)]
    for session, client in clients.items():
        second.push(session, b"event")
        assert stage.receive(client, frames.EVENTS)[1] == b"event"


def test_one_who_does_not_read_its_events_costs_others_nothing_and_the_router_a_bounded_queue(stage):
    leader = Leader(stage)
    reads = attached(stage, 71)
    deaf = attached(stage, 72, RCVHWM=1, RCVBUF=4096)
    memory = psutil.Process(stage.process.pid).memory_info
    before = memory().rss
    for number in range(PUSHES):
        leader.push(72, bytes(PUSH_BYTES))
        if number % 1000 == 0:
            assert _answered(stage, reads, 71)
            leader.push(71, b"%d" % number)
            assert stage.receive(reads, frames.EVENTS)[1] == b"%d" % number
    assert _answered(stage, reads, 71)
    assert memory().rss - before < GROWTH_BYTES_MAX
    _, body = stage.ask(reads, frames.STATUS_REPORT, kind=frames.STATUS, shard=NO_SHARD)
    assert 0 < msgpack.unpackb(body)["router"]["unread"] < PUSHES

    def reads_again() -> bool:
        leader.push(72, b"again")
        while deaf.poll(0):
            if frames.parse_reply(deaf.recv_multipart())[1] == b"again":
                return True
        return False

    stage.until(reads_again)


def test_a_leader_that_pushes_to_one_who_is_gone_is_told_again(stage):
    leader = Leader(stage)
    client = attached(stage, session=81)
    stage.clients.remove(client)
    client.close(0)
    stage.until(lambda: leader.gone)
    leader.gone.clear()
    leader.push(81, b"event")
    stage.until(lambda: leader.gone)
    assert leader.gone == [Route(81, leader.heard[81], 0)]
