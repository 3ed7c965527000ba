"""Sequences, repeats and refusals of commands: one test per rule of the protocol."""

from __future__ import annotations

import pytest
from ocelog.client.calls import Resource
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import BadArgument, OutcomeUnknown, Refused


def test_commands_of_one_turn_travel_as_one_message_in_order(harness):
    calls = [harness.call("put", b"k%d" % n, b"v") for n in range(5)]
    (sent,) = harness.pump()
    assert sent.kind == frames.COMMAND
    assert sent.sequences == range(2, 7)
    assert sent.operations == [[5, "put", b"k%d" % n, b"v"] for n in range(5)]
    assert [call.sequence for call in calls] == [2, 3, 4, 5, 6]


def test_messages_are_pipelined_and_acknowledge_what_was_answered(harness, kit):
    harness.call("put", b"a", b"1")
    first = harness.pump()[0]
    harness.call("put", b"b", b"2")
    second = harness.pump()[0]
    assert (first.first, second.first) == (2, 3)
    assert second.header.acknowledged == 1
    harness.results(2, kit.NIL, kit.NIL)
    harness.call("put", b"c", b"3")
    assert harness.pump()[0].header.acknowledged == 3


def test_the_acknowledgement_stops_before_a_hole(harness, kit):
    for n in range(3):
        harness.call("put", b"%d" % n, b"v")
    harness.pump()
    harness.results(3, kit.NIL, kit.NIL)
    harness.call("put", b"x", b"v")
    assert harness.pump()[0].header.acknowledged == 1
    harness.results(2, kit.NIL)
    harness.call("put", b"y", b"v")
    assert harness.pump()[0].header.acknowledged == 4


def test_results_are_about_sequences_not_about_messages(harness, kit):
    calls = [harness.call("put", b"%d" % n, b"v") for n in range(4)]
    harness.pump()
    harness.results(2, kit.ok(b"p0"))
    harness.results(2, kit.ok(b"late copy"), kit.ok(b"p1"), kit.ok(b"p2"))
    harness.results(5, kit.ok(b"p3"))
    harness.results(5, kit.ok(b"again"))
    assert harness.finished() == calls
    assert [call.result for call in calls] == [b"p0", b"p1", b"p2", b"p3"]


def test_an_error_in_the_log_is_the_result_of_its_own_call_only(harness, kit):
    good, bad = harness.call("put", b"a", b"1"), harness.call("nope")
    harness.pump()
    harness.results(2, kit.NIL, kit.failed(errors.UNKNOWN_OPERATION, "no operation 'nope'"))
    assert harness.finished() == [good, bad]
    assert good.error is None
    assert isinstance(bad.error, errors.UnknownOperation)
    assert bad.error.definite
    assert bad.error.context["sequence"] == 3


def test_an_unanswered_command_is_repeated_after_a_second_doubling_to_five(harness):
    harness.call("put", b"a", b"1", timeout=60)
    first = harness.pump()[0]
    moments = []
    started = harness.now
    for _ in range(600):
        for sent in harness.advance(0.05):
            if sent.kind == frames.COMMAND:
                assert (sent.first, sent.body) == (first.first, first.body)
                moments.append(harness.now - started)
    pauses = [b - a for a, b in zip([0.0, *moments], moments, strict=False)]
    for pause, expected in zip(pauses, [1, 2, 4, 5, 5], strict=False):
        assert 0.7 * expected <= pause <= 1.3 * expected + 0.1, pauses
    assert len(pauses) >= 5


def test_progress_starts_patience_again(harness, kit):
    for n in range(40):
        harness.call("put", b"%d" % n, b"v")
        harness.pump()
    for n in range(40):
        assert harness.advance(0.2) == [], "answers come: nothing is to be repeated"
        harness.results(2 + n, kit.NIL)


def test_a_hole_is_repeated_although_later_answers_keep_coming(harness, kit):
    harness.call("put", b"lost", b"v")
    harness.pump()
    repeated = []
    for n in range(20):
        harness.call("put", b"%d" % n, b"v")
        harness.pump()
        harness.results(3 + n, kit.NIL)
        repeated += [sent.sequences for sent in harness.advance(0.1)]
    assert repeated == [range(2, 3)]


@pytest.mark.parametrize("code", [errors.NOT_LEADER, errors.NO_LEADER, errors.NOT_SENT])
def test_without_a_leader_the_same_bytes_leave_again_after_a_pause_from_20_ms_doubling_to_500(harness, code):
    harness.call("put", b"a", b"1")
    first = sent = harness.pump()[0]
    pauses = []
    for _ in range(8):
        harness.refuse(sent, code)
        before = harness.now
        while not (again := harness.advance(0.005)):
            assert harness.now - before < 1, pauses
        (sent,) = again
        assert (sent.first, sent.body) == (first.first, first.body)
        pauses.append(harness.now - before)
    assert pauses[0] <= 0.04
    for pause, expected in zip(pauses, [0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5], strict=True):
        assert 0.7 * expected <= pause <= 1.3 * expected + 0.005, pauses


def test_while_a_refusal_is_waited_out_nothing_new_is_sent(harness):
    harness.call("put", b"a", b"1")
    harness.refuse(harness.pump()[0], errors.NO_LEADER)
    harness.call("put", b"b", b"2")
    assert harness.pump() == []
    sent = harness.advance(0.1)
    assert [list(message.sequences) for message in sent] == [[2], [3]], "first the repeat, then the new one"


def test_a_leader_notice_ends_the_pause_at_once(harness):
    harness.call("put", b"a", b"1")
    first = harness.pump()[0]
    harness.refuse(first, errors.NOT_LEADER)
    harness.session.leader_changed(3, 1, harness.now)
    assert [sent.body for sent in harness.sent() if sent.kind == frames.COMMAND] == [first.body]


def test_a_higher_term_repeats_everything_unanswered_in_sequence_order(harness):
    for n in range(3):
        harness.call("put", b"%d" % n, b"v")
        harness.pump()
    harness.session.leader_changed(5, 2, harness.now)
    commands = [sent for sent in harness.sent() if sent.kind == frames.COMMAND]
    assert [sequence for sent in commands for sequence in sent.sequences] == [2, 3, 4]
    harness.session.leader_changed(5, 2, harness.now)
    harness.session.leader_changed(4, 1, harness.now)
    harness.session.leader_changed(6, frames.NO_LEADER_KNOWN, harness.now)
    assert harness.sent() == [], "nothing new was said"


def test_a_leader_that_is_back_in_the_same_term_ends_the_pause_too(harness):
    harness.session.leader_changed(5, 2, harness.now)
    harness.sent()
    harness.call("put", b"a", b"1")
    harness.refuse(harness.pump()[0], errors.NO_LEADER)
    harness.session.leader_changed(5, 2, harness.now)
    assert [sent.first for sent in harness.sent() if sent.kind == frames.COMMAND] == [2]


def test_a_refusal_of_a_message_that_was_repeated_since_is_old_news(harness, kit):
    call = harness.call("put", b"a", b"1")
    old = harness.pump()[0]
    harness.session.leader_changed(5, 2, harness.now)
    harness.sent()
    harness.refuse(old, errors.NOT_LEADER)
    harness.call("put", b"b", b"2")
    assert [list(sent.sequences) for sent in harness.pump()] == [[3]], "not held back"
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]


@pytest.mark.parametrize("code", [errors.BUSY, errors.NO_SPACE])
def test_busy_and_no_space_are_repeated_after_the_time_they_name(harness, kit, code):
    for n in range(4):
        harness.call("put", b"%d" % n, b"v")
    sent = harness.pump()[0]
    harness.refuse(sent, code, first=4, after=300)
    harness.results(2, kit.NIL, kit.NIL)
    assert harness.advance(0.29) == []
    (again,) = harness.advance(0.15)
    assert again.sequences == range(4, 6), "those before were taken"
    assert again.parts == sent.parts[2:]


def test_a_gap_is_answered_by_everything_from_there_in_order(harness):
    for n in range(4):
        harness.call("put", b"%d" % n, b"v")
        last = harness.pump()[0]
    harness.refuse(last, errors.GAP, first=3)
    assert [sequence for sent in harness.sent() for sequence in sent.sequences] == [3, 4, 5]


def test_the_same_gap_told_by_every_message_behind_it_is_answered_once(harness):
    messages = []
    for n in range(10):
        harness.call("put", b"%d" % n, b"v")
        messages += harness.pump()
    for message in messages[1:]:
        harness.refuse(message, errors.GAP, first=2)
    (again,) = harness.sent()
    assert again.sequences == range(2, 12)
    harness.now += 0.2
    harness.refuse(again, errors.GAP, first=2)
    assert [sent.first for sent in harness.sent()] == [2], "but a gap that lasts is answered again"


def test_a_late_gap_below_what_is_answered_is_ignored(harness, kit):
    harness.call("put", b"a", b"1")
    harness.call("put", b"b", b"1")
    sent = harness.pump()[0]
    harness.results(2, kit.NIL)
    harness.refuse(sent, errors.GAP, first=2)
    assert harness.sent() == []


def test_a_gap_does_not_cut_short_the_pause_of_a_refusal(harness):
    messages = []
    for n in range(3):
        harness.call("put", b"%d" % n, b"v")
        messages += harness.pump()
    harness.refuse(messages[0], errors.BUSY, after=200)
    harness.refuse(messages[1], errors.GAP, first=2)
    harness.refuse(messages[2], errors.GAP, first=2)
    assert harness.advance(0.19) == []
    assert [sequence for sent in harness.advance(0.1) for sequence in sent.sequences] == [2, 3, 4]


@pytest.mark.parametrize("code", [errors.BAD_MESSAGE, errors.TOO_LARGE, errors.WRONG_SHARD])
def test_a_message_refused_for_good_fails_its_calls_and_spends_their_sequences_empty(harness, kit, code):
    calls = [harness.call("put", b"%d" % n, b"v") for n in range(2)]
    harness.refuse(harness.pump()[0], code, text="the reason")
    assert harness.finished() == calls
    assert all(isinstance(call.error, Refused) and call.error.code == code for call in calls)
    assert "the reason" in str(calls[0].error)
    (again,) = harness.sent()
    assert (again.sequences, again.operations) == (range(2, 4), [None, None])
    harness.results(2, kit.failed(errors.VOIDED), kit.failed(errors.VOIDED))
    assert harness.finished() == []
    assert harness.session.flow.flight.window.acknowledged == 3


def test_a_repeat_refused_for_good_is_of_unknown_outcome(harness):
    call = harness.call("put", b"a", b"v")
    harness.pump()
    (again,) = harness.advance(1.5)
    harness.refuse(again, errors.WRONG_SHARD)
    assert harness.finished() == [call]
    assert type(call.error) is OutcomeUnknown
    assert "WRONG_SHARD" in str(call.error)


def test_a_shard_that_refuses_even_voids_ends_the_session(harness):
    harness.call("put", b"a", b"v")
    harness.refuse(harness.pump()[0], errors.BAD_MESSAGE)
    harness.refuse(harness.sent()[0], errors.BAD_MESSAGE)
    harness.call("put", b"b", b"v")
    assert [sent.kind for sent in harness.pump()] == [frames.REGISTER]


def test_at_most_in_flight_max_are_unanswered_and_the_rest_waits_in_order(kit):
    harness = kit.Harness().open(in_flight_max=3)
    calls = [harness.call("put", b"%d" % n, b"v") for n in range(5)]
    assert [list(sent.sequences) for sent in harness.pump()] == [[2, 3, 4]]
    assert calls[3].sequence == 0, "a sequence is given when the command is sent"
    harness.results(2, kit.NIL)
    assert [list(sent.sequences) for sent in harness.pump()] == [[5]]
    harness.results(3, kit.NIL, kit.NIL, kit.NIL)
    assert [list(sent.sequences) for sent in harness.pump()] == [[6]]


def test_messages_stay_within_the_limits_also_when_repeated(kit):
    harness = kit.Harness().open(operations_max=4, message_bytes_max=500, operation_bytes_max=400)
    for n in range(6):
        harness.call("put", b"%d" % n, b"v")
    for n in range(3):
        harness.call("put", b"%d" % n, b"v" * 200)
    sent = harness.pump()
    assert [list(message.sequences) for message in sent] == [[2, 3, 4, 5], [6, 7, 8], [9], [10]]
    assert all(len(message.body) + frames.REQUEST_BYTES <= 500 for message in sent)
    harness.session.leader_changed(2, 0, harness.now)
    again = [message for message in harness.sent() if message.kind == frames.COMMAND]
    assert [(message.first, message.body) for message in again] == [(m.first, m.body) for m in sent]


def test_an_operation_too_large_fails_before_it_gets_a_sequence(kit):
    harness = kit.Harness().open(operation_bytes_max=100)
    large, small = harness.call("put", b"a", b"v" * 100), harness.call("put", b"b", b"v")
    (sent,) = harness.pump()
    assert sent.operations == [[5, "put", b"b", b"v"]]
    assert small.sequence == 2
    assert harness.finished() == [large]
    assert large.error.code == errors.TOO_LARGE
    assert "100" in str(large.error)


def test_arguments_that_have_no_encoding_fail_their_own_call(harness):
    bad, good = harness.call("put", object()), harness.call("put", b"a", b"b")
    harness.pump()
    assert harness.finished() == [bad]
    assert isinstance(bad.error, errors.BadArgument)
    assert good.sequence == 2


def test_an_argument_that_changes_while_it_is_encoded_fails_its_own_call(harness):
    """It belongs to another thread, which may do with it what it likes; the client lives on."""

    class Changing(dict):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

    bad, good = harness.call("put", b"a", Changing(a=1)), harness.call("put", b"b", b"v")
    (sent,) = harness.pump()
    assert sent.operations == [[5, "put", b"b", b"v"]]
    assert harness.finished() == [bad]
    assert type(bad.error) is BadArgument
    assert not good.done


@pytest.mark.parametrize("type_name", ["\ud800", "t" * (1 << 20)], ids=["no UTF-8", "too large"])
def test_a_resource_that_cannot_be_opened_fails_its_calls_and_holds_up_no_others(kit, type_name):
    harness = kit.Harness().open()
    odd = Resource("odd", type_name, 0)
    bad, worse = harness.call("get", query=True, resource=odd), harness.call("put", resource=odd)
    good = harness.call("put", b"b", b"v")
    (sent,) = harness.pump()
    assert sent.operations == [[5, "put", b"b", b"v"]]
    assert harness.finished() == [bad, worse]
    assert all(isinstance(call.error, BadArgument | Refused) for call in (bad, worse))
    assert not good.done
    again = harness.call("get", query=True, resource=odd)
    harness.pump()
    assert harness.finished() == [again], "at once, each time"


def test_a_result_nobody_can_read_fails_its_call_and_not_its_neighbours(harness, kit):
    first, second = harness.call("put", b"a", b"1"), harness.call("put", b"b", b"1")
    harness.pump()
    harness.results(2, b"\x00\xc1", kit.NIL)
    assert harness.finished() == [first, second]
    assert isinstance(first.error, OutcomeUnknown)
    assert second.error is None


def test_a_malformed_body_changes_nothing(harness, kit):
    call = harness.call("put", b"a", b"1")
    harness.pump()
    with pytest.raises(frames.BadFrame):
        harness.receive(frames.RESULTS, body=b"\x01", first_sequence=2, count=1)
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]


def test_a_new_connection_repeats_everything_under_its_higher_number(harness):
    harness.call("put", b"a", b"1")
    first = harness.pump()[0]
    harness.session.disconnected()
    harness.call("put", b"b", b"1")
    assert harness.pump() == []
    assert harness.advance(3) == [], "nothing is repeated into nowhere"
    harness.session.connected("tcp://elsewhere:1", 2, harness.now)
    again, alive = harness.sent()
    assert (again.first, again.body, again.header.connection) == (2, first.body, 2)
    assert (alive.kind, alive.header.connection) == (frames.KEEP_ALIVE, 2)
    assert [list(sent.sequences) for sent in harness.pump()] == [[3]]


def test_headers_carry_what_was_seen_and_what_is_left(harness, kit):
    harness.call("put", b"a", b"1", timeout=7.5)
    harness.call("put", b"b", b"1", timeout=2.5)
    (sent,) = harness.pump()
    assert sent.header.milliseconds_left == 2500
    assert sent.header.seen == 100, "the index of the first result"
    assert sent.header.session == harness.SESSION


def test_opens_go_ahead_of_all_that_waits_and_in_one_message(harness, kit):
    users, hits = Resource("users", "map", 0), Resource("hits", "counter", 0)
    calls = [
        harness.call("put", b"a", b"1", resource=users),
        harness.call("put", b"b", b"2", resource=users),
        harness.call("add", 1, resource=hits),
    ]
    (opens,) = harness.pump()
    assert sorted(operation[2:] for operation in opens.operations) == [["hits", "counter"], ["users", "map"]]
    harness.results(2, *[kit.ok({"users": 31, "hits": 32}[operation[2]]) for operation in opens.operations])
    (sent,) = harness.pump()
    assert sent.operations == [[31, "put", b"a", b"1"], [31, "put", b"b", b"2"], [32, "add", 1]]
    assert [call.sequence for call in calls] == [4, 5, 6]


def test_a_resource_of_another_type_fails_its_calls_and_lets_the_others_pass(harness, kit):
    users = Resource("users", "counter", 0)
    wrong = [harness.call("get", resource=users, query=True), harness.call("add", 1, resource=users)]
    right = harness.call("put", b"a", b"1")
    harness.pump()
    harness.results(2, kit.failed(errors.WRONG_TYPE, "'users' is a map, not a counter"))
    assert harness.finished() == wrong
    assert all(isinstance(call.error, errors.WrongType) for call in wrong)
    assert [sent.operations for sent in harness.pump()] == [[[5, "put", b"a", b"1"]]]
    assert right.sequence == 3


def test_an_unknown_resource_is_opened_again_and_its_operations_run_once_more_in_order(harness, kit):
    calls = [harness.call("put", b"%d" % n, b"v") for n in range(2)]
    harness.pump()
    gone = kit.failed(errors.UNKNOWN_RESOURCE)
    harness.results(2, gone, gone)
    (opening,) = harness.pump()
    assert opening.operations == [[0, "open", "numbers", "map"]]
    harness.results(4, kit.ok(44))
    (again,) = harness.pump()
    assert again.operations == [[44, "put", b"0", b"v"], [44, "put", b"1", b"v"]]
    assert again.sequences == range(5, 7)
    harness.results(5, kit.NIL, gone)
    assert harness.finished() == calls
    assert calls[0].error is None
    assert calls[1].error.code == errors.UNKNOWN_RESOURCE, "once, not for ever"


def test_an_open_that_has_no_room_yet_stays_in_front_of_what_is_refused_meanwhile(kit):
    """Behind what waits for it, it would never leave, and everything that is called later would hang."""
    harness = kit.Harness().open(in_flight_max=2)
    other = kit.resource("hits", "counter")
    other.index = 6
    adds = [harness.call("add", n, resource=other) for n in range(2)]
    questions: list = []
    gets = []
    for _ in range(2):
        gets.append(harness.call("get", b"k", query=True, level=frames.CAUSAL, selection=frames.TO_LEADER))
        questions += [sent for sent in harness.pump() if sent.kind == frames.QUERY]
    assert len(questions) == 2
    for question in questions:
        harness.answers(question.request, kit.failed(errors.UNKNOWN_RESOURCE), index=200)
        assert harness.pump() == [], "the window is full"
    harness.results(2, kit.NIL, kit.NIL, index=198)
    (opening,) = harness.pump()
    assert opening.operations == [[0, "open", "numbers", "map"]]
    harness.results(4, kit.ok(44), index=201)
    (again,) = harness.pump()
    assert again.operations == [[44, "get", b"k"]] * 2
    harness.answers(again.request, kit.ok(b"v"), kit.ok(b"v"), index=201)
    assert sorted(harness.finished(), key=id) == sorted([*adds, *gets], key=id)
