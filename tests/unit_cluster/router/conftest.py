"""A router's surroundings: its settings, messages as clients and replicas send them, and a replica that is played."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from ocelog.client.protocol import frames
from ocelog.client.protocol.admin import unpack_admin
from ocelog.client.protocol.frames import NO_LEADER_KNOWN, REPLY, REQUEST, VERSION, Item, Reply
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.router.core import Router

PATIENCE_S = 10.0


def argument(**changes: Any) -> dict[str, Any]:
    """What a supervisor tells a router of two shards with three replicas."""
    fields = {
        "data": "/tmp",
        "cluster_id": "ab" * 16,
        "shards": 2,
        "replicas": 3,
        "sockets": "/tmp/sockets",
        "listen": "tcp://127.0.0.1:0",
        "slots": [[0, 8191, 0], [8192, 16383, 1]],
        "settings": {"limits": {"message_bytes_max": 2 * 1024 * 1024}},
    }
    return fields | changes


def request(kind: int = frames.COMMAND, shard: int = 0, identifier: int = 1, body: bytes = b"", **fields: int) -> bytes:
    """A request in one frame."""
    header = REQUEST.pack(
        fields.get("version", VERSION),
        kind,
        shard,
        0,
        0,
        1,
        identifier,
        fields.get("session", 5),
        b"k" * 16,
        fields.get("first_sequence", 7),
        0,
        0,
        fields.get("connection", 0),
        1000,
    )
    return header + body


def reply(kind: int = frames.RESULTS, shard: int = 0, identifier: int = 1, body: bytes = b"", **fields: int) -> bytes:
    """An answer in one frame."""
    header = REPLY.pack(
        VERSION,
        kind,
        shard,
        fields.get("code", 0),
        0,
        0,
        identifier,
        fields.get("session", 5),
        7,
        fields.get("index", 0),
        0,
        fields.get("term", 1),
        fields.get("leader", NO_LEADER_KNOWN),
        0,
    )
    return header + body


def leads(replica: int, term: int = 1, shard: int = 0) -> list[Any]:
    """The bundle in which a replica says who leads its shard."""
    return frames.pack_bundle([Item(0, [reply(frames.LEADER, shard, 0, term=term, leader=replica)])])


class Driver:
    """A router's core with the words its tests use."""

    request = staticmethod(request)
    reply = staticmethod(reply)
    leads_bundle = staticmethod(leads)

    def __init__(self, **changes: Any) -> None:
        self.core = Router(RouterConfig.from_json(json.dumps(argument(**changes))))

    def says(self, identity: bytes, *parts: bytes) -> None:
        """A client sends a message."""
        self.core.from_client(identity, list(parts))

    def told(self, identity: bytes | None = None) -> list[Reply]:
        """What clients are sent, or one of them; headers only."""
        taken = self.core.take_for_clients()
        return [frames.parse_reply(parts)[0] for to, parts in taken if identity in (None, to)]

    def handed(self) -> dict[int, list[Item]]:
        """What members are sent, without the router's own questions."""
        taken = {member: [item for item in items if item.route] for member, items in self.core.take_for_replicas()}
        return {member: items for member, items in taken.items() if items}

    def leads(self, member: int, term: int = 1, by: int | None = None) -> None:
        """Member `by` (itself, if not given) says that the member leads its shard."""
        shard, replica = divmod(member, self.core.config.replicas)
        self.core.from_replica(member if by is None else by, leads(replica, term, shard))

    def pass_time(self, seconds: float) -> None:
        """One turn, so much later."""
        self.core.now += seconds
        self.core.tick()


@pytest.fixture
def router() -> Driver:
    """A core of two shards with three replicas each, told of no leader."""
    return Driver()


@pytest.fixture(scope="session")
def new_router() -> type[Driver]:
    """Makes such cores, for tests that need many."""
    return Driver


class PlayedReplica:
    """A replica's socket for routers, played by the test; leads its shard in `term` unless `leader` says otherwise."""

    def __init__(self, context: zmq.Context[Any], folder: Path, shard: int, replica: int) -> None:
        self.shard, self.replica, self.term = shard, replica, 1
        self.leader = replica
        self.router = b""
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.sndhwm = 0  # it answers each message with a bundle of its own: more than a queue of ZeroMQ holds
        self.socket.bind(f"ipc://{folder}/s{shard}r{replica}.c")

    def play(self, answer: Callable[[Item], list[Any] | None]) -> None:
        """Serve what has arrived: greetings as a replica does, all else by `answer`."""
        while self.socket.poll(0):
            router, *message = self.socket.recv_multipart()
            self.router = router
            for item in frames.unpack_bundle(message):
                frames_back = self._to_router(item) if item.route == 0 else answer(item)
                if frames_back is not None:
                    self.send(router, Item(item.route, frames_back))

    def send(self, router: bytes, *items: Item) -> None:
        """Send one bundle."""
        self.socket.send_multipart([router, *frames.pack_bundle(items)])

    def push(self, *items: Item) -> None:
        """Send one bundle to the router that was heard last."""
        self.send(self.router, *items)

    def _to_router(self, item: Item) -> list[Any]:
        header, body = frames.parse_request(item.frames)
        if header.kind == frames.HELLO:
            return [reply(frames.LEADER, self.shard, 0, term=self.term, leader=self.leader)]
        if header.kind == frames.ADMIN:
            answer = msgpack.packb({"ok": True, "asked": list(unpack_admin(body))})
            return [reply(frames.ADMIN_REPORT, self.shard, header.request, answer)]
        role = "leader" if self.leader == self.replica else "follower"
        body = msgpack.packb({"id": self.replica, "shard": self.shard, "pid": 1, "role": role, "term": self.term})
        return [reply(frames.STATUS_REPORT, self.shard, header.request, body)]


def start(fields: dict[str, Any], errors: Any) -> subprocess.Popen[str]:
    """Start a router process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ocelog.cluster.router", json.dumps(fields)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


class Stage:
    """A real router process, clients to talk to it, and played replicas behind it."""

    request = staticmethod(request)
    reply = staticmethod(reply)
    argument = staticmethod(argument)
    start = staticmethod(start)

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.context: zmq.Context[Any] = zmq.Context()
        self.replicas: dict[tuple[int, int], PlayedReplica] = {}
        self.clients: list[zmq.Socket[bytes]] = []
        self.errors = (folder / "errors").open("w+")
        self.process = start(argument(data=str(folder), sockets=str(folder), **changes), self.errors)
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        self.endpoint = self.ready["endpoint"]
        self.answer: Callable[[Item], list[Any] | None] = echo

    def replica(self, shard: int, replica: int) -> PlayedReplica:
        """Start playing a replica."""
        played = self.replicas[shard, replica] = PlayedReplica(self.context, self.folder, shard, replica)
        return played

    def client(self, **options: bytes | int) -> zmq.Socket[bytes]:
        """A client's socket with those options, connected."""
        socket = self.context.socket(zmq.DEALER)
        socket.linger = 0
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(self.endpoint)
        self.clients.append(socket)
        return socket

    def until(self, condition: Callable[[], Any]) -> Any:
        """Play the replicas until the condition holds; its value."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for played in list(self.replicas.values()):
                played.play(self.answer)
            value = condition()
            if value:
                return value
            zmq.select([p.socket for p in self.replicas.values()] + self.clients, [], [], 0.02)
        raise AssertionError(
            f"not within {PATIENCE_S} s; exit {self.process.poll()}; {self.said()}; log: {self.lines()}"
        )

    def receive(self, client: zmq.Socket[bytes], *kinds: int) -> tuple[Reply, bytes]:
        """The next message for a client (of those kinds, if any are given), while the replicas play."""

        def arrived() -> tuple[Reply, bytes] | None:
            while client.poll(0):
                header, body = frames.parse_reply(client.recv_multipart())
                if not kinds or header.kind in kinds:
                    return header, bytes(body)
            return None

        return self.until(arrived)  # type: ignore[no-any-return]

    def ask(self, client: zmq.Socket[bytes], *kinds: int, **fields: Any) -> tuple[Reply, bytes]:
        """Send one request and wait for what comes back."""
        client.send(request(**fields))
        return self.receive(client, *kinds)

    def lines(self) -> str:
        """What the router wrote to its log so far."""
        return (self.folder / "logs" / "router-0.log").read_text()

    def said(self) -> str:
        """What the router wrote to standard error so far."""
        self.errors.seek(0)
        return self.errors.read()

    def close(self) -> None:
        """End the router and close everything."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.context.destroy(linger=0)
        self.errors.close()


def echo(item: Item) -> list[Any]:
    """Answer a command with its own body."""
    header, body = frames.parse_request(item.frames)
    answer = reply(frames.RESULTS, header.shard, header.request, leader=0)
    return frames.request_frames(answer, bytes(body))


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A router process of one shard with three replicas (unless the test asks for others), none of which is there yet."""
    with tempfile.TemporaryDirectory(prefix="ocelog-") as folder:
        made = Stage(Path(folder), **getattr(request, "param", {"shards": 1, "slots": [[0, 16383, 0]]}))
        try:
            yield made
        finally:
            made.close()
