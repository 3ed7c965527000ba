"""A client written from docs/protocol.md alone talks to a real cluster: nothing of the package's client is used.

It is short on purpose: one session, one message at a time, no retries but those that a test on one machine needs. Every kind
that a client sends is in it, and every answer is read as the page says.
"""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq
from ocelog.cluster import LocalCluster

from tests.vectors import messages, wire

SECONDS = 20.0
RETRY_SECONDS = 0.05
MAY_BE_REPEATED = (1, 2, 3, 4, 5, 6, 7)
NAME = "told"


class ForeignClient:
    """One session on the shard of one name."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint)
        self.key = secrets.token_bytes(16)
        self.fields: dict[str, int] = {"shard": 0xFFFF, "session": 0}
        self.request = self.sequence = self.seen = 0
        self.received = self.handled = 0
        self.events: list[tuple[int, list[Any]]] = []
        self.receipts: list[dict[str, Any]] = []

    def close(self) -> None:
        self.context.destroy(linger=0)

    # -- messages --------------------------------------------------------------------------------------

    def send(self, kind: str, body: bytes = b"", **fields: int) -> int:
        """Send one message; its request number."""
        self.request += 1
        header = messages.request(
            kind, **self.fields, key=self.key, request=self.request, acknowledged=0, seen=self.seen
        )
        frames = wire.message(wire.header(wire.REQUEST_FIELDS, header | fields), body)
        self.socket.send_multipart(frames)
        return self.request

    def receive(self) -> tuple[dict[str, int], bytes]:
        """The next message, header and body; events and receipts are taken on the way."""
        while True:
            assert self.socket.poll(SECONDS * 1000), "no answer"
            first, *rest = self.socket.recv_multipart()
            fields = struct.unpack_from("<BBHBBHQQQQQQII", first)
            header = dict(zip((name for name, _ in wire.REPLY_FIELDS), fields, strict=True))
            body = rest[0] if rest else first[64:]
            if header["kind"] == messages.REPLIES["EVENTS"]:
                self.take_events(header, body)
            elif header["kind"] == messages.REPLIES["RECEIPT"]:
                self.receipts.append(msgpack.unpackb(body))
            elif header["kind"] != messages.REPLIES["LEADER"]:
                return header, body

    def ask(self, kind: str, answer: str, body: bytes = b"", **fields: int) -> tuple[dict[str, int], bytes]:
        """Send until it is answered with that kind; what may be repeated is repeated."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            request = self.send(kind, body, **fields)
            header, answered = self.receive()
            if header["kind"] == messages.REPLIES[answer]:
                assert header["request"] == request
                return header, answered
            assert header["kind"] == messages.REPLIES["REFUSED"] and header["code"] in MAY_BE_REPEATED, answered
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"{kind} was not answered")

    # -- a session -------------------------------------------------------------------------------------

    def begin(self, name: str) -> dict[str, Any]:
        """HELLO and REGISTER; the limits."""
        _, body = self.ask("HELLO", "WELCOME")
        slots = msgpack.unpackb(body)["slots"]
        slot = zlib.crc32(name.encode()) & 0x3FFF
        (self.fields["shard"],) = [shard for first, last, shard in slots if first <= slot <= last]
        header, body = self.ask("REGISTER", "REGISTERED", msgpack.packb(["foreign", 5000]))
        self.fields["session"] = header["session"]
        return msgpack.unpackb(body)

    def command(self, *operation: Any, flags: int = 0) -> tuple[int, Any, bool]:
        """One command: its log index, value, and whether its events are unsettled."""
        self.sequence += 1
        body = wire.parts([wire.pack(list(operation))])
        fields = {"count": 1, "first_sequence": self.sequence, "acknowledged": self.sequence - 1, "flags": flags}
        header, body = self.ask("COMMAND", "RESULTS", body, **fields)
        length, index = struct.unpack_from("<IQ", body)
        result = body[12:]
        assert len(result) == length and header["first_sequence"] == self.sequence
        self.seen = max(self.seen, index)
        assert result[0] == 0, result[1:]
        return index, msgpack.unpackb(result[1:]), bool(header["flags"] & 1)

    def query(self, level: int, *operation: Any, flags: int = 0) -> Any:
        """One query; it runs after all commands."""
        body = wire.parts([wire.pack(list(operation))])
        fields = {"count": 1, "level": level, "first_sequence": self.sequence, "flags": flags}
        header, body = self.ask("QUERY", "ANSWERS", body, **fields)
        assert struct.unpack_from("<I", body)[0] == len(body) - 4 and body[4] == 0
        assert header["index"] >= self.seen
        self.seen = header["index"]
        return msgpack.unpackb(body[5:])

    def take_events(self, header: dict[str, int], body: bytes) -> None:
        """Take what is new of an EVENTS, by the rules of the page; nothing is answered yet."""
        count, previous = header["count"], header["request"]
        lengths, indexes = struct.unpack_from(f"<{count}I", body), struct.unpack_from(f"<{count}Q", body, 4 * count)
        at = 12 * count
        for length, index in zip(lengths, indexes, strict=True):
            if previous <= self.received < index:
                self.events.append((index, msgpack.unpackb(body[at : at + length])))
                self.received = index
            previous, at = index, at + length

    def tell_handled(self) -> None:
        self.handled = self.received
        self.send("HANDLED", wire.little(self.received, 8) + wire.little(self.handled, 8))


@pytest.fixture
def clients() -> Iterator[list[ForeignClient]]:
    with LocalCluster(shards=2, replicas=3) as cluster:
        made = [ForeignClient(cluster.endpoints[0]) for _ in range(2)]
        yield made
        for client in made:
            client.close()


def opened(client: ForeignClient) -> int:
    limits = client.begin(NAME)
    assert limits["timeout_ms"] == 5000 and limits["operations_max"] > 0
    return client.command(0, "open", NAME, "map")[1]


@pytest.mark.system
def test_a_client_from_the_page(clients):
    """Everything that a client says, in one conversation of a writer and a listener."""
    writer, listener = clients
    index = opened(writer)
    assert opened(listener) == index
    began, nothing, unsettled = listener.command(index, "listen", None)
    assert (nothing, unsettled) == (None, False)

    # A command with a receipt; its event reaches the listener, and is not handled yet.
    key, value = wire.pack("ada"), wire.pack(1815)
    at, previous, unsettled = writer.command(index, "put", key, value, flags=4)
    assert (previous, unsettled) == (None, True)
    (receipt,) = writer.receipts
    assert (receipt["index"], receipt["path"]) == (at, "log")

    # Every level sees it.
    for level in range(4):
        assert writer.query(level, index, "get", key) == value
    assert writer.query(2, index, "size", flags=1) == 1
    assert writer.query(3, index, "size", flags=2) == 1

    # It is settled when the listener says that it has handled it, which a SETTLE waits for.
    request = writer.send("SETTLE", wire.little(at, 8), count=1)
    listener.ask("KEEP_ALIVE", "KEPT_ALIVE")
    deadline = time.monotonic() + SECONDS
    while not listener.events and time.monotonic() < deadline:
        listener.ask("KEEP_ALIVE", "KEPT_ALIVE")
    assert listener.events == [(at, [[index, "change", ["added", key, None, value]]])]
    assert at > began
    listener.tell_handled()
    header, body = writer.receive()
    assert (header["kind"], header["request"], body) == (messages.REPLIES["SETTLED"], request, wire.little(at, 8))

    # What became of the put, asked by somebody else who has its session and key.
    question = wire.pack([writer.fields["session"], writer.key, writer.sequence])
    _, body = listener.ask("OUTCOME", "OUTCOME_REPORT", question)
    assert msgpack.unpackb(body) == [2, 0, b""] or msgpack.unpackb(body) == [1, at, b"\0\xc0"]

    # Repeating the command gives the first result, and a void in the place of the next one is what counts.
    writer.sequence -= 1
    assert writer.command(index, "put", key, value)[0] == at
    writer.sequence += 1
    header, body = writer.ask("COMMAND", "RESULTS", wire.parts([b""]), count=1, first_sequence=writer.sequence)
    assert body[12] == 36

    for client in clients:
        client.ask("UNREGISTER", "UNREGISTERED", first_sequence=client.sequence + 1)
