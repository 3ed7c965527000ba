"""How a session stands, and what follows when a shard has ended it: each change told once, by shard."""

from __future__ import annotations

from random import Random

import pytest
from ocelog.client.calls import Call, ClientState, Resource, StateChange
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import SessionExpired
from ocelog.client.sessions import Sessions

CONNECTED, SUSPENDED, EXPIRED, CLOSED = ClientState


def changes(harness):
    """The states told since the last time, with the session they name."""
    harness.delivered()
    told, harness.changes[:] = harness.changes[:], []
    return [(change.state, change.session) for change in told]


def test_a_session_that_opens_is_connected(harness):
    assert changes(harness) == [(CONNECTED, harness.SESSION)]


def test_a_keep_alive_unanswered_for_a_third_of_the_timeout_suspends(kit):
    harness = kit.Harness(timeout=9).open()
    changes(harness)
    harness.advance(5.9)
    assert changes(harness) == [], "it left after three seconds, and three more are patience"
    harness.advance(0.3)
    assert changes(harness) == [(SUSPENDED, harness.SESSION)]
    harness.advance(60)
    assert changes(harness) == [], "told once; only the shard ends a session"
    (alive, *_) = harness.advance(5)
    harness.receive(frames.KEPT_ALIVE, request=alive.request)
    assert changes(harness) == [(CONNECTED, harness.SESSION)]


def test_a_request_unanswered_for_a_third_of_the_timeout_suspends(kit):
    harness = kit.Harness(timeout=30).open()
    changes(harness)
    harness.call("put", b"a", b"1", timeout=60)
    harness.pump()
    harness.advance(9.9)
    assert changes(harness) == []
    harness.advance(0.2)
    assert changes(harness) == [(SUSPENDED, harness.SESSION)]
    harness.results(2, kit.NIL)
    assert changes(harness) == [(CONNECTED, harness.SESSION)]


def test_a_shard_without_a_leader_does_not_answer_and_a_busy_one_does(kit):
    for code, expected in ((errors.NO_LEADER, [SUSPENDED]), (errors.NOT_SENT, [SUSPENDED]), (errors.BUSY, [])):
        harness = kit.Harness(timeout=9).open()
        changes(harness)
        harness.call("put", b"a", b"1", timeout=60)
        sent = harness.pump()
        for _ in range(80):
            for message in sent:
                harness.refuse(message, code, after=50)
            sent = harness.advance(0.05)
        assert [state for state, _ in changes(harness)] == expected, code


def test_a_session_that_is_answered_all_the_time_is_never_suspended(kit):
    harness = kit.Harness(timeout=3).open()
    changes(harness)
    for sequence in range(2, 40):
        harness.call("put", b"a", b"1")
        harness.pump()
        harness.advance(0.3)
        harness.results(sequence, kit.NIL, index=100 + sequence)
    assert changes(harness) == []


def test_no_router_suspends_at_once(harness):
    changes(harness)
    harness.session.disconnected()
    harness.session.unreachable()
    harness.session.unreachable()
    assert changes(harness) == [(SUSPENDED, harness.SESSION)]


def test_a_lost_router_suspends_when_it_is_not_replaced_in_time(kit):
    harness = kit.Harness(timeout=9).open()
    changes(harness)
    harness.session.disconnected()
    harness.pump()
    harness.advance(2.9)
    assert changes(harness) == []
    harness.advance(0.2)
    assert changes(harness) == [(SUSPENDED, harness.SESSION)]


def test_a_shard_that_never_answers_suspends_before_there_is_a_session(kit):
    harness = kit.Harness(timeout=9)
    harness.session.connected("tcp://somewhere:1", 1, harness.now)
    harness.call("put", b"a", b"1", timeout=60)
    (register,) = harness.pump()
    harness.advance(3.1)
    assert changes(harness) == [(SUSPENDED, 0)]
    harness.registered(register.request)
    assert changes(harness) == [(CONNECTED, harness.SESSION)]


def test_an_expired_session_is_followed_by_another_whether_or_not_anybody_calls(harness):
    """Those who listen make no calls; they have to learn at once that they missed something."""
    changes(harness)
    (alive, *_) = harness.advance(10.1)
    harness.refuse(alive, errors.UNKNOWN_SESSION, text="it expired")
    assert changes(harness) == [(EXPIRED, 77)]
    (register,) = harness.pump()
    assert register.kind == frames.REGISTER
    assert register.header.key != alive.header.key
    harness.SESSION = 300
    harness.registered(register.request)
    assert changes(harness) == [(CONNECTED, 300)]
    assert harness.advance(5) == []


def test_a_shard_that_opens_no_other_session_is_not_asked_without_end(harness):
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    (register,) = harness.pump()
    harness.refuse(register, errors.TOO_MANY_SESSIONS)
    assert harness.pump() == []
    assert harness.advance(60) == []
    harness.call("put", b"a", b"1")
    assert [sent.kind for sent in harness.pump()] == [frames.REGISTER]


def test_with_recovery_close_the_shard_is_over_and_says_so_to_every_call(kit):
    harness = kit.Harness(recovery="close").open(in_flight_max=1)
    changes(harness)
    sent, waiting = harness.call("put", b"a", b"1"), harness.call("put", b"b", b"1")
    harness.pump()
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99, body=b"it expired")
    assert harness.finished() == [sent, waiting]
    assert [(type(call.error), call.error.definite) for call in (sent, waiting)] == [
        (SessionExpired, False),
        (SessionExpired, True),
    ]
    assert harness.session.closed
    late = harness.call("get", b"a", query=True)
    assert harness.finished() == [late]
    assert isinstance(late.error, SessionExpired)
    assert harness.pump() == []
    assert harness.advance(60) == []


def test_with_recovery_close_the_states_end_with_closed(kit):
    harness = kit.Harness(recovery="close").open()
    changes(harness)
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert changes(harness) == [(EXPIRED, 77), (CLOSED, 77)]
    harness.session.abandon(harness.now)
    assert changes(harness) == []


def test_a_closed_session_is_told_once(harness):
    changes(harness)
    harness.session.close(harness.now)
    (unregister,) = harness.sent()
    harness.receive(frames.UNREGISTERED, request=unregister.request)
    assert changes(harness) == [(CLOSED, harness.SESSION)]
    harness.session.abandon(harness.now)
    harness.session.unreachable()
    assert changes(harness) == []


def test_a_session_that_expired_while_it_was_closed_is_closed(harness):
    changes(harness)
    harness.session.close(harness.now)
    (unregister,) = harness.sent()
    harness.refuse(unregister, errors.UNKNOWN_SESSION)
    assert changes(harness) == [(CLOSED, harness.SESSION)]
    assert harness.pump() == []


def test_what_was_in_flight_names_the_session_it_was_sent_under(harness):
    call = harness.call("put", b"a", b"1")
    (sent,) = harness.pump()
    harness.refuse(sent, errors.UNKNOWN_SESSION)
    assert call.error.session == f"0/77/{sent.header.key.hex()}"
    assert call.error.sequence == 2


@pytest.fixture
def two(kit):
    """Two shards of one client, both open, and how to let time pass."""
    sessions, now = Sessions(Random(1), client_id="test", timeout=9.0), 1000.0
    sessions.connected("tcp://somewhere:1", 1, now)
    for shard in (0, 1):
        sessions.submit(Call(Resource("m", "map", shard), ("get", b"a"), True, now, now + 60, kit, None), now)
    sessions.tick(now)
    for sent in map(kit.Sent, sessions.outbox.messages):
        sessions.receive(kit.registered_reply(sent, session=70 + sent.header.shard), now)
    sessions.outbox.messages.clear()
    return sessions, now


def test_a_shard_that_is_not_to_be_had_suspends_its_own_session_only_and_asks_for_another_router(two, kit):
    sessions, now = two
    sessions.tick(now)
    while now < 1008:
        now += 0.25
        sessions.tick(now)
        for sent in map(kit.Sent, sessions.outbox.messages):
            if sent.header.shard == 1 and sent.kind == frames.KEEP_ALIVE:
                sessions.receive(kit.reply(frames.KEPT_ALIVE, shard=1, session=71, request=sent.request), now)
            elif sent.header.shard == 1:
                body = frames.pack_results([80], [kit.ok(80)])
                sessions.receive(
                    kit.reply(frames.RESULTS, body=body, shard=1, session=71, first_sequence=1, count=1), now
                )
                query = kit.reply(frames.ANSWERS, body=frames.pack_parts([kit.NIL]), shard=1, session=71, count=1)
                sessions.receive(query, now)
        sessions.outbox.messages.clear()
    told = [item for item in sessions.outbox.finished if isinstance(item, StateChange)]
    assert [(change.shard, change.state) for change in told if change.shard == 0] == [(0, CONNECTED), (0, SUSPENDED)]
    assert sessions.wants_router
