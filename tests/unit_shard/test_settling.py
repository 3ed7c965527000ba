"""What is settled, and who is told: counted from the log and from messages, never too early, and never for ever."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, events, frames
from ocelog.client.protocol.limits import Limits
from ocelog.shard import settling as settling_module

from .hall import WRITER, Hall, settled


@pytest.fixture
def hall(kit):
    """Two listeners."""
    return Hall(kit, listeners=2)


def unsettled(answers):
    """Whether the RESULTS among the answers says so."""
    (results,) = [answer for answer in answers if answer.kind == frames.RESULTS]
    return bool(results.reply.flags & frames.UNSETTLED)


def test_a_command_without_events_is_settled_with_its_result(hall):
    """Nobody asks about it."""
    assert not unsettled(hall.say([]))
    assert settled(hall.settle(len(hall.desk.log))) == [len(hall.desk.log)]


def test_an_index_is_settled_when_everybody_has_handled_it(hall):
    """Received is not handled, and one of two is not both."""
    assert unsettled(hall.say())
    index = len(hall.desk.log)
    one, other = hall.listeners
    assert settled(hall.settle(index)) == []
    assert settled(hall.handled(index, 0, one)) == []
    assert settled(hall.handled(index, index, one)) == []
    assert settled(hall.handled(index, index, other)) == [index]


def test_each_index_is_settled_for_itself(hall):
    """A later one that has no events of a slow listener does not wait for it."""
    one, other = hall.listeners
    first = hall.said([one])
    second = hall.said([other])
    assert settled(hall.settle(first, second)) == []
    assert settled(hall.handled(second, second, other)) == [second]
    assert settled(hall.handled(first, first, one)) == [first]


def test_what_is_settled_is_told_at_once_and_the_rest_later(hall):
    """In portions, with the same request."""
    first = hall.said()
    for session in hall.listeners:
        hall.handled(first, first, session)
    second = hall.said()
    (answer,) = hall.settle(first, second)
    assert settled([answer]) == [first]
    hall.handled(second, second, hall.listeners[0])
    (later,) = hall.handled(second, second, hall.listeners[1])
    assert settled([later]) == [second]
    assert later.reply.request == answer.reply.request


def test_a_repeated_command_is_not_settled_by_being_known(hall):
    """The model's first break: a duplicate that gets the cached result at once must still say UNSETTLED."""
    hall.say()
    operation = hall.kit.operation(hall.speaker, "say", hall.listeners, 1, 1)
    hall.desk.commands(hall.writer, hall.sequence, operation, key=WRITER)
    assert unsettled(hall.desk.turn())
    index = len(hall.desk.log)
    for session in hall.listeners:
        hall.handled(index, index, session)
    hall.desk.commands(hall.writer, hall.sequence, operation, key=WRITER)
    assert not unsettled(hall.desk.turn())


def test_a_message_of_commands_is_unsettled_if_one_of_them_is(hall):
    """The flag is about all its indexes."""
    loud = hall.kit.operation(hall.speaker, "say", hall.listeners, 1, 1)
    quiet = hall.kit.operation(hall.speaker, "say", [], 1, 1)
    hall.desk.commands(hall.writer, 2, quiet, loud, quiet, key=WRITER)
    hall.desk.commands(hall.writer, 5, quiet, quiet, key=WRITER)
    flags = [answer.reply.flags for answer in hall.desk.turn() if answer.kind == frames.RESULTS]
    assert flags == [frames.UNSETTLED, 0]


def test_a_session_that_ends_has_handled_everything(hall):
    """Nobody waits for who is gone."""
    index = hall.said()
    one, other = hall.listeners
    hall.handled(index, index, one)
    hall.settle(index)
    hall.desk.unregister(other, 1, key=hall.keys[other])
    assert settled(hall.desk.turn()) == [index]


def test_the_log_settles_too(hall):
    """What the log says was handled is settled for a new leader, without any message."""
    index = hall.said()
    for session in hall.listeners:
        hall.handled(index, index, session)
    hall.desk.ticks(20)
    hall.desk.leadership.step_down()
    hall.desk.lead()
    hall.desk.turn()
    assert settled(hall.settle(index)) == [index]


def test_stepping_down_answers_who_waits(hall):
    """NOT_LEADER, once for each question; the client asks the next leader."""
    first, second = hall.said(), hall.said()
    hall.settle(first, second)
    hall.settle(second)
    hall.desk.leadership.step_down()
    answers = hall.desk.answers()
    assert [answer.code for answer in answers] == [errors.NOT_LEADER, errors.NOT_LEADER]
    assert len({answer.reply.request for answer in answers}) == 2


def test_a_repeated_question_takes_the_place_of_the_first(hall):
    """However often it is asked, one wait and one answer."""
    index = hall.said()
    for _ in range(10):
        hall.settle(index, route=5)
    for session in hall.listeners:
        answers = hall.handled(index, index, session)
    assert [answer.origin.route for answer in answers] == [5]
    assert hall.desk.leadership.settling._waiters == 0


def test_a_question_is_forgotten_after_its_deadline(hall):
    """Its client has given up, or asked again."""
    index = hall.said()
    hall.settle(index, milliseconds_left=1500)
    hall.alive(20)
    assert hall.desk.leadership.settling._waiters == 1
    hall.alive(40)
    assert hall.desk.leadership.settling._waiters == 0
    for session in hall.listeners:
        answers = hall.handled(index, index, session)
    assert settled(answers) == []


def test_who_waits_is_bounded(hall, monkeypatch):
    """BUSY beyond it; what is settled is told all the same."""
    index, other = hall.said(), hall.said([])
    hall.desk.leadership.settling.waiters_max = 1
    hall.settle(index)
    later = hall.said()
    settled_one, busy = hall.settle(other, later)
    assert settled([settled_one]) == [other]
    assert (busy.code, busy.reply.retry_after_ms) == (errors.BUSY, settling_module.BUSY_RETRY_MS)
    assert later not in hall.desk.leadership.settling._waiting


def test_what_is_not_applied_is_not_settled(hall):
    """Only a client that was answered by a newer leader asks for it: it asks again."""
    (answer,) = hall.settle(len(hall.desk.log) + 5)
    assert answer.code == errors.BUSY


@pytest.mark.parametrize(("count", "body"), [(0, b""), (1, b""), (1, bytes(9)), (2, bytes(8)), (1025, bytes(8200))])
def test_a_question_that_cannot_be_read_is_refused(kit, count, body):
    """BAD_MESSAGE; also one with too many indexes."""
    hall = Hall(kit)
    hall.desk.send(frames.SETTLE, body, session=hall.writer, key=WRITER, count=count)
    assert [answer.code for answer in hall.desk.turn()] == [errors.BAD_MESSAGE]


def test_a_question_may_be_longer_than_a_message_of_commands(kit):
    """What a client asks about comes from many messages."""
    hall = Hall(kit, limits=Limits(operations_max=1))
    indexes = [hall.said([]) for _ in range(3)]
    assert settled(hall.settle(*indexes)) == indexes


def test_only_a_session_asks(hall):
    """The key is checked as everywhere."""
    hall.desk.send(frames.SETTLE, events.pack_indexes([1]), session=hall.writer, key=b"w" * 16, count=1)
    assert [answer.code for answer in hall.desk.turn()] == [errors.UNKNOWN_SESSION]


def test_counting_leaves_nothing_behind(hall):
    """Whatever happened, what is settled is not counted any more."""
    for _ in range(20):
        index = hall.said()
        hall.settle(index)
        for session in hall.listeners:
            hall.handled(index, index, session)
    settling = hall.desk.leadership.settling
    assert (settling.pending, settling._waiting, settling._waiters, settling._settled) == ({}, {}, 0, [])
