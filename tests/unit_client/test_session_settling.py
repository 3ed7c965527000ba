"""LINEARIZABLE commands: applied is one thing, settled another, and only the caller waits for the second."""

from __future__ import annotations

import itertools

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import EventsPending
from ocelog.client.protocol.events import pack_indexes, unpack_indexes


def asked(messages):
    """The log indexes that the SETTLEs among these messages ask about."""
    return [list(unpack_indexes(sent.body, sent.header.count)) for sent in messages if sent.kind == frames.SETTLE]


def settled(harness, *indexes):
    """The shard says that these are settled."""
    harness.receive(frames.SETTLED, body=pack_indexes(indexes), count=len(indexes))


def linearizable(harness, *keys, **options):
    """Commands that are sent together."""
    options = {"level": frames.LINEARIZABLE, "timeout": 60.0, **options}
    calls = [harness.call("put", key, b"v", **options) for key in keys]
    harness.pump()
    return calls


def test_a_command_whose_events_are_handled_returns_at_once(harness, kit):
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]
    assert asked(harness.pump()) == []


def test_a_command_told_unsettled_waits_until_it_is_settled(harness, kit):
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.ok(b"before"), index=120, flags=frames.UNSETTLED)
    assert asked(harness.pump()) == [[120]]
    assert harness.finished() == []
    settled(harness, 120)
    assert harness.finished() == [call]
    assert (call.result, call.index, call.error) == (b"before", 120, None)
    assert asked(harness.advance(60)) == []


def test_its_sequence_is_finished_and_what_comes_behind_it_does_not_wait(harness, kit):
    """The order of results against events goes by the applied answer: waiting there for handlers would deadlock."""
    first, second = linearizable(harness, b"a")[0], harness.call("put", b"b", b"v")
    harness.pump()
    harness.results(2, kit.NIL, kit.NIL, index=120, flags=frames.UNSETTLED)
    assert harness.finished() == [second], "a SEQUENTIAL one never waits"
    assert harness.session.flow.flight.window.acknowledged == 3
    harness.events(0, 120, after=3)
    assert [item.index for item in harness.delivered()] == [120], "nor do the events of the command itself"
    settled(harness, 120)
    assert harness.finished() == [first]


def test_a_command_of_a_handler_never_waits(harness, kit):
    (call,) = linearizable(harness, b"a", nested=True)
    harness.results(2, kit.NIL, flags=frames.UNSETTLED)
    assert harness.finished() == [call]
    assert asked(harness.pump()) == []


def test_a_command_that_failed_published_nothing(harness, kit):
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.failed(errors.MACHINE_ERROR, "ValueError: no"), flags=frames.UNSETTLED)
    assert harness.finished() == [call]


def test_all_of_a_turn_are_asked_about_in_one_message_and_answered_in_portions(harness, kit):
    calls = linearizable(harness, b"a", b"b", b"c")
    harness.results(2, kit.NIL, kit.NIL, kit.NIL, index=120, flags=frames.UNSETTLED)
    assert asked(harness.pump()) == [[120, 121, 122]]
    settled(harness, 121)
    assert harness.finished() == [calls[1]]
    settled(harness, 121, 120, 999)
    assert harness.finished() == [calls[0]]
    settled(harness, 122)
    assert harness.finished() == [calls[2]]


def test_asking_is_repeated_with_growing_pauses_while_no_answer_comes(harness, kit):
    linearizable(harness, b"a", b"b")
    harness.results(2, kit.NIL, kit.NIL, index=120, flags=frames.UNSETTLED)
    moments = [harness.now]
    harness.pump()
    for _ in range(300):
        found = asked(harness.advance(0.05))
        assert found in ([], [[120, 121]])
        moments += [harness.now] * len(found)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert 3 <= len(pauses) <= 6
    assert pauses[0] < 1.4
    assert pauses[-1] > 3


def test_a_new_leader_and_a_new_connection_are_asked_at_once(harness, kit):
    """What was acknowledged by message is the leader's own memory: its successor has to find out anew."""
    linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.session.leader_changed(7, 1, harness.now)
    assert asked(harness.advance(0.001)) == [[120]]
    harness.session.disconnected()
    assert asked(harness.advance(5)) == []
    harness.session.connected("tcp://other:1", 2, harness.now)
    assert asked(harness.advance(0.001)) == [[120]]


@pytest.mark.parametrize("code", [errors.NOT_LEADER, errors.NO_LEADER, errors.BUSY])
def test_a_refusal_is_repeated_after_a_pause(harness, kit, code):
    linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    (question,) = [sent for sent in harness.pump() if sent.kind == frames.SETTLE]
    harness.refuse(question, code)
    assert asked(harness.advance(0.05)) == [[120]]


def test_at_its_deadline_the_caller_is_told_that_the_command_was_applied(harness, kit):
    (call,) = linearizable(harness, b"a", timeout=1)
    harness.results(2, kit.ok(b"before"), index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.advance(1.1)
    assert harness.finished() == [call]
    assert type(call.error) is EventsPending
    assert (call.error.result, call.error.index) == (b"before", 120)
    assert isinstance(call.error, TimeoutError)
    assert asked(harness.advance(60)) == [], "and nobody is asked any more"


def test_a_caller_that_gives_up_is_not_told_and_the_session_goes_on(harness, kit):
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.session.give_up(call, harness.now)
    settled(harness, 120)
    later = harness.call("put", b"b", b"v")
    harness.pump()
    harness.results(3, kit.NIL)
    assert harness.finished() == [later]


def test_when_the_session_ends_the_caller_waits_on_under_the_next_one(harness, kit):
    """Settled is a truth of the log, and the session that is gone has nothing more to handle."""
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    (register,) = harness.pump()
    harness.SESSION = 300
    harness.registered(register.request)
    (question,) = [sent for sent in harness.advance(0.001) if sent.kind == frames.SETTLE]
    assert (question.header.session, asked([question])) == (300, [[120]])
    settled(harness, 120)
    assert harness.finished() == [call]
    assert call.error is None


def test_with_no_next_session_the_caller_is_told_what_is_known(kit):
    harness = kit.Harness(recovery="close").open()
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert harness.finished() == [call]
    assert type(call.error) is EventsPending


def test_when_the_next_session_is_refused_for_good_the_caller_is_told_at_once(harness, kit):
    """Nothing would ask for it any more: it would hang until its deadline for nothing."""
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.ok(b"before"), index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    (register,) = harness.pump()
    assert harness.finished() == []
    harness.refuse(register, errors.TOO_MANY_SESSIONS, text="100000 sessions are open")
    assert harness.finished() == [call]
    assert type(call.error) is EventsPending
    assert (call.error.result, call.error.index) == (b"before", 120)
    assert "100000 sessions are open" in str(call.error)


def test_closing_tells_those_who_wait(harness, kit):
    (call,) = linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    harness.session.abandon(harness.now)
    assert harness.finished() == [call]
    assert type(call.error) is EventsPending


def test_a_malformed_settled_settles_nothing(harness, kit):
    linearizable(harness, b"a")
    harness.results(2, kit.NIL, index=120, flags=frames.UNSETTLED)
    harness.pump()
    with pytest.raises(frames.BadFrame):
        harness.receive(frames.SETTLED, body=b"\x01", count=1)
    assert harness.finished() == []
