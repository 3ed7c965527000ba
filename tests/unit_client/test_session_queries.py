"""Queries: their place behind commands, their repeats under one request id."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import Refused


def test_queries_of_one_turn_travel_as_one_message_and_name_the_last_command_before_them(harness, kit):
    put = harness.call("put", b"a", b"1")
    queries = [harness.call("get", b"%d" % n, query=True) for n in range(3)]
    command, question = harness.pump()
    assert (command.kind, question.kind) == (frames.COMMAND, frames.QUERY)
    assert question.header.level == frames.LINEARIZABLE
    assert question.first == 2
    assert question.operations == [[5, "get", b"%d" % n] for n in range(3)]
    harness.results(2, kit.NIL)
    harness.answers(question.request, kit.ok(b"x"), kit.NIL, kit.ok(b"z"))
    assert harness.finished() == [put, *queries]
    assert [query.result for query in queries] == [b"x", None, b"z"]


def test_a_query_before_a_command_does_not_wait_for_it(harness):
    harness.call("get", b"a", query=True)
    harness.call("put", b"a", b"1")
    command, question = harness.pump()
    assert command.first == 2
    assert question.first == 1


def test_a_query_is_repeated_under_its_request_id_and_a_second_answer_is_ignored(harness, kit):
    query = harness.call("get", b"a", query=True, timeout=60)
    (sent,) = harness.pump()
    repeats = [message for message in harness.advance(4) if message.kind == frames.QUERY]
    assert len(repeats) >= 2
    assert {(message.request, message.body, message.first) for message in repeats} == {
        (sent.request, sent.body, sent.first)
    }
    harness.answers(sent.request, kit.ok(b"one"))
    harness.answers(sent.request, kit.ok(b"two"))
    assert harness.finished() == [query]
    assert query.result == b"one"
    assert [message for message in harness.advance(8) if message.kind == frames.QUERY] == []


def test_queries_go_on_while_commands_are_refused(harness, kit):
    harness.call("put", b"a", b"1")
    harness.refuse(harness.pump()[0], errors.NO_SPACE, after=5000)
    harness.call("get", b"a", query=True)
    (question,) = harness.pump()
    assert question.kind == frames.QUERY


def test_a_refused_query_is_repeated_after_a_pause_or_at_a_leader_notice(harness):
    harness.call("get", b"a", query=True)
    (sent,) = harness.pump()
    harness.refuse(sent, errors.NO_LEADER)
    (again,) = harness.advance(0.05)
    harness.refuse(again, errors.NO_LEADER)
    harness.session.leader_changed(9, 0, harness.now)
    assert [message.request for message in harness.sent() if message.kind == frames.QUERY] == [sent.request]


@pytest.mark.parametrize("code", [errors.BAD_MESSAGE, errors.WRONG_SHARD])
def test_a_query_message_refused_for_good_fails_its_calls(harness, code):
    queries = [harness.call("get", b"a", query=True) for _ in range(2)]
    harness.refuse(harness.pump()[0], code)
    assert harness.finished() == queries
    assert all(isinstance(query.error, Refused) and query.error.code == code for query in queries)


def test_queries_whose_answers_are_too_large_together_are_asked_in_smaller_messages(harness, kit):
    queries = [harness.call("get", b"%d" % n, query=True) for n in range(3)]
    (sent,) = harness.pump()
    harness.refuse(sent, errors.TOO_LARGE)
    one, two = harness.sent()
    assert one.operations + two.operations == sent.operations
    harness.answers(two.request, kit.failed(errors.TOO_LARGE))
    harness.answers(one.request, kit.ok(b"0"), kit.failed(errors.TOO_LARGE))
    (again,) = harness.sent()
    assert again.operations == sent.operations[1:2]
    harness.answers(again.request, kit.ok(b"1"))
    assert harness.finished() == [queries[2], queries[0], queries[1]]
    assert [query.result for query in queries] == [b"0", b"1", None]
    assert queries[2].error.code == errors.TOO_LARGE
    assert harness.session.flow.flight.queries.count == 0


def test_answers_that_do_not_fit_their_message_change_nothing(harness, kit):
    query = harness.call("get", b"a", query=True)
    (sent,) = harness.pump()
    with pytest.raises(frames.BadFrame):
        harness.answers(sent.request, kit.NIL, kit.NIL)
    harness.answers(sent.request, kit.NIL)
    assert harness.finished() == [query]


def test_an_error_answer_is_its_own_querys_only(harness, kit):
    good, bad = harness.call("get", b"a", query=True), harness.call("nope", query=True)
    harness.answers(harness.pump()[0].request, kit.ok(b"v"), kit.failed(errors.UNKNOWN_OPERATION))
    assert harness.finished() == [good, bad]
    assert (good.result, type(bad.error)) == (b"v", errors.UnknownOperation)


def test_a_query_on_an_unknown_resource_opens_it_again(harness, kit):
    query = harness.call("get", b"a", query=True)
    harness.answers(harness.pump()[0].request, kit.failed(errors.UNKNOWN_RESOURCE))
    assert harness.pump()[0].operations == [[0, "open", "numbers", "map"]]
    harness.results(2, kit.ok(6))
    (again,) = harness.pump()
    assert again.operations == [[6, "get", b"a"]]
    harness.answers(again.request, kit.ok(b"v"))
    assert harness.finished() == [query]


def test_queries_in_flight_are_bounded_too(kit):
    harness = kit.Harness().open(in_flight_max=2)
    for _ in range(3):
        harness.call("get", b"a", query=True)
    (sent,) = harness.pump()
    assert sent.header.count == 2
    harness.answers(sent.request, kit.NIL, kit.NIL)
    assert harness.pump()[0].header.count == 1
