"""Registering, keeping alive, expiring."""

from __future__ import annotations

import logging
from math import inf

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import Refused


def register(harness):
    """Connect and ask for a session; the REGISTER and the call that needs it."""
    harness.session.connected("tcp://somewhere:1", 1, harness.now)
    call = harness.call("put", b"a", b"1", timeout=60)
    (sent,) = harness.pump()
    return sent, call


def test_nothing_is_sent_before_the_first_call(kit):
    harness = kit.Harness()
    harness.session.connected("tcp://somewhere:1", 1, harness.now)
    assert harness.advance(100) == []


def test_registering_carries_a_random_key_the_client_id_and_the_timeout(kit):
    sent, _ = register(kit.Harness(timeout=12.5))
    assert sent.kind == frames.REGISTER
    assert msgpack.unpackb(sent.body) == ["test", 12500]
    other, _ = register(kit.Harness(seed=2))
    assert sent.header.key != frames.NO_KEY
    assert sent.header.key != other.header.key


def test_a_repeated_register_has_the_same_key_and_any_answer_to_it_counts(kit):
    harness = kit.Harness()
    sent, _ = register(harness)
    repeats = harness.advance(4)
    assert len(repeats) >= 2
    assert {(message.request, message.header.key) for message in repeats} == {(sent.request, sent.header.key)}
    harness.registered(sent.request)
    harness.registered(sent.request)
    (command,) = harness.pump()
    assert (command.header.session, command.header.key) == (harness.SESSION, sent.header.key)


def test_a_register_without_a_leader_is_repeated_soon_and_at_a_notice(kit):
    harness = kit.Harness()
    sent, _ = register(harness)
    harness.refuse(sent, errors.NO_LEADER)
    (again,) = harness.advance(0.05)
    harness.refuse(again, errors.NOT_LEADER)
    harness.session.leader_changed(2, 0, harness.now)
    assert [message.kind for message in harness.sent()] == [frames.REGISTER]


def test_a_shard_with_too_many_sessions_says_so_to_every_call_that_waits(kit):
    harness = kit.Harness()
    sent, call = register(harness)
    harness.refuse(sent, errors.TOO_MANY_SESSIONS, text="100000 sessions are open")
    assert harness.finished() == [call]
    assert isinstance(call.error, Refused)
    assert call.error.definite
    assert "100000" in str(call.error)
    harness.call("put", b"b", b"1")
    assert [message.kind for message in harness.pump()] == [frames.REGISTER], "the next call tries again"


def test_the_limits_of_the_answer_are_in_force(kit):
    harness = kit.Harness().open(operations_max=2)
    for _ in range(3):
        harness.call("put", b"a", b"1")
    assert [message.header.count for message in harness.pump()] == [2, 1]


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x80\x80", msgpack.packb({}), msgpack.packb([]), msgpack.packb({"timeout_ms": inf})]
)
def test_an_unreadable_register_answer_is_dropped_and_the_register_repeated(kit, body):
    harness = kit.Harness()
    sent, _ = register(harness)
    with pytest.raises(frames.BadFrame, match="the limits in the answer to a register"):
        harness.receive(frames.REGISTERED, body=body, request=sent.request)
    assert [message.kind for message in harness.advance(1.5)] == [frames.REGISTER]


def test_keep_alives_leave_every_third_of_the_timeout(kit):
    harness = kit.Harness(timeout=9).open()
    moments = []
    started = harness.now
    for _ in range(4):
        before = harness.now
        while not (sent := harness.advance(0.1)):
            assert harness.now - before < 4
        assert [message.kind for message in sent] == [frames.KEEP_ALIVE]
        assert sent[0].header.acknowledged == 1
        moments.append(harness.now - started)
        harness.receive(frames.KEPT_ALIVE, request=sent[0].request)
    assert moments == pytest.approx([3, 6, 9, 12], abs=0.5)


def test_an_unanswered_keep_alive_is_repeated_soon(kit):
    harness = kit.Harness(timeout=30).open()
    sent = harness.advance(14)
    assert len(sent) >= 3
    assert {message.request for message in sent} == {sent[0].request}
    harness.receive(frames.KEPT_ALIVE, request=sent[0].request)
    harness.receive(frames.KEPT_ALIVE, request=sent[0].request)
    assert harness.advance(9.5) == []


def test_a_late_client_says_by_how_much(kit, caplog):
    harness = kit.Harness(timeout=9).open()
    harness.now += 25
    with caplog.at_level(logging.WARNING, "ocelog.client"):
        harness.session.tick(harness.now)
        harness.advance(3)
    (record,) = caplog.records
    assert "22.0 s late" in record.getMessage()


def test_an_unknown_session_in_answer_to_a_keep_alive_ends_it(harness):
    (sent,) = harness.advance(10.1)
    harness.refuse(sent, errors.UNKNOWN_SESSION)
    assert harness.advance(100) == [], "no keep-alives without a session"
    harness.call("put", b"a", b"1")
    assert [message.kind for message in harness.pump()] == [frames.REGISTER]
