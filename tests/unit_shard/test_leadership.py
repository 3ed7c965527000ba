"""A leader's term: registering, signs of life, expiry, folding, timers, and the time before its no-op is applied."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.limits import Limits
from ocelog.log.entry import HEADER, KEEP_ALIVE, REGISTER, TICK, UNREGISTER
from ocelog.shard import leadership as leadership_module


def payloads(desk, kind):
    """Payloads of all entries of a kind."""
    return [entry[48 : 48 + HEADER.unpack_from(entry)[1]] for entry in desk.log if HEADER.unpack_from(entry)[4] == kind]


# -- the beginning -------------------------------------------------------------------------------------


def test_messages_are_held_until_the_no_op_is_applied(kit):
    """A leader does not know its predecessors' sessions before that; nobody is refused for it."""
    desk = kit.Desk(begun=False)
    desk.committing = False
    desk.send(frames.REGISTER, msgpack.packb(["tester", 5000]))
    assert desk.turn() == []
    desk.committing = True
    answers = desk.turn() + desk.turn()
    assert [answer.kind for answer in answers] == [frames.REGISTERED]


def test_what_is_held_is_bounded(kit, monkeypatch):
    """Beyond the room for held messages BUSY is answered."""
    monkeypatch.setattr(leadership_module, "HELD_BYTES_MAX", 100)
    desk = kit.Desk(begun=False)
    for _ in range(3):
        desk.commands(1, 1, bytes(60))
    assert [answer.code for answer in desk.answers()] == [errors.BUSY, errors.BUSY]


def test_stepping_down_before_the_beginning_answers_what_is_held(kit):
    """NOT_LEADER also for messages that were never looked at."""
    desk = kit.Desk(begun=False)
    desk.committing = False
    request = desk.commands(1, 7, b"x")
    desk.turn()
    desk.leadership.step_down()
    (answer,) = desk.answers()
    assert (answer.code, answer.reply.request, answer.reply.first_sequence) == (errors.NOT_LEADER, request, 7)


# -- registering ---------------------------------------------------------------------------------------


def test_a_session_is_named_by_the_index_of_its_entry(desk):
    """The session's id is the index of its register entry."""
    session = desk.register()
    assert HEADER.unpack_from(desk.log[session - 1])[4] == REGISTER


def test_the_register_answer_names_limits_and_the_timeout_granted(kit):
    """The register answer names the limits; the timeout is taken into the bounds."""
    desk = kit.Desk(Limits(session_timeout_ms_min=2000, operations_max=7))
    desk.send(frames.REGISTER, msgpack.packb(["tester", -5]))
    fields = msgpack.unpackb(desk.turn()[0].body)
    assert (fields["operations_max"], fields["timeout_ms"]) == (7, 2000)


def test_registering_again_with_the_same_key_finds_the_session(desk):
    """A repeated register cannot open a second session."""
    assert desk.register() == desk.register()


def test_two_registers_in_flight_are_both_answered(desk):
    """Each message gets its answer, with the same session."""
    for _ in range(2):
        desk.send(frames.REGISTER, msgpack.packb(["tester", 5000]))
    answers = desk.turn()
    assert len(answers) == 2
    assert len({answer.reply.session for answer in answers}) == 1


def test_a_full_shard_refuses_new_sessions_only(kit):
    """Whoever repeats the register of an open session is not new."""
    desk = kit.Desk(sessions_max=1)
    session = desk.register()
    desk.send(frames.REGISTER, msgpack.packb(["tester", 5000]), key=b"x" * 16)
    assert [answer.code for answer in desk.turn()] == [errors.TOO_MANY_SESSIONS]
    assert desk.register() == session


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"", b"k" * 16),
        (b"\xc1", b"k" * 16),
        (msgpack.packb(["tester"]), b"k" * 16),
        (msgpack.packb(["tester", 1, 2]), b"k" * 16),
        (msgpack.packb([b"tester", 1]), b"k" * 16),
        (msgpack.packb(["tester", True]), b"k" * 16),
        (msgpack.packb(["tester", "1"]), b"k" * 16),
        (msgpack.packb({"a": 1}), b"k" * 16),
        (msgpack.packb(["x" * 256, 1]), b"k" * 16),
        (b"\x92" * 100_000, b"k" * 16),
        (b"\x92\xa2\xff\xfe\x01", b"k" * 16),
        (msgpack.packb(["tester", 5000]), bytes(16)),
    ],
)
def test_a_register_that_cannot_be_read_is_refused(desk, body, key):
    """BAD_MESSAGE; nothing of it reaches the log."""
    length = len(desk.log)
    desk.send(frames.REGISTER, body, key=key)
    assert [answer.code for answer in desk.turn()] == [errors.BAD_MESSAGE]
    assert len(desk.log) == length


def test_a_register_on_a_full_disk_is_refused_for_now(desk):
    """NO_SPACE, and registering goes on when there is room."""
    desk.full = True
    desk.send(frames.REGISTER, msgpack.packb(["tester", 5000]))
    assert [answer.code for answer in desk.turn()] == [errors.NO_SPACE]
    desk.full = False
    assert desk.register()


def test_stepping_down_answers_those_who_register(desk):
    """NOT_LEADER; the key makes the repetition harmless."""
    desk.committing = False
    request = desk.send(frames.REGISTER, msgpack.packb(["tester", 5000]))
    desk.turn()
    desk.leadership.step_down()
    assert [(answer.code, answer.reply.request) for answer in desk.answers()] == [(errors.NOT_LEADER, request)]


# -- who may speak for a session -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [frames.COMMAND, frames.QUERY, frames.KEEP_ALIVE, frames.UNREGISTER])
def test_a_wrong_key_is_an_unknown_session(desk, kind):
    """Every request carries session and key; a mismatch is UNKNOWN_SESSION, and no more is said."""
    session = desk.register()
    desk.send(kind, b"", session=session, key=b"w" * 16, first_sequence=1, count=1)
    assert [answer.code for answer in desk.turn()] == [errors.UNKNOWN_SESSION]


def test_a_wrong_key_is_no_sign_of_life(desk):
    """Only who holds the key can keep a session."""
    session = desk.register(timeout_ms=1000)
    for _ in range(4):
        desk.keep_alive(session, key=b"w" * 16)
        desk.ticks(20)
    assert desk.executor.sessions.get(session) is None


def test_an_unknown_kind_is_refused(desk):
    """A kind that is not for a shard is answered, never dropped."""
    desk.send(0x60, b"", session=1)
    assert [answer.code for answer in desk.turn()] == [errors.BAD_MESSAGE]


def test_a_body_over_the_limit_is_refused(kit):
    """TOO_LARGE before anything is decoded."""
    desk = kit.Desk(Limits(message_bytes_max=1000))
    session = desk.register()
    desk.commands(session, 1, bytes(1001))
    (answer,) = desk.turn()
    assert (answer.code, answer.reply.first_sequence) == (errors.TOO_LARGE, 1)


# -- silence -------------------------------------------------------------------------------------------


def test_a_silent_session_is_expired_by_an_entry(desk):
    """Only a leader expires a session, by an unregister entry marked expired (it has no sequence)."""
    session = desk.register(timeout_ms=1000)
    desk.ticks(60)
    assert desk.executor.sessions.get(session) is None
    _, _, _, _, kind, _, _, _, ended, sequence = HEADER.unpack_from(desk.log[-1])
    assert (kind, ended, sequence) == (UNREGISTER, session, 0)


def test_an_expiry_is_logged_once(desk):
    """However long the entry takes to commit."""
    desk.register(timeout_ms=1000)
    desk.committing = False
    desk.ticks(200)
    assert desk.kinds().count(UNREGISTER) == 1


def test_nobody_is_expired_without_a_confirmed_round(desk):
    """A leader that cannot reach a majority expires nobody."""
    session = desk.register(timeout_ms=1000)
    desk.ticks(100, confirm=False)
    assert desk.executor.sessions.get(session) is not None
    assert UNREGISTER not in desk.kinds()


def test_a_sign_of_life_during_the_confirmation_spares_the_session(desk):
    """Expired is only who is still silent when the round is confirmed."""
    session = desk.register(timeout_ms=1000)
    desk.ticks(40, confirm=False)
    desk.keep_alive(session)
    reads = desk.leadership.reads
    for round_id in sorted(reads._rounds):
        desk.leadership.confirm(round_id, desk.executor.applied_index)
    desk.turn()
    assert desk.executor.sessions.get(session) is not None


@pytest.mark.parametrize("kind", [frames.COMMAND, frames.QUERY, frames.KEEP_ALIVE])
def test_any_request_is_a_sign_of_life(desk, kit, kind):
    """Commands and queries count like keep-alives, also those that are refused."""
    session = desk.register(timeout_ms=1000)
    for _ in range(6):
        desk.send(kind, b"", session=session, first_sequence=50, count=1)
        desk.ticks(15)
    assert desk.executor.sessions.get(session) is not None


def test_patience_starts_again_with_a_term(desk):
    """A new leader has heard nobody yet."""
    session = desk.register(timeout_ms=3000)
    desk.ticks(50)
    desk.leadership.step_down()
    desk.lead()
    desk.ticks(50)
    assert desk.executor.sessions.get(session) is not None


def test_patience_starts_when_the_leader_can_hear(desk):
    """While the no-op is not applied every message is held: that time is nobody's silence."""
    session = desk.register(timeout_ms=3000)
    desk.leadership.step_down()
    desk.lead()
    desk.committing = False
    desk.ticks(100)
    desk.committing = True
    desk.ticks(25)
    assert desk.executor.sessions.get(session) is not None


def test_a_pause_is_one_tick(desk):
    """Patience counts turns that really ran, whatever the clock says."""
    session = desk.register(timeout_ms=1000)
    desk.now += 3_600_000
    desk.ticks(1)
    assert desk.executor.sessions.get(session) is not None


# -- acknowledgements ----------------------------------------------------------------------------------


def test_acknowledgements_by_message_are_folded_into_one_entry(desk, kit):
    """The leader folds what came by keep-alives into one entry, at least once a second."""
    sessions = []
    for letter in b"abc":
        key = bytes([letter]) * 16
        sessions.append((desk.register(key), key))
    for session, key in sessions:
        desk.commands(session, 1, b"", key=key)
    desk.turn()
    for session, key in sessions:
        desk.keep_alive(session, key=key, acknowledged=1)
    desk.ticks(20)
    (payload,) = payloads(desk, KEEP_ALIVE)
    assert sorted(msgpack.unpackb(payload)) == [[session, 1, 0] for session, _ in sessions]
    assert all(not session.results for session in desk.executor.sessions)


def test_an_acknowledgement_that_moves_nothing_needs_no_entry(desk):
    """Nor one of what was never applied."""
    session = desk.register()
    desk.keep_alive(session, acknowledged=99)
    desk.ticks(40)
    assert KEEP_ALIVE not in desk.kinds()


def test_a_late_copy_of_an_acknowledgement_takes_nothing_back(desk):
    """The highest one counts."""
    session = desk.register()
    desk.commands(session, 1, b"", b"", b"")
    desk.turn()
    desk.keep_alive(session, acknowledged=3)
    desk.keep_alive(session, acknowledged=1)
    desk.ticks(20)
    assert desk.executor.sessions.get(session).acknowledged == 3


# -- timers --------------------------------------------------------------------------------------------


def test_a_due_timer_moves_log_time_by_a_tick_entry(desk, kit):
    """When a timer is due and nothing else moves log time, the leader commits a tick entry."""
    session = desk.register()
    toy = desk.open(session, 1, "toy")
    desk.commands(session, 2, kit.operation(toy, "later", 200, "a"))
    desk.turn()
    desk.ticks(10)
    assert desk.kinds().count(TICK) == 1
    assert [words[1] for words in desk.executor.resources[toy].machine.told] == ["a"]


def test_without_a_due_timer_an_idle_leader_logs_nothing(desk):
    """An idle shard writes nothing."""
    desk.register()
    length = len(desk.log)
    desk.ticks(100)
    assert len(desk.log) == length
