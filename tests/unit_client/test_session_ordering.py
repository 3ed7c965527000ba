"""The order of delivery: that of the log, for results, events and the answers of queries."""

from __future__ import annotations

from ocelog.client.calls import Call
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import EventsPending, OutcomeUnknown


def put(harness, count=1, **options):
    """Commands, sent in one message each."""
    calls = []
    for n in range(count):
        calls.append(harness.call("put", b"%d" % n, b"v", **options))
        harness.pump()
    return calls


def order(harness):
    """What was delivered: calls as themselves, events as their indexes."""
    return [item if isinstance(item, Call) else item.index for item in harness.delivered()]


def test_a_result_waits_for_the_events_published_before_it_was_made(harness, kit):
    (call,) = put(harness)
    harness.results(2, kit.NIL, index=130, event_index=120)
    assert order(harness) == []
    assert harness.session.flow.flight.window.acknowledged == 2, "but its sequence is finished"
    harness.events(0, 110, 120, after=1)
    assert order(harness) == [110, 120, call]
    assert call.index == 130


def test_a_result_comes_before_the_events_of_its_own_command_and_of_later_ones(harness, kit):
    (call,) = put(harness)
    harness.events(0, 130, 140, after=2)
    assert order(harness) == [], "the command was applied before these were sent"
    harness.results(2, kit.NIL, index=130)
    assert order(harness) == [call, 130, 140]


def test_one_message_of_results_is_merged_with_events_between_them(harness, kit):
    calls = put(harness, 3)
    harness.results(2, kit.NIL, index=110, event_index=125)
    body = frames.pack_results([120, 130], [kit.NIL, kit.NIL])
    harness.receive(frames.RESULTS, body=body, first_sequence=3, count=2, index=131, event_index=125)
    harness.events(0, 115, 125, after=4)
    assert order(harness) == [calls[0], 115, calls[1], 125, calls[2]]


def test_results_of_later_sequences_wait_for_those_of_earlier_ones(harness, kit):
    first, second = put(harness, 2)
    harness.results(3, kit.NIL, index=120)
    assert order(harness) == []
    harness.results(2, kit.NIL, index=110)
    assert order(harness) == [first, second]


def test_nobody_waits_for_the_result_of_a_call_that_gave_up(harness, kit):
    first, second = put(harness, 2)
    harness.events(0, 130, after=3)
    harness.results(3, kit.NIL, index=120)
    assert order(harness) == []
    harness.session.give_up(first, harness.now)
    harness.pump()
    assert order(harness) == [second, 130]


def test_nobody_waits_for_the_result_of_a_call_whose_deadline_passed(harness, kit):
    first = harness.call("put", b"a", b"v", timeout=0.5)
    harness.pump()
    (second,) = put(harness)
    harness.results(3, kit.NIL, index=120)
    harness.advance(0.6)
    assert order(harness) == [first, second]
    assert type(first.error) is OutcomeUnknown


def test_the_answer_to_a_query_waits_for_the_commands_before_it_and_the_events_it_may_have_seen(harness, kit):
    (call,) = put(harness)
    query = harness.call("get", b"a", query=True)
    (question,) = harness.pump()
    harness.answers(question.request, kit.NIL, index=140, event_index=130)
    assert order(harness) == []
    harness.results(2, kit.NIL, index=120)
    assert order(harness) == [call]
    harness.events(0, 130, after=2)
    assert order(harness) == [130, query]
    assert query.index == 140


def test_a_causal_query_does_not_wait_for_the_sessions_own_commands(harness, kit):
    put(harness)
    query = harness.call("get", b"a", query=True, level=frames.CAUSAL)
    (question,) = harness.pump()
    assert question.first == 0
    harness.answers(question.request, kit.NIL, index=140)
    assert order(harness) == [query]


def test_events_do_not_wait_for_handlers_and_results_do_not_either(harness, kit):
    """A handler may make a call and wait for its result: received is enough, nothing waits for handled."""
    harness.events(0, 110)
    (call,) = put(harness)
    harness.events(110, 120, after=1)
    harness.results(2, kit.NIL, index=130, event_index=120)
    assert order(harness) == [110, 120, call]


def test_an_open_between_is_no_result_of_anybody(harness, kit):
    resource = kit.resource("users", "map")
    call = harness.call("put", b"a", b"v", resource=resource)
    harness.pump()
    harness.results(2, kit.ok(31), index=120, event_index=110)
    harness.pump()
    harness.results(3, kit.NIL, index=125, event_index=110)
    harness.events(0, 110, after=3)
    assert order(harness) == [110, call]


def test_a_command_to_run_again_on_its_resource_opened_anew_keeps_its_order(harness, kit):
    calls = put(harness, 2)
    gone = kit.failed(errors.UNKNOWN_RESOURCE)
    harness.results(2, gone, gone, index=120, event_index=110)
    harness.events(0, 110, after=3)
    assert order(harness) == [110]
    harness.pump()
    harness.results(4, kit.ok(44), index=130)
    (again,) = [sent for sent in harness.pump() if sent.kind == frames.COMMAND]
    assert again.operations == [[44, "put", b"0", b"v"], [44, "put", b"1", b"v"]]
    harness.results(5, kit.NIL, kit.NIL, index=140)
    assert order(harness) == calls


def test_a_late_copy_of_what_was_delivered_is_nothing_new(harness, kit):
    (call,) = put(harness)
    harness.results(2, kit.NIL, index=130, event_index=120)
    harness.results(2, kit.NIL, index=130, event_index=120)
    harness.events(0, 120, after=1)
    harness.results(2, kit.NIL, index=130, event_index=140)
    harness.events(0, 120, after=2)
    assert order(harness) == [120, call]


def test_at_its_deadline_a_result_that_waits_for_events_is_told_with_what_is_known(harness, kit):
    call = harness.call("put", b"a", b"v", timeout=1)
    bad = harness.call("nope", timeout=1)
    harness.pump()
    harness.results(2, kit.ok(b"before"), kit.failed(errors.UNKNOWN_OPERATION, "no"), index=130, event_index=120)
    harness.advance(1.1)
    assert order(harness) == [call, bad]
    assert type(call.error) is EventsPending
    assert (call.error.result, call.error.index) == (b"before", 130)
    assert type(bad.error) is errors.UnknownOperation, "the log has its error: nothing else can come"
    harness.events(0, 120, after=3)
    assert order(harness) == [120]


def test_when_the_session_ends_what_has_come_is_told_and_the_order_holds(harness, kit):
    first, second, third = put(harness, 3)
    query = harness.call("get", b"a", query=True)
    (question,) = [sent for sent in harness.pump() if sent.kind == frames.QUERY]
    harness.results(2, kit.ok(b"1"), index=120, event_index=110)
    harness.results(4, kit.ok(b"3"), index=140, event_index=130)
    harness.events(0, 110, after=2)
    harness.answers(question.request, kit.NIL, index=145, event_index=130)
    assert order(harness) == [110, first]
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert order(harness) == [second, third, query]
    assert type(second.error) is errors.SessionExpired
    assert (type(third.error), third.error.result) == (EventsPending, b"3"), "the events before it will not come"
    assert type(query.error) is errors.SessionExpired


def test_events_that_waited_for_a_result_are_delivered_when_the_session_ends(harness, kit):
    (call,) = put(harness)
    harness.events(0, 130, after=2)
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert order(harness) == [call, 130]


def test_a_new_session_begins_afresh(harness, kit):
    put(harness)
    harness.results(2, kit.NIL, index=130, event_index=120)
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    call = harness.call("put", b"a", b"v")
    (register,) = harness.pump()
    harness.SESSION = 300
    harness.registered(register.request)
    harness.pump()
    harness.delivered()
    harness.results(1, kit.NIL, index=310)
    assert order(harness) == [call]


def test_what_is_seen_is_what_was_received_here_and_not_what_others_say_is_applied(harness, kit):
    """A query must not wait for an index that nobody here has seen: a follower may be that far behind."""
    (alive,) = harness.advance(10.1)
    harness.receive(frames.KEPT_ALIVE, request=alive.request, index=900)
    harness.refuse(alive, errors.BUSY)
    put(harness)
    harness.results(2, kit.NIL, index=120)
    assert harness.session.envelope.seen == 120
    harness.call("get", b"a", query=True)
    (question,) = harness.pump()
    harness.answers(question.request, kit.NIL, index=150)
    assert harness.session.envelope.seen == 150
