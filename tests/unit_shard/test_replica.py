"""Three replicas over real logs, joined by a list of messages: what a turn may log, and what it must not."""

from __future__ import annotations

import itertools
from random import Random

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import REQUEST, VERSION, Item
from ocelog.client.protocol.limits import Limits
from ocelog.log.directory import open_directory
from ocelog.log.errors import NoSpace
from ocelog.log.files import OsDisk
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig
from ocelog.shard.machines.registry import registry
from ocelog.shard.raft.config import RaftConfig
from ocelog.shard.raft.messages import LEADER, Heartbeat
from ocelog.shard.replica import Replica

KEY = b"k" * 16
START_MS = 1_700_000_000_000


class Trio:
    """Three replicas; messages arrive in the next turn, jobs are done at once unless `holding_jobs`."""

    def __init__(self, path):
        self.replicas = [self.open(path, member) for member in range(3)]
        self.inboxes = [[], [], []]
        self.answers = [[], [], []]
        self.cut = set()
        self.now = 0
        self.requests = itertools.count(1)

    def open(self, path, member):
        expected = Identity(cluster_id="ab" * 16, shard=0, member=member, incarnation=1)
        disk = OsDisk()
        config = LogConfig(segment_bytes_max=64 * 1024)
        _, meta, log = open_directory(disk, str(path / f"replica-{member}"), expected=expected, config=config)
        return Replica(
            shard=0,
            member=member,
            voters=range(3),
            log=log,
            meta=meta,
            raft_config=RaftConfig(),
            limits=Limits(),
            machines=registry(),
            rng=Random(member),
        )

    def turn(self, member, *, tick=False):
        """One turn of one replica: read, tick, step, send, sync."""
        replica = self.replicas[member]
        inbox, self.inboxes[member] = self.inboxes[member], []
        for message in inbox:
            replica.receive_peer(message)
        if tick:
            replica.tick()
        turn = replica.step(self.now, START_MS + self.now)
        for message in turn.messages:
            if not self.cut & {member, message.to}:
                self.inboxes[message.to].append(message)
        for items in turn.answers.values():
            self.answers[member] += [frames.parse_reply(parts) for _, parts in items]
        if turn.job is not None:
            turn.job.run()
            replica.job_done(turn.job)

    def run(self, turns, *, ticks=True):
        """So many turns of everybody; a tick in every third."""
        for number in range(turns):
            self.now += 20
            for member in range(3):
                self.turn(member, tick=ticks and number % 3 == 0)

    @property
    def leader(self):
        """The member that leads the highest term, or None."""
        leading = [r for r in self.replicas if r.core.role is LEADER and r.member not in self.cut]
        return max(leading, key=lambda r: r.core.term).member if leading else None

    def elect(self):
        """Run until a leader has begun its term."""
        for _ in range(400):
            self.run(1)
            leader = self.leader
            if leader is not None and self.replicas[leader].leadership and self.replicas[leader].leadership._begun:
                return leader
        raise AssertionError("no leader after 400 turns")

    def send(self, member, kind, body=b"", **fields):
        """Hand one client message to a replica; returns its request id."""
        fields = {
            "shard": 0,
            "count": 0,
            "session": 0,
            "first": 0,
            "acknowledged": 0,
            "version": VERSION,
            "left": 60_000,
        } | fields
        request = next(self.requests)
        header = REQUEST.pack(
            fields["version"],
            kind,
            fields["shard"],
            frames.LINEARIZABLE,
            0,
            fields["count"],
            request,
            fields["session"],
            KEY,
            fields["first"],
            fields["acknowledged"],
            0,
            1,
            fields["left"],
        )
        self.replicas[member].receive_bundle(b"router", [Item(1, frames.request_frames(header, body))])
        return request

    def ask(self, member, kind, body=b"", **fields):
        """Hand in a message and run until it is answered."""
        request = self.send(member, kind, body, **fields)
        for _ in range(60):
            self.run(1)
            for reply, answer in self.answers[member]:
                if reply.request == request:
                    return reply, bytes(answer)
        raise AssertionError(f"request {request} was not answered in 60 turns")

    def register(self, member):
        """Open a session; returns its id."""
        reply, _ = self.ask(member, frames.REGISTER, msgpack.packb(["tester", 30_000]))
        assert reply.kind == frames.REGISTERED, reply
        return reply.session

    def commands(self, member, session, first, *parts):
        """Run commands; returns their results as code and value (or text)."""
        body = frames.pack_parts(parts)
        reply, body = self.ask(member, frames.COMMAND, body, session=session, first=first, count=len(parts))
        _, results = frames.unpack_results(body, reply.count)
        return [(r[0], msgpack.unpackb(r[1:]) if r[0] == 0 else r[1:].decode()) for r in results]


@pytest.fixture
def trio(tmp_path):
    return Trio(tmp_path)


def test_a_command_is_answered_and_reaches_every_replica(trio, kit):
    """Committed by a majority, applied by all, and all are equal."""
    leader = trio.elect()
    session = trio.register(leader)
    ((_, index),) = trio.commands(leader, session, 1, kit.opening("hits", "counter"))
    assert trio.commands(leader, session, 2, kit.operation(index, "add", 5)) == [(errors.OK, 5)]
    trio.run(20)
    states = [kit.state_of(replica.executor) for replica in trio.replicas]
    assert states[0] == states[1] == states[2]


def test_a_follower_names_the_leader(trio):
    """NOT_LEADER with a hint; nothing is taken."""
    leader = trio.elect()
    trio.run(5)
    follower = (leader + 1) % 3
    reply, _ = trio.ask(follower, frames.COMMAND, session=1, first=4, count=1)
    assert (reply.code, reply.leader, reply.first_sequence) == (errors.NOT_LEADER, leader, 4)


def test_a_leader_that_has_just_lost_its_term_logs_nothing(trio, kit):
    """A newer term and a client's command in one turn: only the leader of a term may append entries of it."""
    leader = trio.elect()
    session = trio.register(leader)
    replica = trio.replicas[leader]
    term, length = replica.core.term, replica.log.last_index
    other = (leader + 1) % 3
    heartbeat = Heartbeat(term=term + 1, sender=other, to=leader, commit_index=0, round=1, sent_through=0)
    request = trio.send(leader, frames.COMMAND, frames.pack_parts([b""]), session=session, first=1, count=1)
    trio.inboxes[leader] = [heartbeat]
    trio.turn(leader)
    assert replica.log.last_index == length
    assert [(r.request, r.code) for r, _ in trio.answers[leader]][-1] == (request, errors.NOT_LEADER)


def test_a_deposed_leader_answers_what_it_had_taken(trio, kit):
    """Cut off, it steps down and answers NOT_LEADER; the new leader takes the same bytes once."""
    old = trio.elect()
    session = trio.register(old)
    ((_, index),) = trio.commands(old, session, 1, kit.opening("hits", "counter"))
    add = frames.pack_parts([kit.operation(index, "add", 1)])
    trio.cut = {old}
    request = trio.send(old, frames.COMMAND, add, session=session, first=2, count=1)
    new = trio.elect()
    trio.run(100)
    assert (request, errors.NOT_LEADER) in [(reply.request, reply.code) for reply, _ in trio.answers[old]]
    assert trio.commands(new, session, 2, kit.operation(index, "add", 1)) == [(errors.OK, 1)]
    trio.cut = set()
    trio.run(60)
    states = [kit.state_of(replica.executor) for replica in trio.replicas]
    assert states[0] == states[1] == states[2]


def test_a_full_disk_refuses_commands_and_serves_again(trio, monkeypatch):
    """Commands are refused with NO_SPACE, keep-alives go on, and service resumes by itself."""
    leader = trio.elect()
    session = trio.register(leader)
    log = trio.replicas[leader].log
    append = log.append

    def full(*_):
        raise NoSpace("segment", 1, 0)

    log.append = full
    reply, _ = trio.ask(leader, frames.COMMAND, frames.pack_parts([b""]), session=session, first=1, count=1)
    assert reply.code == errors.NO_SPACE
    assert trio.ask(leader, frames.KEEP_ALIVE, session=session)[0].kind == frames.KEPT_ALIVE
    log.append = append
    assert trio.commands(leader, session, 1, b"")[0][0] == errors.VOIDED


@pytest.mark.parametrize("parts", [[b""], [b"x" * 71], [bytes(72), b"y", b"z"], [b"\x01" * 80, b"body"]])
def test_a_message_that_cannot_be_read_is_answered(trio, parts):
    """BAD_MESSAGE with a sentence; the messages beside it are served."""
    leader = trio.elect()
    trio.replicas[leader].receive_bundle(b"router", [Item(7, parts)])
    reply, _ = trio.ask(leader, frames.STATUS)
    assert reply.kind == frames.STATUS_REPORT
    assert errors.BAD_MESSAGE in [reply.code for reply, _ in trio.answers[leader]]


def test_another_shards_message_is_refused(trio):
    """WRONG_SHARD names both."""
    leader = trio.elect()
    reply, text = trio.ask(leader, frames.COMMAND, shard=5, first=1, count=1)
    assert (reply.code, b"shard 0" in text, b"shard 5" in text) == (errors.WRONG_SHARD, True, True)


def test_a_router_that_says_hello_is_told_every_new_leader(trio):
    """A router learns who leads when it says hello and whenever that changes."""
    old = trio.elect()
    trio.run(5)
    for member in range(3):
        trio.send(member, frames.HELLO)
    trio.run(1)
    trio.cut = {old}
    new = trio.elect()
    trio.run(20)
    notices = [(r.term, r.leader) for r, _ in trio.answers[(new + 1) % 3 if (new + 1) % 3 != old else (new + 2) % 3]]
    assert notices[-1] == (trio.replicas[new].core.term, new)


def test_the_status_names_what_a_replica_is(trio):
    """The fields of `ocelog status --json`."""
    leader = trio.elect()
    session = trio.register(leader)
    _, body = trio.ask(leader, frames.STATUS)
    status = msgpack.unpackb(body)
    assert (status["id"], status["role"], status["sessions"], status["leader"]) == (leader, "leader", 1, leader)
    assert status["applied_index"] >= session
