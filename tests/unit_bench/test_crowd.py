"""A crowd of sessions against a played shard, and against a real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq
from ocelog.bench.crowd import Crowd, CrowdFailed
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.events import unpack_handled
from ocelog.client.protocol.frames import REPLY, Request
from ocelog.cluster import LocalCluster

SECONDS = 20.0


def reply(kind: int, **fields: Any) -> bytes:
    """One answer."""
    values = {
        "shard": 0,
        "code": 0,
        "flags": 0,
        "count": 0,
        "request": 0,
        "session": 0,
        "first_sequence": 0,
        "index": 0,
    }
    values |= {"event_index": 0, "term": 1, "leader": 0, "retry_after_ms": 0}
    body = fields.pop("body", b"")
    return REPLY.pack(frames.VERSION, kind, *(values | fields).values()) + body


class Shard:
    """A router and its shard, played on a thread: `answer` says what a request is answered with."""

    def __init__(self, answer: Callable[[Request, bytes], list[bytes]]) -> None:
        self.answer = answer
        self.heard: list[tuple[Request, bytes]] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(20):
                identity, *message = self._socket.recv_multipart()
                header, body = frames.parse_request(message)
                self.heard.append((header, bytes(body)))
                for answer in self.answer(header, bytes(body)):
                    self._socket.send_multipart([identity, answer])

    def of_kind(self, kind: int) -> list[tuple[Request, bytes]]:
        """What was heard of one kind."""
        return [(header, body) for header, body in list(self.heard) if header.kind == kind]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.fixture
def played() -> Iterator[Callable[..., Shard]]:
    shards = []

    def make(answer: Callable[[Request, bytes], list[bytes]]) -> Shard:
        shards.append(Shard(answer))
        return shards[-1]

    yield make
    for shard in shards:
        shard.close()


def registered(header: Request) -> bytes:
    return reply(frames.REGISTERED, request=header.request, session=100 + header.request, body=msgpack.packb({}))


def willing(header: Request, body: bytes) -> list[bytes]:
    """A shard that answers everything at once."""
    if header.kind == frames.REGISTER:
        return [registered(header)]
    if header.kind == frames.KEEP_ALIVE:
        return [reply(frames.KEPT_ALIVE, request=header.request, session=header.session)]
    if header.kind == frames.COMMAND:
        result = frames.pack_results([7], [b"\0\xc0"])
        first = header.first_sequence
        return [reply(frames.RESULTS, count=1, session=header.session, first_sequence=first, body=result)]
    return []


def test_sessions_register_command_and_keep_alive(played):
    shard = played(willing)
    with Crowd(shard.endpoint, size=20, connections=3, timeout_s=0.6) as crowd:
        crowd.register(SECONDS)
        crowd.command(lambda number: msgpack.packb([2, "add", number]), SECONDS)
        assert {member.result for member in crowd.members} == {b"\0\xc0"}
        crowd.keep_alive()
        assert crowd.run(SECONDS, until=lambda: crowd.kept_alive >= 40)
    assert len({header.key for header, _ in shard.of_kind(frames.REGISTER)}) == 20
    sent = [operations.decode(frames.unpack_parts(body, 1)[0]) for _, body in shard.of_kind(frames.COMMAND)]
    assert sorted(operation[2] for operation in sent) == list(range(20))
    assert {header.session for header, _ in shard.of_kind(frames.KEEP_ALIVE)} == {101 + n for n in range(20)}


def test_what_is_refused_for_now_is_sent_again(played):
    refused: list[int] = []

    def busy_once(header: Request, body: bytes) -> list[bytes]:
        if header.kind == frames.REGISTER and not refused:
            refused.append(header.request)
            return [reply(frames.REFUSED, code=errors.BUSY, request=header.request, retry_after_ms=1)]
        return willing(header, body)

    shard = played(busy_once)
    with Crowd(shard.endpoint, size=2) as crowd:
        crowd.register(SECONDS)
    again = [header.key for header, _ in shard.of_kind(frames.REGISTER) if header.request == refused[0]]
    assert len(again) == 2 and len(set(again)) == 1


def test_a_session_that_is_lost_ends_the_measurement(played):
    def lost(header: Request, body: bytes) -> list[bytes]:
        if header.kind == frames.KEEP_ALIVE:
            code = errors.UNKNOWN_SESSION
            return [reply(frames.REFUSED, code=code, request=header.request, session=header.session, body=b"gone")]
        return willing(header, body)

    with Crowd(played(lost).endpoint, size=1, timeout_s=0.3) as crowd:
        crowd.register(SECONDS)
        crowd.keep_alive()
        with pytest.raises(CrowdFailed, match="session 101 was refused: UNKNOWN_SESSION: gone"):
            crowd.run(SECONDS)


def test_a_shard_that_does_not_answer_ends_it_in_time(played):
    with Crowd(played(lambda header, body: []).endpoint, size=3) as crowd:
        began = time.monotonic()
        with pytest.raises(CrowdFailed, match=r"3 of 3 sessions have no answer after 0\.3 s"):
            crowd.register(0.3)
        assert time.monotonic() - began < SECONDS


def test_another_leader_is_told_everything_at_once(played):
    def changes(header: Request, body: bytes) -> list[bytes]:
        if header.kind == frames.HELLO:
            return [reply(frames.LEADER, term=1)]
        if header.kind == frames.REGISTER and header.request not in asked:
            asked.add(header.request)
            return [reply(frames.LEADER, term=2, leader=1)]
        return willing(header, body)

    asked: set[int] = set()
    shard = played(changes)
    with Crowd(shard.endpoint, size=1, connections=1) as crowd:
        began = time.monotonic()
        crowd.register(SECONDS)
        assert time.monotonic() - began < 1.5, "it waited for its own repetition"


def batch(*events: Any) -> bytes:
    return msgpack.packb([[2, "change", event] for event in events])


def push(session: int, previous: int, *batches: tuple[int, bytes], event_index: int = 0) -> bytes:
    """An EVENTS."""
    body = frames.pack_results([index for index, _ in batches], [data for _, data in batches])
    last = event_index or batches[-1][0]
    return reply(
        frames.EVENTS, count=len(batches), request=previous, session=session, event_index=last, index=last, body=body
    )


def test_events_are_taken_once_in_order_and_answered(played):
    """A gap is told, a repetition is dropped and answered, what overlaps is cut."""
    pushes = iter(
        [
            [push(101, 0, (5, batch(1, 2)))],
            [push(101, 7, (9, batch(3)))],  # 7 was lost
            [push(101, 0, (5, batch(1, 2)), (7, batch("two" * 20)))],  # overlaps
            [push(101, 5, (7, batch(0)))],  # a repetition
        ]
    )

    def pushing(header: Request, body: bytes) -> list[bytes]:
        if header.kind == frames.HANDLED or header.kind == frames.REGISTER:
            return [*willing(header, body), *next(pushes, [])]
        return willing(header, body)

    shard = played(pushing)
    taken: list[int] = []
    with Crowd(shard.endpoint, size=1) as crowd:
        crowd.on_events = lambda member, indexes, batches: taken.extend(indexes)
        crowd.register(SECONDS)
        assert crowd.run(SECONDS, until=lambda: len(shard.of_kind(frames.HANDLED)) == 4)
        assert (taken, crowd.events, crowd.batches, crowd.repeated, crowd.out_of_order) == ([5, 7], 3, 2, 2, 1)
    answers = [(unpack_handled(body), header.flags) for header, body in shard.of_kind(frames.HANDLED)]
    assert answers == [((5, 5), 0), ((5, 5), frames.AGAIN), ((7, 7), 0), ((7, 7), 0)]


def test_an_answer_that_tells_of_missing_events_is_followed_by_a_question(played):
    def telling(header: Request, body: bytes) -> list[bytes]:
        if header.kind == frames.KEEP_ALIVE:
            return [reply(frames.KEPT_ALIVE, request=header.request, session=header.session, event_index=9)]
        return willing(header, body)

    shard = played(telling)
    with Crowd(shard.endpoint, size=1, timeout_s=0.3) as crowd:
        crowd.register(SECONDS)
        crowd.keep_alive()
        assert crowd.run(SECONDS, until=lambda: bool(shard.of_kind(frames.HANDLED)))
    (header, body), *_ = shard.of_kind(frames.HANDLED)
    assert (header.flags, unpack_handled(body)) == (frames.AGAIN, (0, 0))


@pytest.mark.system
def test_a_crowd_on_a_real_shard():
    with LocalCluster(shards=1, replicas=1) as cluster, Crowd(cluster.endpoints[0], size=50, timeout_s=1.0) as crowd:
        crowd.register(SECONDS)
        assert len({member.session for member in crowd.members}) == 50
        opening = operations.encode([operations.SHARD, operations.OPEN, "it", "counter"])
        crowd.command(lambda number: opening, SECONDS)
        assert len({member.result for member in crowd.members}) == 1
        crowd.keep_alive()
        assert not crowd.run(1.5), "a session was lost although it kept alive"
        assert crowd.kept_alive >= 50
