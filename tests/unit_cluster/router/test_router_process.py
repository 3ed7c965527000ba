"""A real router process between real sockets: what it does at its edges."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time

import msgpack
import pytest
import zmq
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.admin import AdminRequest, pack_admin
from ocelog.client.protocol.frames import NO_SHARD
from ocelog.cluster.run_record import RunRecord

pytestmark = pytest.mark.system


def address(endpoint: str) -> tuple[str, int]:
    """Host and port of a tcp endpoint."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    return host, int(port)


def leader_known(stage, client) -> None:
    """Greet the router and wait until it knows who leads shard 0."""
    stage.ask(client, frames.WELCOME, kind=frames.HELLO, shard=NO_SHARD)
    stage.until(lambda: stage.ask(client, frames.RESULTS, frames.REFUSED)[0].kind == frames.RESULTS)


def codes_of_another(stage, client) -> set[int]:
    """Send one more request; the codes of what arrives meanwhile. What goes to a dying replica is never answered."""
    client.send(stage.request())
    client.poll(100)
    codes = set()
    while client.poll(0):
        codes.add(frames.parse_reply(client.recv_multipart())[0].code)
    return codes


# -- the way there and back --------------------------------------------------------------------------


def test_a_command_reaches_the_leader_and_its_result_comes_back(stage):
    client = stage.client()
    stage.replica(0, 0)
    leader_known(stage, client)
    header, body = stage.ask(client, frames.RESULTS, identifier=9, body=b"work")
    assert (header.request, body) == (9, b"work")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_500_000])
@pytest.mark.parametrize("frames_sent", [1, 2])
def test_bodies_of_every_size_come_through_unchanged(stage, size, frames_sent):
    client = stage.client()
    stage.replica(0, 0)
    leader_known(stage, client)
    body = random.Random(size).randbytes(size)
    client.send_multipart([stage.request(body=body)] if frames_sent == 1 else [stage.request(), body])
    assert stage.receive(client, frames.RESULTS)[1] == body


def test_many_messages_of_many_clients_each_get_their_own_answer(stage):
    clients = [stage.client() for _ in range(20)]
    stage.replica(0, 0)
    leader_known(stage, clients[0])
    for number, client in enumerate(clients):
        for identifier in range(100):
            client.send(stage.request(identifier=identifier, body=b"%d" % number))
    for number, client in enumerate(clients):
        answers = [stage.receive(client, frames.RESULTS) for _ in range(100)]
        assert [(header.request, body) for header, body in answers] == [(i, b"%d" % number) for i in range(100)]


def test_a_client_is_told_of_a_leader_that_appears(stage):
    client = stage.client()
    stage.ask(client, frames.WELCOME, kind=frames.HELLO, shard=NO_SHARD)
    assert stage.ask(client)[0].code == errors.NO_LEADER
    stage.replica(0, 2)
    header, _ = stage.receive(client, frames.LEADER)
    assert (header.shard, header.term, header.leader) == (0, 1, 2)


def test_a_dead_leader_is_noticed_and_its_successor_announced(stage):
    client = stage.client()
    first, second = stage.replica(0, 0), stage.replica(0, 1)
    second.leader = 0
    leader_known(stage, client)
    del stage.replicas[0, 0]
    first.socket.close()
    stage.until(lambda: errors.NO_LEADER in codes_of_another(stage, client))
    second.leader, second.term = 1, 2
    header, _ = stage.receive(client, frames.LEADER)
    assert (header.term, header.leader) == (2, 1)
    assert stage.ask(client, frames.RESULTS)[1] == b""
    stage.until(lambda: "replica 0 of shard 0 is lost: the connection closed" in stage.lines())


def test_nothing_sent_to_a_dead_replica_reaches_its_successor(stage):
    client = stage.client()
    first = stage.replica(0, 0)
    leader_known(stage, client)
    del stage.replicas[0, 0]
    first.socket.close()
    for identifier in range(100, 200):
        client.send(stage.request(identifier=identifier))
    stage.until(lambda: errors.NO_LEADER in codes_of_another(stage, client))
    seen = []
    stage.answer = lambda item: seen.append(frames.parse_request(item.frames)[0].request)
    stage.replica(0, 0).term = 2
    stage.receive(client, frames.LEADER)
    client.send(stage.request(identifier=500))
    stage.until(lambda: 500 in seen)
    assert seen == [500]


def test_a_client_that_reconnects_under_its_identity_gets_its_answers(stage):
    stage.replica(0, 0)
    old = stage.client(IDENTITY=b"ada")
    leader_known(stage, old)
    new = stage.client(IDENTITY=b"ada")
    stage.until(lambda: _try(stage, new))
    assert stage.ask(new, frames.RESULTS, identifier=5, body=b"again")[1] == b"again"


def _try(stage, client) -> bool:
    client.send(stage.request(frames.HELLO, NO_SHARD))
    return bool(client.poll(100))


def test_status_of_the_whole_cluster(stage):
    client = stage.client()
    stage.replica(0, 0)
    stage.replica(0, 1).leader = 0
    leader_known(stage, client)

    def present() -> dict | None:
        _, body = stage.ask(client, frames.STATUS_REPORT, kind=frames.STATUS, shard=NO_SHARD)
        shard = msgpack.unpackb(body)["shards"][0]
        roles = [row["role"] for row in shard["replicas"]]
        return shard if roles == ["leader", "follower", "down"] else None

    assert stage.until(present)["leader"] == 0


def test_status_names_the_compactor_that_the_supervisor_recorded(stage):
    client = stage.client()

    def compactor() -> int | None:
        _, body = stage.ask(client, frames.STATUS_REPORT, kind=frames.STATUS, shard=NO_SHARD)
        return msgpack.unpackb(body)["compactor"]

    assert compactor() is None
    RunRecord(supervisor=(1, 0.0), sockets="/none", compactor=4711).write(stage.folder)
    assert compactor() == 4711


def test_replicas_are_asked_for_a_compaction_and_their_answers_told_together(stage):
    client = stage.client()
    for replica in range(3):
        stage.replica(0, replica).leader = 0
    leader_known(stage, client)
    body = pack_admin(AdminRequest("compact", True))

    def everyone() -> list | None:
        _, told = stage.ask(client, frames.ADMIN_REPORT, kind=frames.ADMIN, shard=0, body=body)
        rows = msgpack.unpackb(told)["replicas"]
        return rows if all("asked" in row for row in rows) else None  # not all may be connected at once

    assert stage.until(everyone) == [
        {"ok": True, "asked": ["compact", True], "shard": 0, "replica": replica} for replica in range(3)
    ]


# -- peers that do not behave ------------------------------------------------------------------------


def test_noise_on_the_protocol_is_refused_and_others_are_served(stage):
    stage.replica(0, 0)
    client, noisy = stage.client(), stage.client()
    leader_known(stage, client)
    rng = random.Random(20)
    for _ in range(2000):
        parts = [rng.randbytes(rng.choice((0, 1, 16, 71, 72, 73, 500))) for _ in range(rng.randint(1, 6))]
        if rng.random() < 0.5:
            parts[0] = bytes((frames.VERSION, rng.randrange(256))) + parts[0]
        noisy.send_multipart(parts)
    assert stage.ask(client, frames.RESULTS, body=b"still")[1] == b"still"
    header, _ = stage.receive(noisy, frames.REFUSED)
    assert header.code in (errors.BAD_MESSAGE, errors.UNKNOWN_VERSION)


@pytest.mark.parametrize(
    "opening",
    [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00" * 40, bytes(500), b"\xff" * 100_000],
    ids=["HTTP", "TLS", "zeros", "ones"],
)
def test_another_protocol_on_the_port_disturbs_nobody(stage, opening):
    stage.replica(0, 0)
    client = stage.client()
    leader_known(stage, client)
    with socket.create_connection(address(stage.endpoint), timeout=10) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(opening)
        for number in range(20):
            assert stage.ask(client, frames.RESULTS, identifier=number)[0].request == number
    assert stage.process.poll() is None


def test_a_frame_beyond_the_limit_costs_only_its_own_connection(stage):
    stage.replica(0, 0)
    client, greedy = stage.client(), stage.client()
    leader_known(stage, client)
    greedy.send_multipart([stage.request(), bytes(4 * 1024 * 1024)])
    assert stage.ask(client, frames.RESULTS, body=b"still")[1] == b"still"
    stage.until(lambda: _try(stage, greedy))  # its socket has connected again by itself


def test_a_flood_of_small_messages_leaves_room_for_others(stage):
    stage.replica(0, 0)
    client, flood = stage.client(), stage.client()
    leader_known(stage, client)
    for number in range(30):
        for _ in range(1000):
            try:
                flood.send(b"x", zmq.NOBLOCK)
            except zmq.Again:
                break
        assert stage.ask(client, frames.RESULTS, identifier=number)[0].request == number


def test_a_client_that_does_not_read_holds_up_nobody(stage):
    stage.replica(0, 0)
    client, deaf = stage.client(), stage.client(RCVHWM=1, RCVBUF=4096)
    leader_known(stage, client)
    for number in range(200):
        deaf.send_multipart([stage.request(), bytes(100_000)])
        if number % 20 == 0:
            assert stage.ask(client, frames.RESULTS, identifier=number)[0].request == number


@pytest.mark.parametrize(
    "stage", [{"shards": 2, "replicas": 1, "slots": [[0, 8191, 0], [8192, 16383, 1]]}], indirect=True
)
def test_a_shard_that_does_not_read_holds_up_no_other_and_its_requests_are_refused(stage):
    client, other = stage.client(), stage.client()
    for shard in (0, 1):
        stage.replica(shard, 0)
        stage.until(lambda shard=shard: stage.ask(client, shard=shard)[0].kind == frames.RESULTS)
    deaf = stage.replicas.pop((0, 0))  # its socket stays, and nobody reads it any more
    for number in range(2000):
        client.send_multipart([stage.request(identifier=number), bytes(4096)])
        if number % 50 == 0:
            started = time.monotonic()
            header, _ = stage.ask(other, frames.RESULTS, shard=1, identifier=number)
            assert (header.shard, header.request) == (1, number)
            assert time.monotonic() - started < 1.0
    stage.until(lambda: codes_of_another(stage, client) & {errors.NOT_SENT, errors.NO_LEADER})
    assert stage.ask(other, frames.RESULTS, shard=1, identifier=5000)[0].request == 5000
    deaf.socket.close()


# -- starting and stopping ---------------------------------------------------------------------------


def test_the_ready_line_names_the_real_endpoint(stage):
    assert stage.ready["ready"] is True
    assert stage.ready["pid"] == stage.process.pid
    assert address(stage.endpoint)[1] > 0


@pytest.mark.parametrize("way", ["SIGTERM", "end of standard input"])
def test_it_stops_cleanly(stage, way):
    if way == "SIGTERM":
        stage.process.terminate()
    else:
        stage.process.stdin.close()
    assert stage.process.wait(10) == 0
    assert stage.said() == ""


def test_it_leaves_an_interrupt_to_its_supervisor(stage):
    stage.process.send_signal(signal.SIGINT)
    stage.ask(stage.client(), frames.WELCOME, kind=frames.HELLO, shard=NO_SHARD)
    assert stage.process.poll() is None


def test_a_port_in_use_is_named_with_what_to_do(stage):
    second = stage.start(stage.argument(sockets=str(stage.folder), listen=stage.endpoint), subprocess.PIPE)
    out, err = second.communicate(timeout=20)
    assert (second.returncode, out) == (os.EX_UNAVAILABLE, "")
    sentence = "address in use. Stop the other program or choose another with --listen"
    assert err == f"cannot listen on {stage.endpoint}: {sentence}\n"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"listen": "tcp://0.0.0.0:7400"}, "CURVE"),
        ({"listen": "nonsense"}, "tcp://HOST:PORT"),
        ({"slots": [[0, 100, 0]]}, "slots"),
        ({"slots": [[0, 16383, 7]]}, "[7]"),
        ({"sockets": "/tmp/" + "x" * 110}, "107"),
        ({"replicas": 0}, "at least one"),
        ({"settings": {"limits": {"nonsense": 1}}}, "nonsense"),
    ],
)
def test_a_bad_argument_is_one_line_and_an_exit_code(stage, change, word):
    child = stage.start(stage.argument(**change), subprocess.PIPE)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (os.EX_CONFIG, "")
    assert word in err
    assert err.count("\n") == 1
