"""The leader's side of sessions: what spends a sequence, what does not, and who is answered what."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.limits import Limits
from ocelog.log.entry import COMMAND, HEADER, KEEP_ALIVE, UNREGISTER, VOID
from ocelog.shard import intake as intake_module
from ocelog.shard import outbox as outbox_module
from ocelog.shard.executor import Executor


@pytest.fixture
def session(desk):
    return desk.register()


@pytest.fixture
def toy(desk, session):
    return desk.open(session, 1, "toy")


def told(desk, toy):
    return desk.executor.resources[toy].machine.told


# -- order ---------------------------------------------------------------------------------------------


def test_commands_of_one_message_are_applied_in_order_and_answered_together(desk, kit, session, toy):
    """One message, one RESULTS with the request's id, from its first sequence on."""
    request = desk.commands(session, 2, kit.operation(toy, "tell", "a"), kit.operation(toy, "tell", "b"))
    (answer,) = desk.turn()
    assert (answer.reply.request, answer.reply.first_sequence, answer.values) == (request, 2, [1, 2])


def test_a_repetition_is_answered_from_the_results_that_are_kept(desk, kit, session, toy):
    """Applied twice gives the first result, and nothing is logged for it."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    first = desk.turn()[0].body
    length = len(desk.log)
    desk.commands(session, 2, kit.operation(toy, "tell", "changed"))
    assert [answer.body for answer in desk.turn()] == [first]
    assert len(desk.log) == length


def test_a_repetition_of_what_is_in_the_log_waits_for_it(desk, kit, session, toy):
    """Both the message and its repetition are answered, and the command is logged once."""
    desk.committing = False
    requests = []
    for _ in range(2):
        requests.append(desk.commands(session, 2, kit.operation(toy, "tell", "a")))
        assert desk.turn() == []
    desk.committing = True
    assert [answer.reply.request for answer in desk.turn()] == requests
    assert told(desk, toy) == ["a"]


def test_a_repetition_that_goes_further_logs_only_what_is_new(desk, kit, session, toy):
    """What is new in a message is logged, what is not is answered."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.turn()
    desk.commands(session, 2, kit.operation(toy, "tell", "x"), kit.operation(toy, "tell", "b"))
    assert desk.turn()[0].values == [1, 2]
    assert told(desk, toy) == ["a", "b"]


def test_an_acknowledged_result_is_answered_as_such(desk, kit, session, toy):
    """A late repetition of something acknowledged is neither applied nor refused: ACKNOWLEDGED."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.turn()
    desk.commands(session, 3, kit.operation(toy, "tell", "b"), acknowledged=2)
    desk.turn()
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    assert [code for code, _ in desk.turn()[0].results] == [errors.ACKNOWLEDGED]


def test_a_gap_is_told_at_once_and_spends_nothing(desk, kit, session, toy):
    """GAP names the sequence that is expected next."""
    desk.commands(session, 4, kit.operation(toy, "tell", "c"))
    (answer,) = desk.turn()
    assert (answer.code, answer.reply.first_sequence) == (errors.GAP, 2)
    assert told(desk, toy) == []


def test_an_early_command_follows_once_its_predecessor_has_come(desk, kit, session, toy):
    """Early commands are kept and logged behind what they waited for, each answered to its own request."""
    early = desk.commands(session, 3, kit.operation(toy, "tell", "b"))
    desk.turn()
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    assert early in [answer.reply.request for answer in desk.turn()]
    assert told(desk, toy) == ["a", "b"]


def test_an_early_command_that_is_dropped_is_dropped_silently(desk, kit, session, toy, monkeypatch):
    """The budget of early commands is small; beyond it the gap alone is told, and the client repeats."""
    monkeypatch.setattr("ocelog.shard.early.MESSAGES_MAX", 1)
    for sequence in (3, 4):
        desk.commands(session, sequence, kit.operation(toy, "tell", sequence))
    assert [answer.code for answer in desk.turn()] == [errors.GAP, errors.GAP]
    desk.commands(session, 2, kit.operation(toy, "tell", 2))
    desk.turn()
    assert told(desk, toy) == [2, 3]


def test_the_expected_command_has_room_whatever_early_ones_take(desk, kit, session, toy, monkeypatch):
    """Early commands have a budget of their own: the expected one is never refused for lack of it."""
    monkeypatch.setattr("ocelog.shard.early.MESSAGES_MAX", 4)
    for sequence in range(3, 20):
        desk.commands(session, sequence, kit.operation(toy, "tell", sequence))
    desk.turn()
    desk.commands(session, 2, kit.operation(toy, "tell", 2))
    assert {answer.kind for answer in desk.turn()} == {frames.RESULTS}


@pytest.mark.parametrize(("first", "count"), [(0, 1), (2, 0), (2, 1025), (2, 65535)])
def test_a_message_outside_the_limits_is_refused(desk, kit, session, toy, first, count):
    """Sequences begin at 1 and a message has 1 to operations_max operations: BAD_MESSAGE, nothing spent."""
    desk.commands(session, first, kit.operation(toy, "tell", "a"), count=count)
    assert [answer.code for answer in desk.turn()] == [errors.BAD_MESSAGE]
    assert desk.executor.sessions.get(session).last == 1


# -- refusals for good ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (b"", errors.VOIDED),
        (b"\xc1", errors.BAD_OPERATION),
        (b"\x92\x02", errors.BAD_OPERATION),
        (b"\x90", errors.BAD_OPERATION),
        (b"\x92\xa1x\xa1y", errors.BAD_OPERATION),
        (b"\x92\x02\x02", errors.BAD_OPERATION),
        (b"\x92\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xa4tell", errors.BAD_OPERATION),
    ],
)
def test_what_cannot_be_read_is_void(desk, session, toy, part, code):
    """A refusal for good is a void that the leader logs in the command's place."""
    desk.commands(session, 2, part)
    (answer,) = desk.turn()
    assert [found for found, _ in answer.results] == [code]
    assert desk.kinds()[-1] == VOID


def test_a_void_lets_the_session_go_on(desk, kit, session, toy):
    """The sequence is spent: the commands behind the refused one are applied."""
    bad = kit.operation(toy, "no such command")
    desk.commands(session, 2, kit.operation(toy, "tell", "a"), bad, kit.operation(toy, "tell", "c"))
    assert desk.turn()[0].results[::2] == [(errors.OK, 1), (errors.OK, 2)]
    assert told(desk, toy) == ["a", "c"]


def test_a_body_that_disagrees_with_its_lengths_is_void_altogether(desk, session, toy):
    """The whole message is refused for good, each of its sequences on its own."""
    desk.send(frames.COMMAND, b"\xff" * 20, session=session, first_sequence=2, count=3)
    assert [code for code, _ in desk.turn()[0].results] == [errors.BAD_OPERATION] * 3


def test_every_repetition_of_a_void_gets_its_error(desk, kit, session, toy):
    """Whichever is logged first wins, and every repeat gets that answer."""
    desk.commands(session, 2, b"")
    desk.turn()
    desk.commands(session, 2, kit.operation(toy, "tell", "late"))
    assert desk.turn()[0].results[0][0] == errors.VOIDED
    assert told(desk, toy) == []


# -- refusals that spend nothing -----------------------------------------------------------------------


@pytest.fixture
def narrow(kit):
    return kit.Desk(Limits(in_flight_max=3))


def test_more_than_the_window_is_busy_and_spends_nothing(narrow, kit):
    """What fits is taken; BUSY names the first sequence that was not, and a time to repeat it."""
    session = narrow.register()
    toy = narrow.open(session, 1, "toy")
    narrow.committing = False
    narrow.commands(session, 2, *[kit.operation(toy, "tell", n) for n in range(5)])
    (answer,) = narrow.turn()
    assert (answer.code, answer.reply.first_sequence) == (errors.BUSY, 5)
    assert answer.reply.retry_after_ms > 0
    narrow.committing = True
    assert narrow.turn()[0].values == [1, 2, 3]
    narrow.commands(session, 5, kit.operation(toy, "tell", 3))
    assert narrow.turn()[0].values == [4]


def test_a_full_disk_spends_nothing(desk, kit, session, toy):
    """NO_SPACE is no answer: the same bytes are taken when there is room, under the same sequences."""
    desk.full = True
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.commands(session, 3, kit.operation(toy, "tell", "b"))
    refusals = [(answer.code, answer.reply.first_sequence) for answer in desk.turn()]
    assert sorted(refusals) == [(errors.NO_SPACE, 2), (errors.NO_SPACE, 3)]
    desk.full = False
    desk.commands(session, 2, kit.operation(toy, "tell", "a"), kit.operation(toy, "tell", "b"))
    assert desk.turn()[0].values == [1, 2]


def test_a_full_disk_forgets_what_was_decoded(desk, kit, session, toy):
    """The index that a refused command would have had goes to another entry."""
    desk.full = True
    desk.commands(session, 2, kit.operation(toy, "tell", "refused"))
    desk.turn()
    desk.full = False
    desk.commands(session, 2, b"")
    desk.commands(session, 3, kit.operation(toy, "tell", "taken"))
    desk.turn()
    assert (told(desk, toy), desk.executor.decoded) == (["taken"], {})


def test_results_that_are_not_acknowledged_are_bounded_in_bytes(kit):
    """Over the result bound the leader answers BUSY; an acknowledgement lets the session go on."""
    desk = kit.Desk(results_bytes_max=1000)
    session = desk.register()
    things = desk.open(session, 1, "map")
    desk.commands(session, 2, *[kit.operation(things, "put", b"k", bytes(600))] * 4)
    desk.turn()
    desk.commands(session, 6, kit.operation(things, "size"))
    (answer,) = desk.turn()
    assert answer.code == errors.BUSY
    assert desk.executor.sessions.get(session).last == 5


def test_busy_for_results_says_from_where_the_client_may_lack_them(kit):
    """Were only the new command repeated, a lost answer would hold the session back for ever."""
    desk = kit.Desk(results_bytes_max=1000)
    session = desk.register()
    things = desk.open(session, 1, "map")
    desk.commands(session, 2, *[kit.operation(things, "put", b"k", bytes(600))] * 4, acknowledged=1)
    desk.turn()
    desk.commands(session, 6, kit.operation(things, "put", b"k", b""), acknowledged=2)
    (answer,) = desk.turn()
    assert (answer.code, answer.reply.first_sequence) == (errors.BUSY, 2)


def test_busy_for_results_takes_the_acknowledgement_into_the_log(kit):
    """The refused message's own acknowledgement makes the room that its repetition needs."""
    desk = kit.Desk(results_bytes_max=1000)
    session = desk.register()
    things = desk.open(session, 1, "map")
    desk.commands(session, 2, *[kit.operation(things, "put", b"k", bytes(600))] * 4)
    desk.turn()
    for _ in range(2):
        desk.commands(session, 6, kit.operation(things, "put", b"k", b""), acknowledged=5)
        answers = desk.turn()
    assert [answer.kind for answer in answers] == [frames.RESULTS]
    assert desk.kinds()[-2:] == [KEEP_ALIVE, COMMAND]


def test_a_window_never_forgets_more_than_was_acknowledged(kit, monkeypatch):
    """An entry's window has 16 bits: what it cannot express is refused with BUSY, never cut."""
    monkeypatch.setattr(intake_module, "WINDOW_MAX", 5)
    desk = kit.Desk()
    session = desk.register()
    toy = desk.open(session, 1, "toy")
    desk.commands(session, 2, *[kit.operation(toy, "tell", n) for n in range(9)])
    busy, results = desk.turn()
    assert (busy.code, busy.reply.first_sequence, len(results.results)) == (errors.BUSY, 1, 4)
    assert sorted(desk.executor.sessions.get(session).results) == [1, 2, 3, 4, 5]


def test_commands_that_are_not_applied_are_bounded_in_bytes(kit):
    """Bytes per leader, then BUSY with a retry hint: memory and log stay bounded while nothing commits."""
    desk = kit.Desk()
    desk.leadership.intake.unapplied_bytes_max = 5000
    sessions = [desk.register(bytes([n]) * 16) for n in range(1, 4)]
    desk.committing = False
    for session, key in zip(sessions, range(1, 4), strict=True):
        desk.commands(session, 1, bytes(4000), key=bytes([key]) * 16)
    assert [answer.code for answer in desk.turn()] == [errors.BUSY]
    desk.committing = True
    desk.turn()
    desk.commands(sessions[2], 1, bytes(4000), key=b"\3" * 16)
    assert [answer.kind for answer in desk.turn()] == [frames.RESULTS]


def test_a_full_disk_gives_the_bytes_back(kit):
    """What was refused for lack of space is not under way."""
    desk = kit.Desk()
    desk.leadership.intake.unapplied_bytes_max = 5000
    session = desk.register()
    desk.full = True
    for _ in range(3):
        desk.commands(session, 1, bytes(4000))
        assert [answer.code for answer in desk.turn()] == [errors.NO_SPACE]


# -- answers -------------------------------------------------------------------------------------------


def test_large_results_are_answered_in_several_messages(kit):
    """One RESULTS may cover part of a request: none grows beyond what a message may have."""
    desk = kit.Desk(Limits(message_bytes_max=2000))
    session = desk.register()
    things = desk.open(session, 1, "map")
    for n in range(5):
        desk.commands(session, 2 + n, kit.operation(things, "put", bytes([n]), bytes([n]) * 900))
    desk.turn()
    desk.commands(session, 7, *[kit.operation(things, "remove", bytes([n])) for n in range(5)])
    answers = desk.turn()
    assert [(answer.reply.first_sequence, answer.reply.count) for answer in answers] == [(7, 2), (9, 2), (11, 1)]
    assert [value[:1] for answer in answers for value in answer.values] == [bytes([n]) for n in range(5)]


def test_repetitions_cannot_ask_for_more_than_a_turn_may_answer(desk, kit, session, monkeypatch):
    """Beyond that BUSY names what to repeat, and nothing is lost."""
    monkeypatch.setattr(outbox_module, "TURN_BYTES_MAX", 1500)
    things = desk.open(session, 1, "map")
    put = kit.operation(things, "put", b"k", bytes(900))
    desk.commands(session, 2, put, put)
    desk.turn()
    for _ in range(4):
        desk.commands(session, 2, put, put)
    answers = desk.turn()
    assert [answer.kind for answer in answers] == [frames.RESULTS] * 2 + [frames.REFUSED] * 2
    assert {(answer.code, answer.reply.first_sequence) for answer in answers[2:]} == {(errors.BUSY, 2)}


def test_window_and_acknowledged_are_what_the_client_said(desk, kit, session, toy):
    """`window` is the sequence minus the highest one acknowledged when the command was sent."""
    desk.commands(session, 2, *[kit.operation(toy, "tell", n) for n in range(3)], acknowledged=1)
    desk.turn()
    assert [HEADER.unpack_from(entry)[6] for entry in desk.log[-3:]] == [1, 2, 3]


def test_a_client_cannot_acknowledge_a_result_it_cannot_have(desk, kit, session, toy):
    """However much is claimed, a command's own result is kept until a later entry."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"), acknowledged=(1 << 64) - 1)
    assert desk.turn()[0].values == [1]
    assert desk.executor.sessions.get(session).acknowledged == 1


# -- unregister ----------------------------------------------------------------------------------------


def test_an_unregister_ends_the_session_and_is_answered(desk, session, toy):
    """A client's unregister takes the next sequence."""
    request = desk.unregister(session, 2)
    (answer,) = desk.turn()
    assert (answer.kind, answer.reply.request) == (frames.UNREGISTERED, request)
    assert desk.executor.sessions.get(session) is None


def test_an_unregister_right_behind_commands_is_answered_as_such(desk, kit, session, toy):
    """Applied in one go with the commands before it, both get their own kind of answer."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.unregister(session, 3)
    assert [answer.kind for answer in desk.turn()] == [frames.RESULTS, frames.UNREGISTERED]


def test_an_unregister_before_its_time_is_a_gap(desk, session, toy):
    """It spends a sequence like a command, in order."""
    desk.unregister(session, 3)
    assert [(a.code, a.reply.first_sequence) for a in desk.turn()] == [(errors.GAP, 2)]


def test_an_unregister_of_sequence_zero_is_refused(desk, session):
    """Sequences begin at 1."""
    desk.unregister(session, 0)
    assert [answer.code for answer in desk.turn()] == [errors.BAD_MESSAGE]


def test_an_unregister_whose_sequence_a_command_took_gets_its_result(desk, kit, session, toy):
    """Whatever is logged first spends the sequence."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.turn()
    desk.unregister(session, 2)
    assert desk.turn()[0].values == [1]


def test_what_lies_behind_an_unregister_is_unknown(desk, kit, session, toy):
    """Commands behind the end of their session are refused, and have no effect."""
    desk.commands(session, 4, kit.operation(toy, "tell", "early"))
    desk.turn()
    desk.unregister(session, 2)
    desk.commands(session, 3, kit.operation(toy, "tell", "behind"))
    answers = {answer.kind: answer.code for answer in desk.turn() if answer.kind != frames.RESULTS}
    assert answers == {frames.UNREGISTERED: 0, frames.REFUSED: errors.UNKNOWN_SESSION}
    assert told(desk, toy) == [("closed", session)]


def test_an_expired_session_answers_what_was_applied_and_refuses_the_rest(desk, kit, session, toy):
    """An expiry in the log decides: before it a result, behind it UNKNOWN_SESSION."""
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.leadership.intake.records.append((UNREGISTER, 0, 0, session, 0, b""))
    desk.commands(session, 3, kit.operation(toy, "tell", "b"))
    answers = [(answer.kind, answer.code) for answer in desk.turn()]
    assert answers == [(frames.RESULTS, 0), (frames.REFUSED, errors.UNKNOWN_SESSION)]
    assert told(desk, toy) == ["a", ("expired", session)]


# -- stepping down -------------------------------------------------------------------------------------


def test_stepping_down_answers_everyone_who_waits(desk, kit, session, toy):
    """On stepping down every waiting request is answered NOT_LEADER: logged, early and unregistering ones."""
    desk.committing = False
    requests = [
        desk.commands(session, 2, kit.operation(toy, "tell", "a")),
        desk.commands(session, 5, kit.operation(toy, "tell", "early")),
        desk.unregister(session, 3),
    ]
    desk.turn()
    desk.leadership.step_down()
    answers = desk.answers()
    assert sorted(answer.reply.request for answer in answers) == requests
    assert {answer.code for answer in answers} == {errors.NOT_LEADER}


def test_stepping_down_forgets_what_was_decoded(desk, kit, session, toy):
    """The log may change under those indexes."""
    desk.committing = False
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.turn()
    desk.leadership.step_down()
    assert desk.executor.decoded == {}


def test_the_expected_sequence_of_a_new_term_counts_the_log_above_applied(desk, kit, session, toy):
    """What a predecessor logged spends its sequence; a leader takes nothing before it has applied that."""
    desk.committing = False
    desk.commands(session, 2, kit.operation(toy, "tell", "a"))
    desk.turn()
    desk.leadership.step_down()
    desk.answers()
    desk.lead()
    desk.commands(session, 2, kit.operation(toy, "tell", "repeated"))
    assert desk.turn() == []
    desk.committing = True
    assert desk.turn()[0].values == [1]
    assert told(desk, toy) == ["a"]


# -- replicas ------------------------------------------------------------------------------------------


def test_a_follower_of_the_same_log_has_the_same_state(desk, kit, session, toy):
    """Only what is in the log makes a replica forget: tables are equal at equal index."""
    for sequence in range(2, 40):
        part = b"" if sequence % 5 == 0 else kit.operation(toy, "keep", sequence)
        desk.commands(session, sequence, part, acknowledged=sequence // 2)
        desk.turn()
    follower = Executor(kit.MACHINES)
    kit.apply(follower, desk.log)
    assert kit.state_of(follower) | {"released": []} == kit.state_of(desk.executor) | {"released": []}
    assert follower.released == desk.released
