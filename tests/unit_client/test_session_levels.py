"""Levels of queries: what travels together, whose turn it is, and answers that are too old."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import (
    BOUNDED_LINEARIZABLE,
    CAUSAL,
    LINEARIZABLE,
    SEQUENTIAL,
    TO_FOLLOWERS,
    TO_LEADER,
)


def get(harness, level=SEQUENTIAL, **options):
    """A query on its own, sent; the call and the message."""
    call = harness.call("get", b"a", query=True, level=level, **options)
    (sent,) = [sent for sent in harness.pump() if sent.kind == frames.QUERY]
    return call, sent


def test_queries_of_one_turn_travel_by_level_and_selection(harness):
    levels = [SEQUENTIAL, LINEARIZABLE, SEQUENTIAL, CAUSAL, BOUNDED_LINEARIZABLE]
    harness.call("put", b"a", b"1")
    for level in levels:
        harness.call("get", b"a", query=True, level=level)
    harness.call("get", b"a", query=True, level=SEQUENTIAL, selection=TO_FOLLOWERS)
    harness.call("get", b"a", query=True, level=SEQUENTIAL, selection=TO_LEADER)
    _, *questions = harness.pump()
    assert [(sent.header.level, sent.header.flags, sent.header.count, sent.first) for sent in questions] == [
        (SEQUENTIAL, 0, 2, 2),
        (LINEARIZABLE, 0, 1, 2),
        (CAUSAL, 0, 1, 0),
        (BOUNDED_LINEARIZABLE, 0, 1, 2),
        (SEQUENTIAL, TO_FOLLOWERS, 1, 2),
        (SEQUENTIAL, TO_LEADER, 1, 2),
    ]


def test_answers_have_their_turn_in_the_order_of_sending(harness, kit):
    """Two followers may answer in any order; the caller must not see the newer state first."""
    (first, one), (second, two) = get(harness), get(harness, CAUSAL)
    harness.answers(two.request, kit.ok(b"new"), index=150)
    assert harness.finished() == []
    harness.answers(one.request, kit.ok(b"old"), index=120)
    assert harness.finished() == [first, second]


def test_an_answer_older_than_one_before_it_is_asked_for_again(harness, kit):
    (first, one), (second, two) = get(harness), get(harness)
    harness.answers(one.request, kit.ok(b"new"), index=150)
    harness.answers(two.request, kit.ok(b"old"), index=120)
    assert harness.finished() == [first]
    (again,) = harness.sent()
    assert (again.request, again.header.seen, again.body) == (two.request, 150, two.body)
    harness.answers(again.request, kit.ok(b"new"), index=151)
    assert harness.finished() == [second]
    assert second.result == b"new"


def test_an_answer_older_than_a_result_received_meanwhile_is_asked_for_again(harness, kit):
    query, question = get(harness)
    put = harness.call("put", b"a", b"1")
    harness.pump()
    harness.results(2, kit.NIL, index=130)
    harness.answers(question.request, kit.ok(b"old"), index=129)
    assert harness.finished() == [put]
    (again,) = harness.sent()
    assert again.header.seen == 130
    harness.answers(again.request, kit.ok(b"new"), index=130)
    assert harness.finished() == [query]


def test_an_answer_that_is_overtaken_twice_is_asked_of_the_leader(harness, kit):
    """While results keep coming a follower may be overtaken for ever; the leader's answers come in order with them."""
    get(harness, selection=TO_FOLLOWERS)
    (_, question), flags = get(harness, selection=TO_FOLLOWERS), []
    harness.answers(question.request - 1, kit.NIL, index=110)
    for index in (120, 130, 140):
        harness.events(index - 10 if index > 120 else 0, index)
        harness.answers(question.request, kit.NIL, index=index - 1)
        flags += [sent.header.flags for sent in harness.sent()]
    assert flags == [TO_FOLLOWERS, TO_LEADER, TO_LEADER]


def test_a_linearizable_answer_waits_for_nobody(harness, kit):
    get(harness)
    call, question = get(harness, LINEARIZABLE)
    harness.answers(question.request, kit.NIL, index=150)
    assert harness.finished() == [call]


def test_a_turn_passes_when_nobody_waits_for_it_any_more(harness, kit):
    (first, _), (second, two) = get(harness), get(harness)
    harness.answers(two.request, kit.NIL, index=150)
    harness.session.give_up(first, harness.now)
    harness.pump()
    assert harness.finished() == [second]


def test_a_turn_passes_at_the_deadline(harness, kit):
    (first, _), (second, two) = get(harness, timeout=0.5), get(harness)
    harness.answers(two.request, kit.NIL, index=150)
    harness.advance(0.6)
    assert harness.finished() == [first, second]
    assert type(first.error) is errors.DeadlineExceeded
    assert second.error is None


@pytest.mark.parametrize("code", [errors.BEHIND, errors.NOT_LEADER, errors.NO_LEADER, errors.NOT_SENT])
def test_a_replica_that_cannot_answer_is_passed_over_for_the_leader_at_once(harness, code):
    _, question = get(harness, selection=TO_FOLLOWERS)
    harness.refuse(question, code, after=500)
    (again,) = harness.sent()
    assert (again.request, again.header.flags, again.header.level) == (question.request, TO_LEADER, SEQUENTIAL)
    harness.refuse(again, code)
    assert harness.sent() == [], "the leader cannot either: after a pause"
    assert [sent.header.flags for sent in harness.advance(0.6) if sent.kind == frames.QUERY][:1] == [TO_LEADER]


def behind(harness, kit):
    """A follower refuses a query, and the leader answers it; for how many seconds the leader alone is asked then."""
    _, question = get(harness)
    assert question.header.flags == 0
    harness.refuse(question, errors.BEHIND)
    (again,) = harness.sent()
    harness.answers(again.request, kit.ok(b"x"), index=120)
    began = harness.now
    while True:
        _, question = get(harness)
        harness.answers(question.request, kit.ok(b"x"), index=120)
        if not question.header.flags:
            return harness.now - began
        assert question.header.flags == TO_LEADER
        harness.advance(0.125)


def test_the_leader_is_asked_for_a_while_after_a_follower_was_behind(harness, kit):
    """One that stays behind costs every query half a second; an answer of a follower ends it."""
    assert [0.75 <= behind(harness, kit) <= 1.5 for _ in range(3)] == [True] * 3


def test_a_follower_that_stays_behind_is_tried_less_and_less(harness, kit):
    pauses = []
    _, question = get(harness)
    for _ in range(8):
        harness.refuse(question, errors.BEHIND)
        harness.sent()
        began = harness.now
        harness.answers(question.request, kit.ok(b"x"), index=120)
        while (question := get(harness)[1]).header.flags:
            harness.answers(question.request, kit.ok(b"x"), index=120)
            harness.advance(0.125)
        pauses.append(harness.now - began)
    for pause, expected in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60), strict=True):
        assert 0.75 * expected <= pause <= 1.25 * expected + 0.25, pauses


def test_queries_for_followers_alone_and_those_of_the_leader_are_not_moved(harness):
    _, question = get(harness)
    harness.refuse(question, errors.BEHIND)
    harness.sent()
    assert get(harness, selection=TO_FOLLOWERS)[1].header.flags == TO_FOLLOWERS
    assert get(harness, LINEARIZABLE)[1].header.flags == 0
    assert get(harness, CAUSAL)[1].header.flags == TO_LEADER


def test_a_follower_that_says_nothing_is_passed_over_when_the_query_is_repeated(harness):
    """One that hangs keeps its connection, so its router goes on sending it what its sessions ask."""
    _, question = get(harness)
    (again,) = [sent for sent in harness.advance(1.5) if sent.kind == frames.QUERY]
    assert (again.request, again.header.flags) == (question.request, TO_LEADER)
    assert get(harness)[1].header.flags == TO_LEADER


def test_a_busy_follower_is_waited_for(harness):
    _, question = get(harness)
    harness.refuse(question, errors.BUSY, after=100)
    assert harness.sent() == []
    (again,) = harness.advance(0.15)
    assert (again.request, again.header.flags) == (question.request, 0)


def test_pieces_of_a_message_keep_its_turn(harness, kit):
    first = [harness.call("get", b"%d" % n, query=True, level=SEQUENTIAL) for n in range(2)]
    (one,) = harness.pump()
    later, two = get(harness)
    harness.answers(two.request, kit.NIL, index=160)
    harness.refuse(one, errors.TOO_LARGE)
    pieces = harness.sent()
    assert [piece.header.level for piece in pieces] == [SEQUENTIAL, SEQUENTIAL]
    harness.answers(pieces[1].request, kit.NIL, index=150)
    assert harness.finished() == []
    harness.answers(pieces[0].request, kit.NIL, index=140)
    assert harness.finished() == [*first, later]


def test_a_second_answer_to_a_message_that_waits_for_its_turn_is_ignored(harness, kit):
    (_, one), (second, two) = get(harness), get(harness)
    harness.answers(two.request, kit.ok(b"first"), index=150)
    harness.answers(two.request, kit.ok(b"second"), index=160)
    harness.answers(one.request, kit.NIL, index=140)
    harness.finished()
    assert second.result == b"first"


def test_an_answer_that_waits_for_its_turn_is_not_repeated(harness, kit):
    get(harness)
    _, two = get(harness)
    harness.answers(two.request, kit.NIL, index=150)
    repeated = {sent.request for sent in harness.advance(8) if sent.kind == frames.QUERY}
    assert repeated == {two.request - 1}


def test_a_late_refusal_of_an_answer_that_waits_for_its_turn_is_ignored(harness, kit):
    """It planned a repeat that was never due: the client's thread found something to do without end."""
    (first, one), (second, two) = get(harness), get(harness)
    harness.answers(two.request, kit.NIL, index=150)
    for code in (errors.BUSY, errors.NOT_LEADER, errors.BAD_MESSAGE):
        harness.refuse(two, code)
        assert harness.sent() == []
    assert harness.session.wake_at() > harness.now
    harness.advance(5)
    harness.answers(one.request, kit.NIL, index=140)
    assert harness.finished() == [first, second]
    assert second.error is None


def test_the_first_index_seen_is_that_of_the_session(harness):
    """A replica that has not applied the registration would not know the session."""
    assert get(harness)[1].header.seen >= harness.SESSION
