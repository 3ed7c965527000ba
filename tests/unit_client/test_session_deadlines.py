"""Deadlines, cancellation and what the caller is told: definite or not, with everything that is known."""

from __future__ import annotations

from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import Closed, DeadlineExceeded, OutcomeUnknown, SessionExpired


def test_a_command_never_sent_fails_definitely_and_leaves_no_trace(kit):
    harness = kit.Harness().open(in_flight_max=1)
    sent_call = harness.call("put", b"a", b"1", timeout=60)
    waiting = harness.call("put", b"b", b"1", timeout=0.5)
    harness.pump()
    harness.advance(0.6)
    assert harness.finished() == [waiting]
    assert type(waiting.error) is DeadlineExceeded
    assert waiting.error.definite
    assert "earlier commands are unanswered" in str(waiting.error)
    assert waiting.error.context["attempts"] == 0
    harness.results(2, kit.NIL)
    assert harness.finished() == [sent_call]
    assert harness.pump() == []


def test_a_sent_command_is_of_unknown_outcome_at_once_and_travels_empty_until_it_is_answered(harness, kit):
    call = harness.call("put", b"a", b"1", timeout=0.5)
    later = harness.call("put", b"b", b"2", timeout=600)
    (sent,) = harness.pump()
    harness.advance(0.53)
    assert harness.finished() == [call]
    assert type(call.error) is OutcomeUnknown
    assert not call.error.definite
    repeats = harness.advance(4)
    assert repeats
    for repeat in repeats:
        assert repeat.sequences == range(2, 4)
        assert repeat.parts == [b"", sent.parts[1]]
    harness.call("put", b"c", b"3")
    assert harness.pump()[0].header.acknowledged == 1, "not acknowledged before it is answered"
    harness.results(2, kit.failed(errors.VOIDED), kit.NIL)
    assert harness.finished() == [later], "the one that gave up is not told twice"
    harness.call("put", b"d", b"4")
    assert harness.pump()[0].header.acknowledged == 3


def test_a_session_settles_a_lone_void_however_long_it_takes(harness, kit):
    harness.call("put", b"a", b"1", timeout=0.1)
    harness.pump()
    sent = [message for message in harness.advance(60) if message.kind == frames.COMMAND]
    assert len(sent) >= 10
    assert all(message.parts == [b""] for message in sent)
    harness.results(2, kit.NIL)
    assert [message for message in harness.advance(60) if message.kind == frames.COMMAND] == []


def test_a_query_that_is_late_changed_nothing(harness):
    call = harness.call("get", b"a", query=True, timeout=0.3)
    harness.pump()
    harness.advance(0.4)
    assert harness.finished() == [call]
    assert type(call.error) is DeadlineExceeded
    assert call.error.context["attempts"] == 1
    assert [sent for sent in harness.advance(10) if sent.kind == frames.QUERY] == [], "and is not repeated"


def test_the_error_says_where_how_often_and_how_long(harness):
    call = harness.call("put", b"a", b"1", timeout=4)
    harness.pump()
    harness.advance(5)
    context = call.error.context
    assert context["endpoint"] == "tcp://somewhere:1"
    assert (context["shard"], context["session"], context["sequence"]) == (0, harness.SESSION, 2)
    assert context["attempts"] == 3
    assert 4 <= context["elapsed_seconds"] < 4.1
    for word in ("tcp://somewhere:1", "sequence 2", "attempts 3", "elapsed_seconds"):
        assert word in str(call.error)


def test_deadlines_go_on_without_a_router(kit):
    harness = kit.Harness()
    call = harness.call("put", b"a", b"1", timeout=1)
    assert harness.advance(0.9) == []
    assert harness.finished() == []
    harness.advance(0.2)
    assert harness.finished() == [call]
    assert "no router answers" in str(call.error)


def test_deadlines_of_different_lengths_are_each_kept(harness):
    calls = {seconds: harness.call("put", b"a", b"1", timeout=seconds) for seconds in (3, 0.5, 2, 0.25, 1)}
    harness.pump()
    for seconds in sorted(calls):
        harness.advance(harness.outbox and calls[seconds].deadline - harness.now - 0.01)
        assert harness.finished() == []
        harness.advance(0.05)
        assert harness.finished() == [calls[seconds]]


def test_giving_up_before_sending_removes_and_after_sending_voids(kit):
    harness = kit.Harness().open(in_flight_max=1)
    sent_call, waiting = harness.call("put", b"a", b"1"), harness.call("put", b"b", b"1")
    harness.pump()
    harness.session.give_up(sent_call, harness.now)
    harness.session.give_up(waiting, harness.now)
    (again,) = harness.advance(1.5)
    assert (again.sequences, again.parts) == (range(2, 3), [b""])
    harness.results(2, kit.NIL)
    assert harness.pump() == []
    assert harness.finished() == [], "nobody waits: nobody is told"


def test_giving_up_a_call_that_is_answered_already_does_nothing(harness, kit):
    call = harness.call("put", b"a", b"1")
    harness.pump()
    harness.results(2, kit.NIL)
    harness.session.give_up(call, harness.now)
    assert harness.finished() == [call]
    assert call.error is None


def test_a_giving_up_that_overtakes_its_call_is_heeded(harness):
    call = harness.call("put", b"a", b"1")
    harness.session.give_up(call, harness.now)
    assert harness.pump() == []


def test_many_calls_that_give_up_in_a_stuck_queue_are_not_kept(kit):
    harness = kit.Harness()
    for _ in range(50):
        for _ in range(100):
            harness.call("put", b"a", b"1", timeout=0.2)
        harness.advance(0.1)
    assert len(harness.session.flow.queue) <= 400


def test_an_expired_session_fails_what_was_in_flight_and_the_rest_goes_on_under_the_next(kit):
    harness = kit.Harness().open(in_flight_max=2)
    sent_calls = [harness.call("put", b"%d" % n, b"v") for n in range(2)]
    waiting = harness.call("put", b"9", b"v")
    query = harness.call("get", b"0", query=True)
    harness.pump()
    assert query.attempts == 0, "the query waits behind the command that waits"
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, request=99)
    assert harness.finished() == sent_calls
    assert all(type(call.error) is SessionExpired and not call.error.definite for call in sent_calls)
    assert sent_calls[0].error.context["session"] == harness.SESSION
    (register,) = harness.pump()
    assert register.kind == frames.REGISTER
    assert {sent.kind for sent in harness.advance(3)} == {frames.REGISTER}, "nothing is repeated without a session"
    harness.SESSION = 78
    harness.registered(register.request)
    command, question = harness.pump()
    assert (command.first, command.operations) == (1, [[5, "put", b"9", b"v"]]), "sequences begin again"
    assert question.operations == [[5, "get", b"0"]]
    harness.results(1, kit.NIL)
    assert harness.finished() == [waiting]


def test_a_query_in_flight_fails_with_its_session(harness):
    query = harness.call("get", b"0", query=True)
    (sent,) = harness.pump()
    harness.refuse(sent, errors.UNKNOWN_SESSION, text="gone")
    assert harness.finished() == [query]
    assert type(query.error) is SessionExpired


def test_an_open_in_flight_when_the_session_ends_is_made_again(kit):
    harness = kit.Harness().open()
    resource = kit.resource("users", "map")
    call = harness.call("put", b"a", b"1", resource=resource)
    (opening,) = harness.pump()
    harness.refuse(opening, errors.UNKNOWN_SESSION)
    assert harness.finished() == [], "the put was never sent"
    (register,) = harness.pump()
    harness.SESSION = 90
    harness.registered(register.request)
    (opening,) = harness.pump()
    assert opening.operations == [[0, "open", "users", "map"]]
    harness.results(1, kit.ok(31))
    harness.pump()
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]
    assert call.error is None


def test_replies_to_an_ended_session_are_ignored(harness, kit):
    harness.call("put", b"a", b"1")
    harness.refuse(harness.pump()[0], errors.UNKNOWN_SESSION)
    harness.finished()
    call = harness.call("put", b"b", b"1")
    (register,) = harness.pump()
    old, harness.SESSION = harness.SESSION, 78
    harness.registered(register.request)
    harness.pump()
    body = frames.pack_results([1], [kit.ok(b"of the old session")])
    harness.receive(frames.RESULTS, body=body, first_sequence=1, count=1, session=old)
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, session=old)
    assert harness.finished() == []
    harness.results(1, kit.ok(b"mine"))
    assert (harness.finished(), call.result) == ([call], b"mine")


def test_closing_fails_what_never_left_and_unregisters_behind_what_did(kit):
    harness = kit.Harness().open(in_flight_max=1)
    sent_call, waiting = harness.call("put", b"a", b"1"), harness.call("put", b"b", b"1")
    harness.pump()
    harness.session.close(harness.now)
    assert harness.finished() == [waiting]
    assert type(waiting.error) is Closed
    (unregister,) = harness.sent()
    assert (unregister.kind, unregister.first) == (frames.UNREGISTER, 3)
    harness.refuse(unregister, errors.GAP, first=2)
    command, unregister = harness.sent()
    assert (command.kind, command.first, unregister.kind, unregister.first) == (5, 2, 4, 3)
    harness.results(2, kit.NIL)
    assert harness.finished() == [sent_call]
    assert not harness.session.closed
    harness.receive(frames.UNREGISTERED, request=unregister.request)
    assert harness.session.closed
    assert harness.advance(60) == []


def test_an_unregister_is_repeated_like_a_command(harness):
    harness.session.close(harness.now)
    (unregister,) = harness.sent()
    harness.refuse(unregister, errors.NOT_LEADER)
    harness.session.leader_changed(4, 1, harness.now)
    again = [sent for sent in harness.sent() if sent.kind == frames.UNREGISTER]
    assert [sent.first for sent in again] == [2]


def test_abandoning_tells_everybody(harness):
    command, query = harness.call("put", b"a", b"1"), harness.call("get", b"a", query=True)
    harness.pump()
    late = harness.call("put", b"b", b"1")
    harness.session.abandon(harness.now)
    assert set(harness.finished()) == {command, query, late}
    assert type(command.error) is OutcomeUnknown
    assert type(query.error) is Closed
    assert type(late.error) is Closed
    assert harness.session.closed


def test_closing_a_session_that_was_never_opened_ends_it_at_once(kit):
    harness = kit.Harness()
    harness.session.close(harness.now)
    assert harness.session.closed


def test_nothing_follows_an_unregister(harness, kit):
    call = harness.call("put", b"a", b"1")
    harness.pump()
    harness.session.close(harness.now)
    harness.sent()
    harness.results(2, kit.failed(errors.UNKNOWN_RESOURCE))
    assert harness.pump() == []
    harness.session.abandon(harness.now)
    assert harness.finished() == [call]
    assert type(call.error) is Closed
