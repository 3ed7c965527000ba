"""Asking what became of a sequence, receipts of traced calls, and cancelling: none of them disturbs anything else."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.calls import Call, Resource
from ocelog.client.protocol import errors, frames, outcomes
from ocelog.client.protocol.outcomes import Outcome, OutcomeQuery, pack_outcome, unpack_outcome_query

KEY = b"k" * 16


def ask(harness, sequence=3, timeout=10.0):
    """A question about another session."""
    parts = ("outcome", 40, KEY, sequence)
    call = Call(Resource("", "shard", 0), parts, True, harness.now, harness.now + timeout, harness, None)
    harness.session.asking.ask(call, harness.now)
    return call


def questions(messages):
    return [sent for sent in messages if sent.kind == frames.OUTCOME]


def report(harness, request, outcome, **fields):
    harness.receive(frames.OUTCOME_REPORT, body=pack_outcome(outcome), request=request, **fields)


def test_a_question_names_session_key_and_sequence_and_its_answer_is_the_result(harness):
    call = ask(harness)
    (sent,) = questions(harness.advance(0.001))
    assert unpack_outcome_query(sent.body) == OutcomeQuery(40, KEY, 3)
    report(harness, sent.request, Outcome(outcomes.APPLIED, 90, b"\x00\x07"))
    report(harness, sent.request, Outcome(outcomes.NEVER, 0, b""))
    assert harness.finished() == [call]
    assert call.result == Outcome(outcomes.APPLIED, 90, b"\x00\x07")
    assert call.index == 90


def test_a_question_needs_no_session_and_opens_none(kit):
    harness = kit.Harness()
    harness.session.connected("tcp://somewhere:1", 1, harness.now)
    call = ask(harness)
    (sent,) = harness.advance(0.001)
    assert (sent.kind, sent.header.session) == (frames.OUTCOME, 0)
    report(harness, sent.request, Outcome(outcomes.FORGOTTEN, 0, b""), session=0)
    assert harness.finished() == [call]


def test_a_question_outlives_the_session_it_was_asked_under(harness):
    call = ask(harness)
    (first,) = questions(harness.advance(0.001))
    assert first.header.session == harness.SESSION
    harness.refuse(first, errors.UNKNOWN_SESSION)
    again = questions(harness.advance(1))
    assert {(sent.request, sent.header.session) for sent in again} >= {(first.request, 0)}
    report(harness, first.request, Outcome(outcomes.NEVER, 0, b""), session=0)
    assert call in harness.finished()


def test_a_question_is_repeated_while_no_answer_comes_and_at_a_new_leader(harness):
    ask(harness, timeout=60)
    (first,) = questions(harness.advance(0.001))
    assert {sent.request for sent in questions(harness.advance(4))} == {first.request}
    harness.session.leader_changed(6, 0, harness.now)
    assert len(questions(harness.advance(0.001))) == 1
    harness.refuse(first, errors.NO_LEADER)
    assert len(questions(harness.advance(0.1))) >= 1


def test_a_question_waits_for_a_router_and_at_most_for_its_deadline(kit):
    harness = kit.Harness()
    call = ask(harness, timeout=1)
    assert harness.advance(0.9) == []
    harness.advance(0.2)
    assert harness.finished() == [call]
    assert type(call.error) is errors.DeadlineExceeded
    assert call.error.definite


def test_a_question_that_is_refused_for_good_fails(harness):
    call = ask(harness)
    (sent,) = questions(harness.advance(0.001))
    harness.refuse(sent, errors.BAD_MESSAGE, text="what?")
    assert harness.finished() == [call]
    assert call.error.code == errors.BAD_MESSAGE


def test_a_question_that_nobody_waits_for_is_forgotten(harness):
    call = ask(harness, timeout=60)
    harness.advance(0.001)
    harness.session.give_up(call, harness.now)
    assert questions(harness.advance(50)) == []
    assert harness.finished() == []


def test_a_question_outlives_the_session_and_not_the_client(harness):
    call = ask(harness, timeout=60)
    assert len(questions(harness.advance(0.001))) == 1
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert questions(harness.advance(4)) != []
    harness.session.abandon(harness.now)
    assert harness.finished() == [call]
    assert type(call.error) is errors.Closed


def test_an_unreadable_report_answers_nothing(harness):
    ask(harness)
    (sent,) = questions(harness.advance(0.001))
    with pytest.raises(frames.BadFrame):
        harness.receive(frames.OUTCOME_REPORT, body=b"\x93\x01\x00\xc4\x00", request=sent.request)
    assert harness.finished() == []


def test_an_unknown_outcome_says_what_to_ask_for(harness):
    call = harness.call("put", b"a", b"1", timeout=0.5)
    (sent,) = harness.pump()
    harness.advance(0.6)
    assert type(call.error) is errors.OutcomeUnknown
    assert (call.error.session, call.error.sequence) == (f"0/77/{sent.header.key.hex()}", 2)


# -- receipts --------------------------------------------------------------------------------------------


def receipt(harness, request, **fields):
    body = msgpack.packb({"index": 120, "replica": 1, "path": "log"})
    harness.receive(frames.RECEIPT, body=body, request=request, **fields)


def test_only_messages_with_a_traced_call_ask_for_a_receipt(harness):
    harness.call("put", b"a", b"1")
    harness.call("get", b"a", query=True)
    assert [sent.header.flags for sent in harness.pump()] == [0, 0]
    harness.call("put", b"a", b"1")
    harness.call("put", b"a", b"1", traced=True)
    harness.call("get", b"a", query=True)
    harness.call("get", b"a", query=True, traced=True)
    assert [sent.header.flags for sent in harness.pump()] == [frames.TRACED, frames.TRACED]
    assert [sent.header.flags for sent in harness.advance(1.5) if sent.kind == frames.QUERY] == [0, frames.TRACED]


def test_a_receipt_comes_with_the_results_of_its_message_to_the_traced_calls(harness, kit):
    plain, traced = harness.call("put", b"a", b"1"), harness.call("put", b"b", b"1", traced=True)
    (sent,) = harness.pump()
    receipt(harness, sent.request)
    harness.results(2, kit.NIL, kit.NIL)
    assert harness.finished() == [plain, traced]
    assert plain.receipt is None
    assert traced.receipt == {"index": 120, "replica": 1, "path": "log"}


def test_a_receipt_of_a_query(harness, kit):
    query = harness.call("get", b"a", query=True, traced=True)
    (sent,) = harness.pump()
    receipt(harness, sent.request)
    harness.answers(sent.request, kit.NIL)
    assert query.receipt["path"] == "log"


def test_a_receipt_of_a_message_that_was_repeated_meanwhile_finds_its_sequences(harness, kit):
    call = harness.call("put", b"a", b"1", traced=True)
    (sent,) = harness.pump()
    harness.session.leader_changed(5, 0, harness.now)
    (again,) = [sent for sent in harness.sent() if sent.kind == frames.COMMAND]
    assert again.header.flags == frames.TRACED
    receipt(harness, sent.request, first_sequence=2, count=1)
    harness.results(2, kit.NIL)
    assert call.receipt is not None


@pytest.mark.parametrize("body", [b"\xc1", b"\x93\x01\x02\x03", b""])
def test_an_unreadable_receipt_disturbs_nothing(harness, kit, body):
    call = harness.call("put", b"a", b"1", traced=True)
    (sent,) = harness.pump()
    with pytest.raises(frames.BadFrame):
        harness.receive(frames.RECEIPT, body=body, request=sent.request)
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]


# -- cancelling --------------------------------------------------------------------------------------------


def test_cancelled_calls_never_take_the_results_of_others(harness, kit):
    """Ten commands and ten queries, every other one given up at every stage it can be in: the rest get their own."""
    calls = [harness.call("put", b"%d" % n, b"v") for n in range(10)]
    queries = [harness.call("get", b"%d" % n, query=True) for n in range(10)]
    for call in calls[::4] + queries[::4]:
        harness.session.give_up(call, harness.now)
    _, question = harness.pump()
    for call in calls[1::4] + queries[1::4]:
        harness.session.give_up(call, harness.now)
    left = [call for call in calls if call.sequence]
    harness.results(2, *[kit.ok(call.parts[1]) for call in left], index=120, event_index=110)
    for call in calls[2::4]:
        harness.session.give_up(call, harness.now)
    harness.answers(question.request, *[kit.ok(operation[2]) for operation in question.operations], index=140)
    harness.events(0, 110, after=1)
    harness.pump()
    kept = {id(call) for call in calls[3::4] + queries[2::4] + queries[3::4]}
    finished = harness.finished()
    assert {id(call) for call in finished} == kept
    assert all(call.result == call.parts[1] for call in finished)
    assert harness.session.flow.flight.window.acknowledged == 1 + len(left)
