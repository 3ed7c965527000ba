"""What clients of other systems like this one got wrong, each as a story: it began well, something was lost, it never ended.

The docstrings say what went wrong there; the story shows that it does not here.
"""

from __future__ import annotations

from ocelog.client.calls import Call, ClientState
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import OutcomeUnknown
from ocelog.client.protocol.events import unpack_handled


def commands(messages):
    return [sent for sent in messages if sent.kind == frames.COMMAND]


def handled(messages):
    return [sent for sent in messages if sent.kind == frames.HANDLED]


def order(harness):
    return [item if isinstance(item, Call) else item.index for item in harness.delivered()]


def test_a_sequence_that_the_new_leader_has_not_heard_of_is_sent_again(harness, kit):
    """The client was stuck: a new leader's count of the session was lower than the client's, and refused all it sent.

    There the count was raised by commands only, which compaction had removed. Here the shard names the sequence it waits for,
    and the client goes back to any it has no answer for.
    """
    calls = [harness.call("put", b"%d" % n, b"v", timeout=60) for n in range(3)]
    harness.pump()
    harness.results(3, kit.NIL, index=120)
    harness.session.leader_changed(9, 1, harness.now)
    sent = commands(harness.sent())
    harness.refuse(sent[-1], errors.GAP, first=2)
    assert commands(harness.sent())[0].first == 2
    harness.results(2, kit.NIL, index=110)
    harness.results(4, kit.NIL, index=130)
    assert harness.finished() == calls


def test_an_event_that_no_longer_exists_is_not_waited_for(harness, kit):
    """The client was stuck: a response waited for an event whose index another replica had known differently.

    Every batch names the real one before it, so one that is overtaken by what comes is known to be none.
    """
    call = harness.call("put", b"a", b"1", timeout=60)
    harness.pump()
    harness.events(0, 110)
    harness.results(2, kit.NIL, index=130, event_index=120)
    harness.events(110, 140, after=2)
    assert order(harness) == [110, call, 140]


def test_answers_of_two_orders_do_not_lose_each_other(harness, kit):
    """The client was stuck: of two responses out of order, the older told of a later event, and its turn never came."""
    calls = [harness.call("put", b"%d" % n, b"v", timeout=60) for n in range(2)]
    harness.pump()
    harness.results(3, kit.NIL, index=140, event_index=120)
    harness.results(2, kit.NIL, index=110, event_index=130)
    harness.events(0, 120, after=3)
    harness.events(120, 130, after=3)
    assert order(harness) == [calls[0], 120, 130, calls[1]]


def test_a_repeated_push_is_not_an_error_that_is_answered_by_all_of_them_again(harness):
    """The shard flooded the client: an old push was answered as an error, and everything was pushed once more."""
    harness.events(0, 110, 120)
    harness.pump()
    for _ in range(50):
        harness.events(0, 110, 120)
    (answer,) = handled(harness.pump())
    assert (unpack_handled(answer.body), answer.header.flags) == ((120, 0), 0)


def test_an_acknowledgement_that_was_lost_is_given_again_though_it_did_not_move(harness):
    """Events were never sent again, since the acknowledgement had not advanced; or sent for ever, since it was lost."""
    harness.events(0, 110)
    harness.done(*harness.delivered())
    assert [unpack_handled(sent.body) for sent in handled(harness.pump())] == [(110, 110)]
    harness.events(110)
    assert [unpack_handled(sent.body) for sent in handled(harness.pump())] == [(110, 110)]
    harness.session.leader_changed(5, 0, harness.now)
    assert [unpack_handled(sent.body) for sent in handled(harness.pump())] == [(110, 110)]


def test_a_result_that_was_lost_is_asked_for_and_not_run_twice(harness, kit):
    """A repeat after a lost response was rejected as a duplicate, and the caller was told that it failed."""
    call = harness.call("put", b"a", b"1", timeout=60)
    (sent,) = harness.pump()
    (again,) = commands(harness.advance(1.5))
    assert (again.first, again.parts) == (sent.first, sent.parts)
    harness.results(2, kit.ok(b"the first result"))
    assert harness.finished() == [call]
    assert call.result == b"the first result"


def test_repeats_do_not_overtake_each_other(harness):
    """Each command retried by a timer of its own, and later ones overtook earlier ones."""
    for n in range(5):
        harness.call("put", b"%d" % n, b"v", timeout=60)
        harness.pump()
    for _ in range(4):
        sequences = [s for sent in commands(harness.advance(5)) for s in sent.sequences]
        for start in range(0, len(sequences), 5):
            assert sequences[start : start + 5] == [2, 3, 4, 5, 6]


def test_a_failed_command_leaves_no_gap_behind_it(harness, kit):
    """A command that failed in the client had been given a sequence, and everything behind the gap waited for it."""
    bad = harness.call("put", object())
    good = harness.call("put", b"a", b"1")
    (sent,) = harness.pump()
    assert sent.first == 2
    harness.results(2, kit.NIL)
    assert harness.finished() == [bad, good]


def test_the_gap_of_a_call_that_gave_up_is_filled_also_when_the_filler_is_lost(harness, kit):
    """The filler of a gap was submitted once; when it was lost the session hung, when the session was over it recursed."""
    call = harness.call("put", b"a", b"1", timeout=0.1)
    harness.pump()
    harness.advance(0.2)
    assert type(call.error) is OutcomeUnknown
    fillers = commands(harness.advance(30))
    assert len(fillers) > 4
    assert all(sent.parts == [b""] for sent in fillers)
    harness.refuse(fillers[-1], errors.UNKNOWN_SESSION)
    harness.sent()
    assert commands(harness.advance(30)) == [], "and a session that is over has no gaps"


def test_closing_ends_the_same_way_when_nobody_answers(kit):
    """A close without a majority hung: the unregister was repeated for ever, and the caller waited for it."""
    harness = kit.Harness().open()
    call = harness.call("put", b"a", b"1", timeout=60)
    harness.pump()
    harness.session.close(harness.now)
    harness.advance(2)
    harness.session.abandon(harness.now)
    assert harness.finished() == [call]
    assert harness.session.closed
    assert harness.advance(600) == []


def test_closing_a_session_that_is_gone_already_is_closing(harness):
    """Closing failed, or was repeated without end, when the session had expired before."""
    harness.session.close(harness.now)
    (unregister,) = harness.sent()
    harness.refuse(unregister, errors.UNKNOWN_SESSION)
    assert harness.session.closed
    assert harness.pump() == harness.advance(600) == []


def test_a_register_whose_answer_was_lost_opens_no_second_session(kit):
    """A first register timed out, and left a session that nobody knew; when it expired it took the live one with it.

    Repeats are under one key, so whatever they open is one session; a later attempt has another key, and the client's name
    is no session.
    """
    harness = kit.Harness()
    harness.session.connected("tcp://somewhere:1", 1, harness.now)
    harness.call("put", b"a", b"1", timeout=600)
    (first,) = harness.pump()
    repeats = harness.advance(20)
    assert len({(sent.request, sent.header.key) for sent in [first, *repeats]}) == 1
    harness.registered(first.request)
    harness.SESSION += 1
    harness.registered(first.request)
    assert harness.session.envelope.session == harness.SESSION - 1


def test_the_end_of_an_older_session_does_not_touch_the_live_one(harness, kit):
    """The removal of an orphan session was taken for that of the client's own."""
    call = harness.call("put", b"a", b"1")
    harness.pump()
    harness.receive(frames.REFUSED, code=errors.UNKNOWN_SESSION, session=harness.SESSION - 5, request=1)
    harness.receive(frames.UNREGISTERED, session=harness.SESSION - 5)
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]


def test_an_expired_session_is_told_as_expired_and_not_as_closed(harness):
    """An expiry that raced with a keep-alive was told to the application as its own close."""
    harness.delivered()
    harness.changes.clear()
    (alive, *_) = harness.advance(10.1)
    harness.receive(frames.KEPT_ALIVE, request=alive.request)
    harness.refuse(alive, errors.UNKNOWN_SESSION)
    harness.delivered()
    assert [change.state for change in harness.changes] == [ClientState.EXPIRED]


def test_answers_and_what_waits_for_them_are_forgotten_when_they_are_delivered(harness, kit):
    """Answers and requests were kept in maps that nothing ever cleaned."""
    for sequence in range(2, 400):
        harness.call("put", b"a", b"1", level=frames.LINEARIZABLE)
        harness.call("get", b"a", query=True, level=frames.SEQUENTIAL)
        command, question = [sent for sent in harness.pump() if sent.kind != frames.HANDLED]
        index = 1000 + 2 * sequence
        harness.answers(question.request, kit.NIL, index=index, event_index=index)
        harness.results(sequence, kit.NIL, index=index - 1, flags=frames.UNSETTLED, event_index=index)
        harness.events(index - 2 if sequence > 2 else 0, index, after=sequence)
        harness.receive(frames.SETTLED, body=(index - 1).to_bytes(8, "little"), count=1)
        harness.done(*[item for item in harness.delivered() if not isinstance(item, Call)])
        assert command.first == sequence
    flow = harness.session.flow
    assert not flow.queue
    assert not flow.flight.window.pending
    assert not flow.flight.queries.count
    assert not list(flow.arrivals.calls())
    assert not list(flow.settling.calls())
    assert len(flow.flight.window._messages) <= 1
    assert flow.events.handled == flow.events.received


def test_a_leader_that_never_answers_is_left_for_whoever_does(harness, kit):
    """A leader that stepped down between append and commit left the request unanswered, and the client lived on a timeout.

    Here the client repeats by itself, and a notice of another leader makes it repeat at once.
    """
    call = harness.call("put", b"a", b"1", timeout=60)
    harness.pump()
    harness.session.leader_changed(4, 2, harness.now)
    (again,) = commands(harness.sent())
    assert again.first == 2
    harness.results(2, kit.NIL)
    assert harness.finished() == [call]


def test_a_query_is_not_lost_with_the_replica_that_was_asked(harness, kit):
    """Queries were never repeated: one that was lost with its server was lost."""
    query = harness.call("get", b"a", query=True, level=frames.SEQUENTIAL, timeout=60)
    (sent,) = harness.pump()
    harness.session.disconnected()
    harness.session.connected("tcp://other:1", 2, harness.now)
    (again,) = [message for message in harness.sent() if message.kind == frames.QUERY]
    assert (again.request, again.body) == (sent.request, sent.body)
    harness.answers(sent.request, kit.NIL, index=150)
    assert harness.finished() == [query]


def test_a_handler_that_waits_for_a_call_is_not_waited_for_by_it(harness, kit):
    """A handler that made a blocking call deadlocked: its result was queued behind the event that was being handled."""
    harness.events(0, 110, 120)
    first, second = harness.delivered()
    call = harness.call("put", b"a", b"1", level=frames.LINEARIZABLE, nested=True)
    harness.pump()
    harness.results(2, kit.NIL, index=130, event_index=120, flags=frames.UNSETTLED)
    assert harness.finished() == [call]
    harness.done(first, second)
    assert harness.session.flow.events.handled == 120
