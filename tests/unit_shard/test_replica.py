"""Three replicas over real logs, joined by a list of messages: what a turn may log, and what it must not."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import Item
from ocelog.log.errors import NoSpace
from ocelog.shard.raft.messages import Heartbeat

from .trio import Trio


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


@pytest.mark.parametrize("parts", [[b""], [b"x" * 71], [bytes(72), b"y", b"z"], [b"\x02" * 80, b"body"]])
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
