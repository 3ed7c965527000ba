"""One replica as a process of its own, spoken to in raw frames: it serves, survives hostile bytes, and ends as it should."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgpack
import pytest
import zmq
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.frames import REQUEST, VERSION, Item
from ocelog.cluster.config import Settings

pytestmark = pytest.mark.system

PATIENCE_S = 20.0
KEY = b"k" * 16
CLUSTER_ID = "ab" * 16


class Process:
    """A 1-replica shard in `data`, whose sockets are in `sockets`."""

    def __init__(self, data, sockets, **changes):
        self.address = f"ipc://{sockets}/s0r0.c"
        argument = {
            "data": str(data),
            "cluster_id": CLUSTER_ID,
            "shard": 0,
            "replica": 0,
            "shards": 1,
            "replicas": 1,
            "sockets": str(sockets),
            "settings": Settings.from_sections(
                {
                    "raft": {"tick_ms": 10},
                    "log": {"segment_bytes_max": 64 * 1024},
                    "limits": {"operation_bytes_max": 8192, "message_bytes_max": 16384},
                }
            ).sections(),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ocelog.shard", json.dumps(argument | changes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ready(self):
        """Wait for the line that says it serves."""
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        said = json.loads(line)
        assert (said["ready"], said["pid"]) == (True, self.process.pid)
        return self

    def end(self):
        """Wait for its end; returns exit code and what it said on stderr."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said.decode()

    def stop(self):
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()


class Router:
    """A router's connection: bundles out, answers in."""

    def __init__(self, context, address):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        self.requests = 0

    def message(self, kind, body=b"", *, session=0, first=0, count=0, key=KEY, shard=0):
        """One message in frames; its request id is `requests`."""
        self.requests += 1
        header = REQUEST.pack(VERSION, kind, shard, 0, 0, count, self.requests, session, key, first, 0, 0, 1, 60_000)
        return frames.request_frames(header, body)

    def send(self, *parts):
        """Raw frames."""
        self.socket.send_multipart(list(parts))

    def send_bundle(self, *messages):
        """Messages of one client as a bundle."""
        self.send(*frames.pack_bundle([Item(1, message) for message in messages]))

    def answer(self, request):
        """The answer to a request, whatever else arrives."""
        deadline = time.monotonic() + PATIENCE_S
        while self.socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            for _, parts in frames.unpack_bundle(self.socket.recv_multipart()):
                reply, body = frames.parse_reply(parts)
                if reply.request == request:
                    return reply, bytes(body)
        raise AssertionError(f"request {request} was not answered in {PATIENCE_S} s")

    def ask(self, kind, body=b"", **fields):
        """Send one message and wait for its answer; repeated while the replica does not lead yet."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.send_bundle(self.message(kind, body, **fields))
            reply, answer = self.answer(self.requests)
            if reply.code not in (errors.NO_LEADER, errors.NOT_LEADER) or time.monotonic() > deadline:
                return reply, answer
            time.sleep(0.01)

    def register(self, key=KEY):
        """Open a session; returns its id."""
        reply, _ = self.ask(frames.REGISTER, msgpack.packb(["tester", 30_000]), key=key)
        assert reply.kind == frames.REGISTERED, reply
        return reply.session

    def commands(self, session, first, *parts):
        """Run commands; returns indexes and results in bytes."""
        body = frames.pack_parts(parts)
        reply, body = self.ask(frames.COMMAND, body, session=session, first=first, count=len(parts))
        assert reply.kind == frames.RESULTS, (reply, body)
        return frames.unpack_results(body, reply.count)


@pytest.fixture
def sockets():
    """A short path, as addresses of sockets must be."""
    path = tempfile.mkdtemp(prefix="oc-")
    yield Path(path)
    shutil.rmtree(path)


@pytest.fixture
def start(tmp_path, sockets):
    """Starts replicas; none outlives the test."""
    started = []

    def start(sockets=sockets, **changes):
        process = Process(tmp_path, sockets, **changes)
        started.append(process.process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def connect():
    """Connects routers."""
    context = zmq.Context()
    yield lambda process: Router(context, process.address)
    context.destroy(linger=0)


def opening(name, type_name):
    return operations.encode([operations.SHARD, operations.OPEN, name, type_name])


# -- serving -------------------------------------------------------------------------------------------


def test_a_command_is_applied_once_and_its_repetition_answered_alike(start, connect):
    """Register, command, repeat: the first result for all."""
    router = connect(start().ready())
    session = router.register()
    indexes, _ = router.commands(session, 1, opening("hits", "counter"))
    add = operations.encode([indexes[0], "add", 5])
    first = router.commands(session, 2, add, add)
    assert [msgpack.unpackb(result[1:]) for result in first[1]] == [5, 10]
    assert router.commands(session, 2, add, add) == first


def test_what_was_answered_survives_a_kill(start, connect):
    """A killed process comes back with session, results and resources; repetitions get their first answer."""
    process = start().ready()
    router = connect(process)
    session = router.register()
    indexes, _ = router.commands(session, 1, opening("hits", "counter"))
    add = operations.encode([indexes[0], "add", 1])
    answered = [router.commands(session, sequence, add) for sequence in range(2, 40)]
    process.process.kill()
    process.end()
    router = connect(start().ready())
    assert router.register() == session
    assert [router.commands(session, sequence, add) for sequence in range(2, 40)] == answered
    assert msgpack.unpackb(router.commands(session, 40, add)[1][0][1:]) == 39


def test_a_body_over_the_limit_is_refused(start, connect):
    """TOO_LARGE, and nothing of it reaches the log."""
    router = connect(start().ready())
    session = router.register()
    reply, _ = router.ask(frames.COMMAND, bytes(16385), session=session, first=1, count=1)
    assert reply.code == errors.TOO_LARGE
    assert router.commands(session, 1, b"")[1][0][0] == errors.VOIDED


def test_a_frame_over_all_limits_costs_its_sender_the_connection_only(start, connect):
    """Others are served meanwhile."""
    process = start().ready()
    router = connect(process)
    session = router.register()
    hostile = connect(process)
    hostile.send(bytes(8 * 1024 * 1024))
    assert router.commands(session, 1, b"")[1][0][0] == errors.VOIDED


# -- hostile bytes -------------------------------------------------------------------------------------

NO_BUNDLES = [
    [b""],
    [b"\x00"],
    [b"\xff" * 8],
    [b""] * 500,
    [frames._BUNDLE.pack(VERSION, frames.BUNDLE, 65535, 0)],
    [frames._BUNDLE.pack(VERSION, frames.BUNDLE, 1, 0) + frames._ITEM.pack(1, 0xFFFFFFFF, 1)],
    [frames._BUNDLE.pack(VERSION, frames.BUNDLE, 1, 0) + frames._ITEM.pack(1, 0, 0)],
    [frames._BUNDLE.pack(VERSION, frames.BUNDLE, 0, 0), b"stray"],
]


def test_a_message_that_is_no_bundle_is_dropped(start, connect):
    """The replica lives, and answers others and the sender itself."""
    process = start().ready()
    hostile = connect(process)
    for parts in NO_BUNDLES:
        hostile.send(*parts)
    assert hostile.ask(frames.STATUS)[0].kind == frames.STATUS_REPORT
    assert connect(process).register()


def test_an_unreadable_message_in_a_bundle_is_answered_and_its_neighbour_served(start, connect):
    """BAD_MESSAGE for one, results for the other."""
    router = connect(start().ready())
    session = router.register()
    good = router.message(frames.COMMAND, frames.pack_parts([b""]), session=session, first=1, count=1)
    router.send_bundle([b"\x02" * 30], [b"\x07" + bytes(71)], good)
    assert router.answer(router.requests)[0].kind == frames.RESULTS
    router.send_bundle([b"\x02" * 30])
    assert router.answer(0)[0].code == errors.BAD_MESSAGE


def test_random_bytes_in_every_place_harm_nobody(start, connect):
    """Valid messages with bytes changed, and rubbish: the replica lives, and the session's state is sound."""
    draw = random.Random(5)
    process = start().ready()
    router, hostile = connect(process), connect(process)
    session = router.register()
    indexes, _ = router.commands(session, 1, opening("m", "map"))
    put = operations.encode([indexes[0], "put", b"k", b"v"])
    for number in range(1500):
        kind = draw.choice([*range(9), 0x85, draw.randrange(256)])
        body = draw.choice([put, frames.pack_parts([put]), b"", draw.randbytes(draw.randrange(200))])
        message = hostile.message(
            kind,
            body,
            session=draw.choice([session, 1, 0]),
            first=number % 5,
            count=draw.choice([0, 1, 1, 2, 65535]),
            key=draw.choice([KEY, b"x" * 16]),
        )
        if draw.random() < 0.6:
            data = bytearray(message[0])
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            message[0] = bytes(data)
        hostile.send_bundle(message)
    assert hostile.ask(frames.STATUS)[0].kind == frames.STATUS_REPORT
    other = connect(process)
    session = other.register(key=b"other" + bytes(11))
    reply, _ = other.ask(
        frames.COMMAND, frames.pack_parts([put]), session=session, first=1, count=1, key=b"other" + bytes(11)
    )
    assert reply.kind == frames.RESULTS
    assert process.stop() == (0, "")


# -- ending --------------------------------------------------------------------------------------------


def test_sigterm_stops_it_cleanly(start, connect):
    """Exit 0, and nothing on stderr."""
    process = start().ready()
    connect(process).register()
    assert process.stop() == (0, "")


def test_the_end_of_its_standard_input_stops_it(start):
    """When a supervisor is gone its children see the end of a pipe and stop cleanly."""
    process = start().ready()
    process.process.stdin.close()
    process.process.stdin = None
    assert process.end() == (0, "")


def test_an_interrupt_is_the_supervisors_business(start, connect):
    """Ctrl-C reaches the whole group; only the supervisor acts on it."""
    process = start().ready()
    process.process.send_signal(signal.SIGINT)
    assert connect(process).register()


# -- refusing to start ---------------------------------------------------------------------------------


def test_a_directory_in_use_is_refused_naming_the_process(start, connect):
    """Exit 73; the first one goes on, on its own sockets."""
    first = start().ready()
    code, said = start().end()
    assert (code, str(first.process.pid) in said, said.count("\n")) == (73, True, 1)
    assert connect(first).register()


def file_of(tmp_path, name):
    """A replica's file by the beginning of its name."""
    (found, *_) = sorted((tmp_path / "shard-0" / "replica-0").rglob(f"{name}*"))
    return found


def flip(path, offset):
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


@pytest.fixture
def stopped(start, connect, tmp_path):
    """A directory with a log in it, and nobody running on it."""
    process = start().ready()
    router = connect(process)
    session = router.register()
    for sequence in range(1, 20):
        router.commands(session, sequence, b"")
    assert process.stop()[0] == 0
    return tmp_path


def damage_segment(path):
    segment = file_of(path, "1-")
    flip(segment, 64 + 60)
    return segment.name


def damage_manifest(path):
    flip(file_of(path, "manifest"), -3)
    return "manifest"


def damage_meta(path):
    for copy in ("meta.0", "meta.1"):
        flip(file_of(path, copy), -3)
    return "meta.0"


def lose_meta(path):
    for copy in ("meta.0", "meta.1"):
        file_of(path, copy).unlink()
    return "meta.0"


def damage_identity(path):
    flip(file_of(path, "identity"), -3)
    return "identity"


@pytest.mark.parametrize("damage", [damage_segment, damage_manifest, damage_meta, lose_meta, damage_identity])
def test_a_damaged_file_is_named_and_refused(start, stopped, damage):
    """Exit 65 with one line that names the file, and no traceback: it stays down rather than guess."""
    name = damage(stopped)
    code, said = start().end()
    assert (code, name in said, said.count("\n")) == (65, True, 1), said


def test_one_damaged_copy_of_the_vote_is_not_fatal(start, stopped, connect):
    """Either copy holds everything."""
    flip(file_of(stopped, "meta.1"), -3)
    assert connect(start().ready()).register()


@pytest.mark.parametrize("changes", [{"cluster_id": "cd" * 16}])
def test_another_clusters_directory_is_refused(start, stopped, changes):
    """Exit 78 with one line that names both."""
    code, said = start(**changes).end()
    assert (code, CLUSTER_ID in said, "cd" * 16 in said, said.count("\n")) == (78, True, True, 1), said


def test_an_address_that_cannot_be_bound_is_refused(start, sockets):
    """Exit 69 with one line."""
    code, said = start(sockets / "missing").end()
    assert (code, said.count("\n")) == (69, 1), said


@pytest.mark.parametrize("arguments", [[], ["x", "y"], ["no json"], ["[]"], ["{}"]])
def test_an_argument_that_describes_no_replica_is_a_usage_error(arguments):
    """Exit 64 with one line, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "ocelog.shard", *arguments], capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.count(b"\n")) == (64, 1), ended.stderr


def test_running_without_assertions_is_refused():
    """Invariants are asserted."""
    ended = subprocess.run(
        [sys.executable, "-O", "-P", "-m", "ocelog.shard", "{}"], capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, b"-O" in ended.stderr) == (70, True)
