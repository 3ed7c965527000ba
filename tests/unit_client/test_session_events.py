"""Events of one session: each batch once, in order, without a gap; what the shard is told of it, and when it is asked again."""

from __future__ import annotations

import itertools
import logging

import pytest
from ocelog.client.protocol import frames
from ocelog.client.protocol.events import unpack_handled
from ocelog.client.protocol.frames import BadFrame


def told(messages):
    """What the HANDLEDs among these messages say: (received, handled, whether something is missing)."""
    return [
        (*unpack_handled(sent.body), bool(sent.header.flags & frames.AGAIN))
        for sent in messages
        if sent.kind == frames.HANDLED
    ]


def indexes(items):
    """The log indexes of what was delivered."""
    return [item.index for item in items]


def test_a_batch_is_delivered_with_its_events_and_answered_in_the_same_turn(harness):
    harness.events(0, 120)
    (batch,) = harness.delivered()
    assert (batch.shard, batch.session, batch.index) == (0, harness.SESSION, 120)
    assert [tuple(event) for event in batch.events] == [(5, "change", 120)]
    assert told(harness.pump()) == [(120, 0, False)]


def test_however_many_events_come_in_a_turn_they_are_answered_once(harness):
    harness.events(0, 120, 125)
    harness.events(125, 130)
    harness.done(*harness.delivered())
    assert told(harness.pump()) == [(130, 130, False)]
    assert told(harness.pump()) == []


def test_a_repeated_push_is_delivered_once_and_answered_every_time(harness):
    """A push is repeated because its answer was lost: silence would make the shard repeat it for ever."""
    harness.events(0, 120)
    harness.pump()
    harness.events(0, 120)
    assert told(harness.pump()) == [(120, 0, False)]
    harness.events(120)
    assert told(harness.pump()) == [(120, 0, False)], "an empty one asks where this client is"
    assert indexes(harness.delivered()) == [120]


def test_a_push_that_overlaps_brings_what_is_new(harness):
    harness.events(0, 120, 125)
    harness.events(120, 125, 130)
    assert indexes(harness.delivered()) == [120, 125, 130]


def test_a_push_behind_a_gap_is_not_delivered_and_the_shard_is_asked_at_once(harness):
    harness.events(0, 120)
    harness.events(125, 130)
    assert indexes(harness.delivered()) == [120]
    assert told(harness.pump()) == [(120, 0, True)]
    harness.events(120, 125, 130)
    assert indexes(harness.delivered()) == [125, 130]
    assert told(harness.pump()) == [(130, 0, False)]


def test_many_pushes_behind_one_gap_ask_once_and_again_after_growing_pauses(harness):
    for index in range(130, 200, 10):
        harness.events(index - 5, index)
        harness.pump()
    asked = []
    for _ in range(200):
        asked += [harness.now for _, _, again in told(harness.advance(0.05)) if again]
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert 4 <= len(asked) <= 9
    assert pauses[-1] > 4 * pauses[0]


def test_a_last_push_that_was_lost_shows_in_any_answer_and_is_asked_for(harness, kit):
    harness.call("put", b"a", b"1")
    harness.pump()
    harness.results(2, kit.NIL, event_index=90)
    assert told(harness.pump()) == [], "it may be right behind the answer"
    assert told(harness.advance(0.2)) == [(0, 0, True)]
    harness.events(0, 90)
    assert told(harness.pump()) == [(90, 0, False)]
    assert told(harness.advance(9)) == []


def test_a_push_right_behind_its_answer_is_not_asked_for(harness, kit):
    harness.call("put", b"a", b"1")
    harness.pump()
    harness.results(2, kit.NIL, event_index=100)
    harness.events(0, 100, after=2)
    assert told(harness.pump()) == [(100, 0, False)]
    assert not any(again for _, _, again in told(harness.advance(9)))


def test_a_keep_alive_that_is_answered_tells_of_a_lost_push(harness):
    (alive,) = harness.advance(10.1)
    harness.receive(frames.KEPT_ALIVE, request=alive.request, event_index=70)
    assert told(harness.advance(0.2)) == [(0, 0, True)]


def test_handled_counts_what_was_handled_together_with_all_before(harness):
    harness.events(0, 120, 125, 130)
    first, second, third = harness.delivered()
    harness.pump()
    harness.done(second)
    assert told(harness.pump()) == []
    harness.done(first)
    assert told(harness.pump()) == [(130, 125, False)]
    harness.done(third)
    assert told(harness.pump()) == [(130, 130, False)]


def test_a_batch_that_is_done_twice_counts_once(harness):
    harness.events(0, 120, 125)
    first, _ = harness.delivered()
    harness.done(first, first)
    assert told(harness.pump()) == [(125, 120, False)]


def test_keep_alives_carry_received_and_handled(harness):
    harness.events(0, 120, 125)
    first, _ = harness.delivered()
    harness.done(first)
    alive = [sent for sent in harness.advance(10.5) if sent.kind == frames.KEEP_ALIVE]
    assert {unpack_handled(sent.body) for sent in alive} == {(125, 120)}


def test_a_session_without_events_sends_nothing_more_than_before(harness, kit):
    harness.call("put", b"a", b"1")
    assert [sent.kind for sent in harness.pump()] == [frames.COMMAND]
    harness.results(2, kit.NIL)
    assert {(sent.kind, sent.body) for sent in harness.advance(11)} == {(frames.KEEP_ALIVE, b"")}


@pytest.mark.parametrize("payload", [b"\xc1", b"\x91\x01", b"\x91\x93\xa1r\xa1n\xc0", b"\x92"])
def test_a_batch_that_cannot_be_read_is_logged_told_and_counted_as_handled(harness, caplog, payload):
    """It would be the same bytes the next time; whoever listens learns that something was missed."""
    with caplog.at_level(logging.ERROR, "ocelog.client"):
        harness.events(0, 120, payload=payload)
    assert "index 120" in caplog.text
    (batch,) = harness.delivered()
    assert batch.events == ()
    assert isinstance(batch.error, BadFrame)
    assert told(harness.pump()) == [(120, 120, False)]
    batch.done()
    harness.done()
    harness.events(120, 125)
    assert indexes(harness.delivered()) == [125]


def test_a_malformed_push_changes_nothing_and_is_answered_with_where_this_client_is(harness):
    harness.events(0, 120)
    harness.pump()
    for body, count in ((b"\x01", 1), (frames.pack_results([110], [b"\x90"]), 1)):
        with pytest.raises(BadFrame):
            harness.receive(frames.EVENTS, body=body, count=count, request=120)
        assert told(harness.pump()) == [(120, 0, False)]
    assert indexes(harness.delivered()) == [120]


def test_a_new_leader_and_a_new_connection_are_told_where_this_client_is(harness):
    """What was told by message is known to one leader only."""
    harness.events(0, 120)
    harness.done(*harness.delivered())
    harness.pump()
    harness.session.leader_changed(5, 1, harness.now)
    assert told(harness.pump()) == [(120, 120, False)]
    harness.session.disconnected()
    harness.session.connected("tcp://other:1", 2, harness.now)
    (sent,) = [sent for sent in harness.pump() if sent.kind == frames.HANDLED]
    assert sent.header.connection == 2


def test_events_of_a_session_that_is_over_concern_nobody(harness, kit):
    harness.events(0, 120)
    (old,) = harness.delivered()
    harness.receive(frames.REFUSED, code=10, request=99)
    (register,) = harness.pump()
    harness.SESSION = 200
    harness.registered(register.request)
    harness.pump()
    harness.events(120, 125, session=77)
    harness.done(old)
    assert harness.delivered() == []
    assert told(harness.pump()) == []
    harness.events(0, 210)
    (new,) = harness.delivered()
    assert (new.session, new.index) == (200, 210)
    assert told(harness.pump()) == [(210, 0, False)]


def test_events_received_count_as_seen(harness):
    harness.events(0, 150)
    harness.call("get", b"a", query=True)
    assert [sent.header.seen for sent in harness.pump()] == [150, 150]
