"""What waits for a read index: nothing is answered before leadership was confirmed and the index is applied."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.limits import Limits
from ocelog.shard import outbox as outbox_module


@pytest.fixture
def session(desk):
    return desk.register()


@pytest.fixture
def toy(desk, session):
    return desk.open(session, 1, "toy")


def test_a_query_waits_until_leadership_is_confirmed(desk, kit, session, toy):
    """LINEARIZABLE: a majority confirms leadership after the query arrived."""
    request = desk.query(session, kit.operation(toy, "words"))
    assert desk.turn(confirm=False) == []
    desk.leadership.confirm(desk.leadership.reads._last_id, desk.executor.applied_index)
    (answer,) = desk.turn()
    assert (answer.reply.request, answer.values) == (request, [[]])


def test_one_round_serves_every_query_of_a_turn(desk, kit, session, toy):
    """One round serves all waiting queries; what comes later needs another."""
    for _ in range(3):
        desk.query(session, kit.operation(toy, "words"))
    reads = desk.leadership.reads
    assert (reads.next_round(), reads.next_round()) == (reads._last_id, None)


def test_a_query_waits_until_the_read_index_is_applied(desk, kit, session, toy):
    """The state must be that of the confirmed index at least."""
    desk.committing = False
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.query(session, kit.operation(toy, "words"))
    assert desk.turn() == []
    desk.committing = True
    assert desk.turn()[-1].values == [["a"]]


def test_a_query_waits_for_the_commands_its_session_sent_before_it(desk, kit, session, toy):
    """At LINEARIZABLE a query runs after the commands that its session sent before it, even when they come later."""
    desk.query(session, kit.operation(toy, "words"), after=2)
    assert desk.turn() == []
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    assert desk.turn()[-1].values == [["a"]]


def test_a_query_whose_deadline_passed_is_forgotten(desk, kit, session, toy):
    """Nobody waits for it any more; the room it took is free again."""
    desk.query(session, kit.operation(toy, "words"), after=9, milliseconds_left=100)
    desk.ticks(5)
    reads = desk.leadership.reads
    assert (reads._confirmed, reads._waiting, reads._bytes) == ([], 0, 0)


def test_a_query_waits_for_a_bounded_time_whatever_its_deadline(desk, kit, session, toy):
    """A query for a sequence that never comes must not hold its place for the weeks that a deadline can last."""
    desk.query(session, kit.operation(toy, "words"), after=9, milliseconds_left=0xFFFFFFFF)
    desk.ticks(250)
    assert desk.leadership.reads._waiting == 0


def test_queries_of_one_message_are_answered_in_order(desk, kit, session, toy):
    """One ANSWERS message, one part for each query, errors among them."""
    desk.query(session, kit.operation(toy, "words"), b"", kit.operation(toy, "nothing"), kit.operation(toy, "words"))
    codes = [code for code, _ in desk.turn()[0].results]
    assert codes == [errors.OK, errors.BAD_OPERATION, errors.UNKNOWN_OPERATION, errors.OK]


def test_answers_have_a_bounded_size(desk, kit, session, toy):
    """An answer that no client would take is an error that says so."""
    desk.leadership.reads.answers_bytes_max = 100
    desk.commands(session, 2, kit.operation(toy, "tell", bytes(60)))
    desk.turn()
    desk.query(session, *[kit.operation(toy, "words")] * 2)
    assert [code for code, _ in desk.turn()[0].results] == [errors.OK, errors.TOO_LARGE]


def test_large_answers_are_spread_over_turns(desk, kit, session, toy, monkeypatch):
    """A few bytes may ask for megabytes: what a turn answers is bounded, the rest follows at once."""
    monkeypatch.setattr(outbox_module, "TURN_BYTES_MAX", 150)
    desk.commands(session, 2, kit.operation(toy, "tell", bytes(90)))
    desk.turn()
    for _ in range(5):
        desk.query(session, kit.operation(toy, "words"))
    answered = []
    while desk.leadership.has_work():
        answered.append(len(desk.turn()))
    assert answered == [2, 2, 1]


@pytest.mark.parametrize("bound", ["waiting_max", "bytes_max"])
def test_waiting_queries_are_bounded(desk, kit, session, toy, bound):
    """Beyond what a leader keeps waiting it answers BUSY with a time to come back."""
    setattr(desk.leadership.reads, bound, 1)
    for _ in range(2):
        desk.query(session, kit.operation(toy, "words"), after=9)
    (answer,) = desk.turn()
    assert (answer.code, answer.reply.retry_after_ms > 0) == (errors.BUSY, True)


@pytest.mark.parametrize(
    ("fields", "body"),
    [({"level": 7}, b""), ({"count": 0}, b""), ({"count": 5}, b"\x01"), ({"count": 4000}, bytes(16000))],
)
def test_a_query_message_that_cannot_be_read_is_refused(desk, session, fields, body):
    """BAD_MESSAGE with a sentence; nothing waits for it."""
    desk.send(frames.QUERY, body, session=session, **fields)
    (answer,) = desk.turn()
    assert (answer.code, bool(answer.body)) == (errors.BAD_MESSAGE, True)


def test_a_keep_alive_is_answered_after_a_confirmed_round(desk, session):
    """A keep-alive that moves nothing needs no entry but a confirmed read-index round."""
    length = len(desk.log)
    request = desk.keep_alive(session)
    assert desk.ticks(1, confirm=False) == []
    desk.leadership.confirm(desk.leadership.reads._last_id, length)
    (answer,) = desk.turn()
    assert (answer.kind, answer.reply.request, len(desk.log)) == (frames.KEPT_ALIVE, request, length)


def test_keep_alives_of_many_turns_share_the_round_of_the_next_tick(desk, session):
    """Nobody waits for them: ten thousand idle sessions must not cost a round for each."""
    for _ in range(20):
        desk.keep_alive(session)
        assert desk.turn() == []
    assert not desk.leadership.reads._rounds
    answers = desk.ticks(1)
    assert [answer.kind for answer in answers] == [frames.KEPT_ALIVE] * 20


def test_a_keep_alive_takes_the_round_of_a_query_that_comes_first(desk, kit, session, toy):
    """A round is for everything that arrived before it."""
    desk.keep_alive(session)
    desk.query(session, kit.operation(toy, "words"))
    assert sorted(answer.kind for answer in desk.turn()) == [frames.KEPT_ALIVE, frames.ANSWERS]


def test_stepping_down_answers_reads_in_every_state(desk, kit, session, toy):
    """Arrived, in a round and confirmed: all are told NOT_LEADER."""
    requests = [desk.query(session, kit.operation(toy, "words"), after=9)]
    desk.turn()
    requests.append(desk.query(session, kit.operation(toy, "words")))
    desk.turn(confirm=False)
    requests.append(desk.keep_alive(session))
    desk.leadership.step_down()
    answers = desk.answers()
    assert sorted(answer.reply.request for answer in answers) == requests
    assert {answer.code for answer in answers} == {errors.NOT_LEADER}


def test_a_session_that_ends_while_its_query_waits_is_unknown(desk, kit, session, toy):
    """A query of an ended session is refused."""
    desk.query(session, kit.operation(toy, "words"), after=2)
    desk.turn()
    desk.unregister(session, 2)
    assert errors.UNKNOWN_SESSION in [answer.code for answer in desk.turn()]


# -- sessions that are not known here ------------------------------------------------------------------


def test_a_session_above_what_is_applied_is_refused_only_by_a_confirmed_leader(desk, kit, session, toy):
    """A leader that has been replaced without knowing it must not tell a client that its session has ended."""
    desk.commands(len(desk.log) + 50, 1, b"")
    assert desk.turn(confirm=False) == []
    desk.leadership.step_down()
    assert [answer.code for answer in desk.answers()] == [errors.NOT_LEADER]


def test_a_session_that_never_was_is_unknown_to_a_confirmed_leader(desk, kit, session):
    """After a wiped directory the index of a session may be far above the log."""
    desk.commands(10_000, 1, b"")
    assert [answer.code for answer in desk.turn()] == [errors.UNKNOWN_SESSION]


def test_a_session_that_becomes_known_while_it_is_doubted_is_told_to_repeat(desk, kit):
    """Its message is neither lost silently nor taken without its key."""
    desk.committing = False
    desk.send(frames.REGISTER, b"\x92\xa1x\xcd\x27\x10", key=b"n" * 16)
    desk.turn()
    session = len(desk.log)
    desk.keep_alive(session, key=b"not the key....."[:16])
    desk.turn()
    desk.committing = True
    answers = desk.turn()
    assert sorted((answer.kind, answer.code) for answer in answers) == [
        (frames.REGISTERED, 0),
        (frames.REFUSED, errors.BUSY),
    ]


def test_a_session_that_ended_is_unknown_at_once(desk, kit, session, toy):
    """What is applied is committed: an end that was applied is the end, whoever leads."""
    desk.unregister(session, 2)
    desk.turn()
    desk.commands(session, 3, kit.operation(toy, "tell", "a"))
    (answer,) = desk.answers()
    assert (answer.code, answer.reply.first_sequence) == (errors.UNKNOWN_SESSION, 3)


def test_small_limits_bound_the_queries_of_a_message(kit):
    """operations_max holds for queries too."""
    desk = kit.Desk(Limits(operations_max=2))
    session = desk.register()
    desk.query(session, b"x", b"x", b"x")
    assert [answer.code for answer in desk.answers()] == [errors.BAD_MESSAGE]
