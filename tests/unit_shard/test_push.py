"""Events on their way to clients: pushed in order, repeated, acknowledged, folded into the log, settled, expired."""

from __future__ import annotations

import itertools

import msgpack
import pytest
from ocelog.client.protocol import errors, events, frames
from ocelog.client.protocol.events import Route
from ocelog.client.protocol.frames import REQUEST, Item
from ocelog.client.protocol.limits import Limits
from ocelog.log.entry import HEADER, KEEP_ALIVE, UNREGISTER
from ocelog.shard import push
from ocelog.shard.outbox import Origin

from .hall import WRITER, Hall, pushed, settled

TICK_MS = 50


@pytest.fixture
def hall(kit):
    """One listener."""
    return Hall(kit)


# -- the thin path -------------------------------------------------------------------------------------


def test_an_event_is_pushed_in_the_turn_that_applies_it(hall):
    """To the route of the session, with the index of its batch before, after the command's own result."""
    answers = hall.say()
    index = len(hall.desk.log)
    assert [answer.kind for answer in answers] == [frames.RESULTS, frames.EVENTS]
    assert pushed(answers) == [(10, 0, [index])]
    assert answers[1].reply.event_index == index
    _, (payload,) = frames.unpack_results(answers[1].body, 1)
    assert events.unpack_batch(payload) == [events.Event(hall.speaker, "said", b"\0")]


def test_what_is_handled_is_folded_into_the_log(hall):
    """Once a second, with the acknowledgements of results; then no replica keeps the batch."""
    index = hall.said()
    hall.handled(index, index)
    assert hall.session().events
    hall.desk.ticks(20)
    assert not hall.session().events
    assert hall.session().handled == index
    assert hall.desk.kinds().count(KEEP_ALIVE) == 1


def test_a_command_is_settled_when_its_event_is_handled(hall):
    """The result says UNSETTLED, and SETTLE is answered when the listener has handled the event."""
    (result, _) = hall.say()
    index = len(hall.desk.log)
    assert result.reply.flags == frames.UNSETTLED
    assert settled(hall.settle(index)) == []
    assert settled(hall.handled(index, 0)) == []
    assert settled(hall.handled(index, index)) == [index]


# -- what is sent, and when ----------------------------------------------------------------------------


def test_events_come_in_the_order_of_the_log_and_name_the_batch_before(hall):
    """So a client sees every event once, in order, without gaps."""
    first, second = hall.said(), hall.said()
    answers = hall.say(times=3)
    third = len(hall.desk.log)
    assert pushed(answers) == [(10, second, [third])]
    assert second > first
    (event,) = [answer for answer in answers if answer.kind == frames.EVENTS]
    _, (payload,) = frames.unpack_results(event.body, 1)
    assert len(events.unpack_batch(payload)) == 3


def test_all_of_a_turn_goes_in_one_message(hall):
    """Batches of several indexes, one header."""
    for _ in range(3):
        hall.say(turn=False)
    answers = hall.desk.turn()
    last = len(hall.desk.log)
    assert pushed(answers) == [(10, 0, [last - 2, last - 1, last])]


def test_a_push_says_which_results_come_before_its_events(hall):
    """`first_sequence` is the session's last: the client delivers those results first."""
    hall.desk.commands(
        hall.listener,
        1,
        hall.kit.operation(hall.speaker, "say", [hall.listener]),
        key=hall.keys[hall.listener],
        route=10,
    )
    results, event = hall.desk.turn()
    assert (results.kind, event.kind) == (frames.RESULTS, frames.EVENTS)
    assert event.reply.first_sequence == 1
    assert results.reply.event_index == event.reply.event_index == len(hall.desk.log)


def test_every_reply_names_the_last_event(hall):
    """A lost last push is noticed; also when it was handled long ago."""
    index = hall.said()
    hall.handled(index, index)
    hall.desk.ticks(40)
    key = hall.keys[hall.listener]
    fields = {"session": hall.listener, "key": key, "route": 10}
    hall.desk.send(frames.KEEP_ALIVE, **fields)
    hall.desk.send(frames.QUERY, frames.pack_parts([b"x"]), count=1, **fields)
    hall.desk.send(frames.QUERY, b"", count=1, **fields)
    hall.desk.send(frames.COMMAND, frames.pack_parts([b""]), first_sequence=1, count=1, **fields)
    hall.desk.send(frames.COMMAND, frames.pack_parts([b""]), first_sequence=7, count=1, **fields)
    hall.desk.send(frames.SETTLE, events.pack_indexes([index]), count=1, **fields)
    hall.desk.send(frames.HANDLED, b"x", **fields)
    hall.desk.send(frames.REGISTER, hall.kit.registering(), key=key)
    answers = hall.desk.turn()
    hall.desk.send(frames.UNREGISTER, first_sequence=2, **fields)
    answers += hall.desk.turn()
    assert {answer.kind for answer in answers} == {
        *(frames.KEPT_ALIVE, frames.ANSWERS, frames.RESULTS, frames.SETTLED, frames.REFUSED),
        *(frames.REGISTERED, frames.UNREGISTERED),
    }
    unnamed = [answer for answer in answers if answer.reply.event_index != index]
    assert [answer.code for answer in unnamed] == [errors.UNKNOWN_SESSION]  # what lay behind the end of the session


def test_a_wrong_key_learns_nothing_of_events(hall):
    """Nor does it move them anywhere."""
    hall.said()
    hall.desk.send(frames.HANDLED, events.pack_handled(99, 99), session=hall.listener, key=b"w" * 16, connection=9)
    (answer,) = hall.desk.turn()
    assert (answer.code, answer.reply.event_index) == (errors.UNKNOWN_SESSION, 0)
    assert pushed(hall.say())[0][0] == 10


def test_a_session_without_events_costs_nothing(hall):
    """No reader is made for it, and nothing is looked at in a tick."""
    hall.say([])
    assert not hall.pushes._readers
    hall.alive(10)
    assert not hall.pushes._timers._due


def test_a_fan_out_shares_the_bytes(kit):
    """One command to many sessions: one payload and one body."""
    hall = Hall(kit, listeners=50)
    bodies = []
    original = hall.pushes._push

    def noting(reader, origin, previous, count, body):
        bodies.append(body)
        original(reader, origin, previous, count, body)

    hall.pushes._push = noting
    answers = hall.say(size=1000)
    assert len(pushed(answers)) == 50
    assert len({id(body) for body in bodies}) == 1


def test_events_to_a_session_that_has_ended_stop_nobody(kit):
    """E12: others get theirs."""
    hall = Hall(kit, listeners=2)
    gone, here = hall.listeners
    hall.desk.unregister(gone, 1, key=hall.keys[gone])
    assert pushed(hall.say([gone, here, 12345])) == [(11, 0, [len(hall.desk.log)])]


def test_an_end_in_the_same_turn_leaves_nothing_behind(kit):
    """What was published to a session and not sent before it ended is sent to nobody, and waited for by nobody."""
    hall = Hall(kit)
    hall.say(turn=False)
    hall.desk.unregister(hall.listener, 1, key=hall.keys[hall.listener])
    answers = hall.desk.turn()
    assert pushed(answers) == []
    assert not hall.pushes._readers
    assert not hall.desk.leadership.settling.pending
    (results,) = [answer for answer in answers if answer.kind == frames.RESULTS]
    assert results.reply.flags == 0


# -- credit --------------------------------------------------------------------------------------------


def test_at_most_a_credit_of_bytes_is_under_way(hall):
    """What the client has received makes room for more."""
    hall.pushes.credit = 2500
    first = hall.said(size=1000)
    second = hall.said(size=1000)
    assert pushed(hall.say(size=1000)) == []
    third = len(hall.desk.log)
    assert pushed(hall.handled(first, 0)) == [(10, second, [third])]


def test_a_batch_larger_than_the_credit_goes_alone(hall):
    """It must not wait for ever."""
    hall.pushes.credit = 500
    assert len(pushed(hall.say(size=1000))) == 1
    first = len(hall.desk.log)
    assert pushed(hall.say(size=1000)) == []
    assert pushed(hall.handled(first, 0)) == [(10, first, [first + 1])]


def test_bytes_under_way_are_counted_right(hall):
    """Whatever is received, handled, repeated or asked for again: nothing under way is nothing."""
    indexes = [hall.said(size=100) for _ in range(6)]
    hall.handled(indexes[2], indexes[1])
    hall.desk.ticks(40)
    hall.handled(indexes[3], indexes[3], **{"flags": frames.AGAIN})
    hall.handled(indexes[5], indexes[3])
    (reader,) = hall.pushes._readers.values()
    assert (reader.under_way, reader.events, len(reader.batches)) == (0, 2, 2)
    hall.handled(indexes[5], indexes[5])
    assert (reader.under_way, reader.events, reader.size, reader.received, reader.sent) == (0, 0, 0, 0, 0)


def test_a_message_of_events_is_bounded(hall, monkeypatch):
    """In bytes, so that one session's events are not one enormous frame."""
    monkeypatch.setattr("ocelog.shard.reader.MESSAGE_BYTES_MAX", 250)
    for _ in range(5):
        hall.say(size=100, turn=False)
    assert [len(indexes) for _, _, indexes in pushed(hall.desk.turn())] == [2, 2, 1]


def test_what_does_not_fit_into_a_turn_leaves_in_the_next(kit, monkeypatch):
    """A turn's answers are bounded; nothing is lost by it."""
    hall = Hall(kit, listeners=5)
    monkeypatch.setattr("ocelog.shard.outbox.TURN_BYTES_MAX", 2500)
    first = pushed(hall.say(size=1000))
    assert 0 < len(first) < 5
    assert hall.desk.leadership.has_work()
    rest = pushed(hall.desk.turn()) + pushed(hall.desk.turn())
    assert sorted(route for route, _, _ in first + rest) == [10, 11, 12, 13, 14]
    assert not hall.desk.leadership.has_work()


# -- repeating -----------------------------------------------------------------------------------------


def ticks_of_pushes(hall, ticks):
    """In which of so many ticks something was pushed, and what."""
    found = []
    for tick in range(1, ticks + 1):
        found += [(tick, indexes) for _, _, indexes in pushed(hall.alive(1))]
    return found


def test_what_is_not_received_is_repeated_from_the_first_with_back_off(hall):
    """After half a second, then ever later, at last every four seconds."""
    first, second = hall.said(), hall.said()
    found = ticks_of_pushes(hall, 400)
    assert [indexes for _, indexes in found] == [[first, second]] * len(found)
    ticks = [0, *[tick for tick, _ in found]]
    assert [later - tick for tick, later in itertools.pairwise(ticks)][:7] == [10, 20, 40, 80, 80, 80, 80]


def test_progress_begins_the_back_off_again(hall):
    """Whoever answers is served at once."""
    first, second = hall.said(), hall.said()
    ticks_of_pushes(hall, 80)
    hall.handled(first, 0)
    assert ticks_of_pushes(hall, 15) == [(10, [second])]


def test_a_repetition_is_one_message(hall, monkeypatch):
    """A client that is gone is not sent a whole credit every few seconds."""
    monkeypatch.setattr("ocelog.shard.reader.MESSAGE_BYTES_MAX", 250)
    indexes = [hall.said(size=100) for _ in range(6)]
    assert ticks_of_pushes(hall, 12) == [(10, indexes[:2])]
    assert pushed(hall.handled(indexes[1], 0)) == [(10, indexes[1], indexes[2:4]), (10, indexes[3], indexes[4:])]


def test_events_that_are_handled_are_not_repeated(hall):
    """Nor looked at any more."""
    index = hall.said()
    hall.handled(index, index)
    assert ticks_of_pushes(hall, 100) == []
    assert not hall.pushes._timers._due


def test_a_client_that_misses_events_gets_them_at_once(hall):
    """AGAIN repeats from the first unreceived batch, without waiting for the back-off."""
    first, second, third = hall.said(), hall.said(), hall.said()
    hall.desk.ticks(3)
    assert pushed(hall.handled(second, first, flags=frames.AGAIN)) == [(10, second, [third])]


def test_what_may_still_be_on_its_way_is_not_repeated_at_once(hall):
    """A result that names its own event comes before it, and one lost message makes a client complain of each behind it."""
    index = hall.said()
    for _ in range(10):
        assert pushed(hall.handled(0, 0, flags=frames.AGAIN)) == []
    assert ticks_of_pushes(hall, 4) == [(2, [index])]


def test_a_complaint_that_was_answered_meanwhile_is_forgotten(hall):
    """The event was on its way indeed."""
    index = hall.said()
    hall.handled(0, 0, flags=frames.AGAIN)
    hall.handled(index, 0)
    assert ticks_of_pushes(hall, 9) == []


def test_what_is_received_and_long_unhandled_is_asked_for(hall):
    """An empty message: the answer to the last one may be lost, and somebody may wait for it."""
    index = hall.said()
    hall.handled(index, 0)
    found = []
    for tick in range(1, 71):
        for answer in hall.alive(1):
            assert (answer.kind, answer.reply.count, answer.body) == (frames.EVENTS, 0, b"")
            assert answer.reply.request == answer.reply.event_index == index
            found.append(tick)
    assert found == [10, 30, 70]


# -- what clients say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [frames.HANDLED, frames.KEEP_ALIVE])
def test_a_keep_alive_may_say_it_too(hall, kind):
    """The same body, the same effect."""
    index = hall.said()
    fields = {"session": hall.listener, "key": hall.keys[hall.listener]}
    hall.desk.send(kind, events.pack_handled(index, index), **fields)
    hall.desk.ticks(20)
    assert not hall.session().events


@pytest.mark.parametrize("kind", [frames.HANDLED, frames.KEEP_ALIVE])
@pytest.mark.parametrize("body", [b"x", bytes(15), bytes(17), events._HANDLED.pack(1, 2)])
def test_a_body_that_cannot_be_read_is_refused(hall, kind, body):
    """BAD_MESSAGE, and nothing of it counts."""
    hall.said()
    hall.desk.send(kind, body, session=hall.listener, key=hall.keys[hall.listener])
    assert errors.BAD_MESSAGE in [answer.code for answer in hall.desk.turn()]
    assert hall.desk.leadership.settling.pending


def test_nobody_handles_what_was_not_published_yet(hall):
    """A claim is cut down to what is applied here: the next event is sent and waited for all the same."""
    first = hall.said()
    hall.handled(2**64 - 1, 2**64 - 1)
    assert not hall.desk.leadership.settling.pending
    assert pushed(hall.say()) == [(10, first, [first + 1])]
    assert hall.desk.leadership.settling.pending
    hall.desk.ticks(20)
    assert (hall.session().handled, len(hall.session().events)) == (first, 1)


def test_a_late_copy_takes_nothing_back(hall):
    """What was handled stays so."""
    first, second = hall.said(), hall.said()
    hall.handled(second, second)
    hall.handled(first, 0)
    hall.desk.ticks(20)
    assert hall.session().handled == second
    assert ticks_of_pushes(hall, 100) == []


def test_acknowledgements_of_results_and_events_are_one_entry(kit):
    """Folded once a second, for all sessions."""
    hall = Hall(kit, listeners=3)
    index = hall.said()
    for session in hall.listeners:
        hall.handled(index, index, session)
    hall.desk.keep_alive(hall.writer, key=WRITER, acknowledged=2)
    hall.desk.ticks(20)
    (entry,) = [entry for entry in hall.desk.log if HEADER.unpack_from(entry)[4] == KEEP_ALIVE]
    payload = msgpack.unpackb(entry[48 : 48 + HEADER.unpack_from(entry)[1]])
    assert sorted(payload) == sorted([[hall.writer, 2, 0], *[[session, 0, index] for session in hall.listeners]])


def test_what_moves_nothing_needs_no_entry(hall):
    """Repetitions of what is in the log."""
    index = hall.said()
    hall.handled(index, index)
    hall.desk.ticks(20)
    length = len(hall.desk.log)
    hall.handled(index, index)
    hall.desk.ticks(40)
    assert len(hall.desk.log) == length


def test_what_found_no_room_in_the_log_gets_there_with_the_next_word(hall):
    """A full disk loses a fold; the client's next keep-alive says the same again."""
    index = hall.said()
    hall.handled(index, index)
    hall.desk.full = True
    hall.desk.ticks(20)
    hall.desk.full = False
    hall.desk.ticks(20)
    assert hall.session().events
    hall.handled(index, index)
    hall.desk.ticks(20)
    assert not hall.session().events


def test_a_client_that_exaggerates_makes_no_entry_every_second(hall):
    """What it claims above its last event is nothing to log."""
    hall.said()
    for _ in range(5):
        hall.handled(2**63, 2**63)
        hall.desk.ticks(20)
    assert hall.desk.kinds().count(KEEP_ALIVE) == 1


# -- routes --------------------------------------------------------------------------------------------


def routes_message(kind, *routes, route=0):
    """A router's own message, as a replica gets it."""
    header = REQUEST.pack(frames.VERSION, kind, 0, 0, 0, len(routes), 0, 0, frames.NO_KEY, 0, 0, 0, 0, 0)
    return Item(route, frames.request_frames(header, events.pack_routes([Route(*each) for each in routes])))


def tell(hall, kind, router, *routes):
    """The leader hears it from a router."""
    header, body = frames.parse_request(routes_message(kind, *routes).frames)
    hall.desk.leadership.told_routes(router, header, body)


def test_any_request_moves_the_session(hall):
    """And what was not received is sent to the new place at once, from the first."""
    first, second = hall.said(), hall.said()
    hall.handled(first, 0)
    hall.desk.send(frames.KEEP_ALIVE, session=hall.listener, key=hall.keys[hall.listener], route=77, connection=2)
    assert pushed(hall.desk.turn()) == [(77, first, [second])]


def test_a_client_that_connects_again_gets_what_was_under_way(hall):
    """Also at the same place: what was sent on the old connection may be lost with it."""
    index = hall.said()
    key = hall.keys[hall.listener]
    hall.desk.keep_alive(hall.listener, key=key, route=10)
    assert pushed(hall.desk.turn()) == []
    hall.desk.keep_alive(hall.listener, key=key, route=10, connection=2)
    assert pushed(hall.desk.turn()) == [(10, 0, [index])]


def test_a_lower_connection_moves_nothing(hall):
    """A late request of an old connection is answered where it came from; events go to the new one."""
    key = hall.keys[hall.listener]
    hall.desk.keep_alive(hall.listener, key=key, route=77, connection=5)
    hall.desk.keep_alive(hall.listener, key=key, route=10, connection=4)
    tell(hall, frames.ROUTES, b"other", (hall.listener, 3, 4))
    hall.desk.turn()
    assert [route for route, _, _ in pushed(hall.say())] == [77]


def test_a_router_tells_where_its_sessions_are(hall):
    """Their events are pushed at once."""
    index = hall.said()
    tell(hall, frames.ROUTES, b"other", (hall.listener, 3, 2), (999, 4, 1))
    (answer,) = hall.desk.turn()
    assert answer.origin == Origin(b"other", 3)
    assert pushed([answer]) == [(3, 0, [index])]
    assert 999 not in hall.pushes.routes._places


def test_nothing_is_pushed_to_where_nobody_is(hall):
    """GONE; until the session is heard again. A keep-alive of another connection brings what was missed."""
    tell(hall, frames.GONE, b"router", (hall.listener, 10, 1))
    assert pushed(hall.say()) == []
    index = len(hall.desk.log)
    assert pushed(hall.desk.ticks(50)) == []
    hall.desk.keep_alive(hall.listener, key=hall.keys[hall.listener], route=12, connection=2)
    assert pushed(hall.desk.turn()) == [(12, 0, [index])]


@pytest.mark.parametrize(
    ("router", "route", "connection", "gone"),
    [
        (b"router", 10, 1, True),
        (b"router", 10, 0, True),
        (b"router", 10, 2, False),
        (b"router", 11, 1, False),
        (b"other", 10, 1, False),
    ],
)
def test_only_the_place_that_is_meant_is_gone(hall, router, route, connection, gone):
    """A late GONE of a place that the client has left says nothing of where it is now; connection 0 is any."""
    tell(hall, frames.GONE, router, (hall.listener, route, connection))
    assert (pushed(hall.say()) == []) == gone


def test_a_gone_place_is_not_taken_from_a_lower_connection(hall):
    """The number is kept."""
    key = hall.keys[hall.listener]
    hall.desk.keep_alive(hall.listener, key=key, route=77, connection=5)
    tell(hall, frames.GONE, b"router", (hall.listener, 77, 5))
    hall.desk.keep_alive(hall.listener, key=key, route=10, connection=4)
    hall.desk.turn()
    assert pushed(hall.say()) == []


def test_a_lost_router_takes_its_routes_along(kit):
    """Those of other routers stay."""
    hall = Hall(kit, listeners=2)
    tell(hall, frames.ROUTES, b"other", (hall.listeners[1], 3, 2))
    hall.desk.leadership.forget_router(b"router")
    assert [answer.origin for answer in hall.say() if answer.kind == frames.EVENTS] == [Origin(b"other", 3)]


# -- another leader ------------------------------------------------------------------------------------


def depose(hall):
    """The leader's term ends and another begins, which knows nothing but the log."""
    hall.desk.leadership.step_down()
    hall.desk.lead()


def test_a_new_leader_pushes_at_once_where_it_knows_the_routes(kit):
    """Unacknowledged events survive; what the log says was handled is not sent again."""
    hall = Hall(kit, listeners=2)
    first = hall.said()
    for session in hall.listeners:
        hall.handled(first, first, session)
    hall.desk.ticks(20)
    second = hall.said()
    depose(hall)
    tell(hall, frames.ROUTES, b"router", (hall.listeners[0], 33, 1))
    assert pushed(hall.desk.turn()) == [(33, first, [second])]
    hall.desk.keep_alive(hall.listeners[1], key=hall.keys[hall.listeners[1]], route=44)
    assert pushed(hall.desk.turn()) == [(44, first, [second])]


def test_what_clients_said_by_message_is_asked_for_again(hall):
    """Only the log goes over to a new leader; a client answers the repetition with what it has handled."""
    index = hall.said()
    hall.handled(index, index)
    assert settled(hall.settle(index)) == [index]
    depose(hall)
    hall.desk.turn()
    assert settled(hall.settle(index)) == []
    assert pushed(hall.handled(index, 0)) == []
    assert settled(hall.handled(index, index)) == [index]


def test_an_acknowledgement_before_the_term_has_begun_is_kept(hall):
    """A client may have got the event from a leader that has applied more than this one: the message waits for the no-op."""
    index = hall.said()
    depose(hall)
    hall.desk.committing = False
    assert hall.handled(index, index) == []
    hall.desk.committing = True
    hall.desk.turn()
    assert settled(hall.settle(index)) == [index]


# -- patience ------------------------------------------------------------------------------------------


def test_an_event_left_unhandled_for_the_timeout_ends_its_session(kit):
    """However well it keeps alive; by an entry, marked expired. Others wait at most that long."""
    hall = Hall(kit, listeners=2, timeout_ms=2000)
    slow, quick = hall.listeners
    index = hall.said()
    hall.handled(index, index, quick)
    hall.handled(index, 0, slow)
    hall.settle(index)
    answers = hall.alive(41)
    assert hall.session(slow) is not None
    assert settled(answers) == []
    answers = hall.alive(3)
    assert hall.session(slow) is None
    assert hall.session(quick) is not None
    assert settled(answers) == [index]
    _, _, _, _, kind, _, _, _, ended, sequence = HEADER.unpack_from(hall.desk.log[-1])
    assert (kind, ended, sequence) == (UNREGISTER, slow, 0)
    assert hall.desk.leadership.expiries == 1


def test_handling_in_time_spares_the_session(kit):
    """Each event has the whole timeout, from when it was sent first."""
    hall = Hall(kit, timeout_ms=2000)
    for _ in range(5):
        index = hall.said()
        hall.alive(35)
        hall.handled(index, index)
    assert hall.session() is not None


def test_progress_with_others_is_no_excuse(kit):
    """Somebody waits for each event: handling older ones does not give a later one more time."""
    hall = Hall(kit, timeout_ms=2000)
    indexes = []
    for _ in range(30):
        indexes.append(hall.said())
        hall.alive(1)
    for index in indexes[:20]:
        hall.handled(index, index)
        hall.alive(1)
    hall.alive(14)
    assert hall.session() is None


def test_what_was_never_sent_is_not_held_against_a_session(kit):
    """Without a route nothing is pushed; its silence is another matter."""
    hall = Hall(kit, timeout_ms=2000)
    tell(hall, frames.GONE, b"router", (hall.listener, 10, 1))
    hall.say()
    for _ in range(10):
        hall.desk.leadership.patience.hear(hall.listener)
        hall.desk.ticks(10)
    assert hall.session() is not None


def test_patience_with_events_starts_again_with_a_term(kit):
    """A new leader has sent nothing yet."""
    hall = Hall(kit, timeout_ms=2000)
    hall.say()
    hall.alive(35)
    depose(hall)
    hall.desk.turn()
    hall.alive(35)
    assert hall.session() is not None
    hall.alive(10)
    assert hall.session() is None


def test_patience_with_events_counts_ticks_that_ran(kit):
    """E7: a pause of an hour is one tick."""
    hall = Hall(kit, timeout_ms=2000)
    hall.say()
    hall.desk.now += 3_600_000
    hall.alive(30)
    assert hall.session() is not None


def test_nobody_is_expired_for_events_without_a_confirmed_round(kit):
    """E5: a leader that cannot reach a majority expires nobody."""
    hall = Hall(kit, timeout_ms=2000)
    hall.say()
    for _ in range(12):
        hall.desk.keep_alive(hall.listener, key=hall.keys[hall.listener], route=10)
        hall.desk.ticks(10, confirm=False)
    assert hall.session() is not None
    assert UNREGISTER not in hall.desk.kinds()


def test_handling_during_the_confirmation_spares_the_session(kit):
    """Expired is only who still makes others wait when the round is confirmed."""
    hall = Hall(kit, timeout_ms=2000)
    index = hall.said()
    for _ in range(5):
        hall.desk.keep_alive(hall.listener, key=hall.keys[hall.listener], route=10)
        hall.desk.ticks(10, confirm=False)
    hall.desk.send(
        frames.HANDLED, events.pack_handled(index, index), session=hall.listener, key=hall.keys[hall.listener]
    )
    for round_id in sorted(hall.desk.leadership.reads._rounds):
        hall.desk.leadership.confirm(round_id, hall.desk.executor.applied_index)
    hall.desk.turn()
    assert hall.session() is not None
    assert UNREGISTER not in hall.desk.kinds()


@pytest.mark.parametrize("limits", [Limits(events_max=20), Limits(event_bytes_max=3000)], ids=["number", "bytes"])
def test_a_session_over_its_bound_of_events_is_expired(kit, limits):
    """By an entry: no replica drops events by itself."""
    hall = Hall(kit, limits=limits)
    while hall.session() is not None and hall.sequence < 40:
        hall.say(size=100)
        hall.desk.turn()
    assert 20 < hall.sequence < 32
    assert hall.session() is None


@pytest.mark.parametrize("limits", [Limits(events_max=20), Limits(event_bytes_max=3000)], ids=["number", "bytes"])
def test_a_session_that_handles_its_events_may_get_any_number(kit, limits):
    """What it has handled by message is folded early when its queue is half full, and does not count."""
    hall = Hall(kit, limits=limits)
    for _ in range(100):
        index = hall.said(size=100)
        hall.handled(index, index)
        hall.desk.ticks(1)
        assert hall.session().event_count <= 20
    assert hall.session() is not None


def test_an_expiry_that_found_no_room_is_tried_again(kit):
    """A full disk does not keep a session for ever."""
    hall = Hall(kit, timeout_ms=2000)
    hall.say()
    hall.desk.full = True
    hall.alive(60)
    assert hall.session() is not None
    hall.desk.full = False
    hall.alive(45)
    assert hall.session() is None


def test_an_idle_crowd_costs_nothing_per_tick(kit):
    """Sessions without events are not looked at, neither for pushing nor for their silence."""
    hall = Hall(kit, listeners=300)
    looks = 0
    get = hall.desk.executor.sessions.get

    def counting(session_id):
        nonlocal looks
        looks += 1
        return get(session_id)

    hall.desk.executor.sessions.get = counting
    hall.desk.ticks(200)
    assert looks == 0


def test_constants_fit_together():
    """The client's first complaint is answered before the leader repeats by itself."""
    assert push.AGAIN_MS < push.REPEAT_FIRST_MS < push.REPEAT_LAST_MS
