"""What became of a sequence: each answer, for sessions that are open, that have ended, and that nobody may ask about."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors, frames, outcomes
from ocelog.client.protocol.outcomes import (
    ACKNOWLEDGED,
    APPLIED,
    FORGOTTEN,
    NEVER,
    PENDING,
    Outcome,
    OutcomeQuery,
)
from ocelog.shard.ended import KEPT_MS

ASKER = b"a" * 16
KEY = b"k" * 16
ASKED_MS = 10_000


class Asking:
    """A session that sends commands, and another that asks about them."""

    def __init__(self, kit):
        self.kit = kit
        self.desk = kit.Desk()
        self.asker = self.desk.register(ASKER)
        self.session = self.desk.register(KEY)
        self.toy = self.desk.open(self.session, 1, "toy")

    def ask(self, sequence, *, session=None, key=KEY, confirm=True, **fields):
        """The answers to one question."""
        body = outcomes.pack_outcome_query(OutcomeQuery(session or self.session, key, sequence))
        fields = {"session": self.asker, "key": ASKER, "milliseconds_left": ASKED_MS} | fields
        self.request = self.desk.send(frames.OUTCOME, body, **fields)
        return self.desk.turn(confirm=confirm)

    def outcome(self, sequence, **fields):
        """The one outcome that is answered."""
        (answer,) = self.ask(sequence, **fields)
        assert (answer.kind, answer.reply.request) == (frames.OUTCOME_REPORT, self.request)
        return outcomes.unpack_outcome(answer.body)

    def command(self, sequence, *operation, **fields):
        """One command; returns its log index."""
        self.desk.commands(self.session, sequence, self.kit.operation(self.toy, *operation), **fields)
        self.desk.turn()
        return len(self.desk.log)


@pytest.fixture
def asking(kit):
    return Asking(kit)


def test_an_applied_sequence_has_its_index_and_result(asking):
    """Good or bad: the result is what the caller would have got."""
    index = asking.command(2, "echo", 7)
    outcome = asking.outcome(2)
    assert (outcome.answer, outcome.index) == (APPLIED, index)
    assert asking.kit.decoded(outcome.result) == (errors.OK, 7)
    asking.command(3, "fail_late", 99)
    assert asking.kit.decoded(asking.outcome(3).result)[0] == errors.MACHINE_ERROR


def test_it_may_be_asked_without_a_session(asking):
    """Whoever has the key may know, also when their own session has ended."""
    asking.command(2, "echo", 7)
    outcome = asking.outcome(2)
    (answer,) = _without_session(asking, 2, KEY)
    assert (answer.kind, answer.reply.session) == (frames.OUTCOME_REPORT, 0)
    assert outcomes.unpack_outcome(answer.body) == outcome
    (answer,) = _without_session(asking, 2, ASKER)
    assert outcomes.unpack_outcome(answer.body).answer == FORGOTTEN


def _without_session(asking, sequence, key):
    body = outcomes.pack_outcome_query(OutcomeQuery(asking.session, key, sequence))
    asking.desk.send(frames.OUTCOME, body, session=0, key=bytes(16), milliseconds_left=ASKED_MS)
    return asking.desk.turn(confirm=True)


def test_a_void_is_told_as_what_it_stands_for(asking):
    """Surely not applied: the error in its place says so."""
    asking.desk.commands(asking.session, 2, b"")
    asking.desk.turn()
    outcome = asking.outcome(2)
    assert outcome.answer == APPLIED
    code, _ = asking.kit.decoded(outcome.result)
    assert code == errors.VOIDED
    assert errors.ROWS[code].definite


def test_an_acknowledged_sequence_was_applied(asking):
    """Its result is forgotten; that it was spent is not."""
    asking.command(2, "echo", 7)
    asking.command(3, "echo", 8, acknowledged=2)
    assert asking.outcome(2) == Outcome(ACKNOWLEDGED, 0, b"")
    assert asking.outcome(3).answer == APPLIED


def test_what_is_not_spent_yet_is_pending(asking):
    """The session's own client makes that final."""
    assert asking.outcome(2) == Outcome(PENDING, 0, b"")


def test_what_an_ended_session_did_not_spend_never_was(asking):
    """Nor will it be."""
    index = asking.command(2, "echo", 7)
    asking.desk.unregister(asking.session, 3)
    asking.desk.turn()
    assert asking.outcome(3) == asking.outcome(4) == Outcome(NEVER, 0, b"")
    outcome = asking.outcome(2)
    assert (outcome.answer, outcome.index) == (APPLIED, index)


def test_an_expired_session_is_told_of_like_one_that_was_closed(kit):
    """Its client cannot know either: the record is for it."""
    asking = Asking(kit)
    asking.session = asking.desk.register(b"e" * 16, timeout_ms=1000)
    for _ in range(5):
        asking.desk.keep_alive(asking.asker, key=ASKER)
        asking.desk.ticks(10)
    assert asking.desk.executor.sessions.get(asking.session) is None
    assert asking.outcome(1, key=b"e" * 16).answer == NEVER


def test_an_ended_session_is_forgotten_after_an_hour(asking):
    """Of log time; then nothing can be said, least of all that it was not applied."""
    asking.command(2, "echo", 7)
    asking.desk.unregister(asking.session, 3)
    asking.desk.turn()
    for _ in range(KEPT_MS // 1000 + 1):
        asking.desk.now += 1000
        asking.desk.register(b"x" * 16)
    assert asking.outcome(2) == Outcome(FORGOTTEN, 0, b"")


def test_a_wrong_key_is_told_nothing(asking):
    """Not even that there is such a session, open or ended."""
    asking.command(2, "echo", 7)
    wrong = {"key": b"w" * 16}
    body = outcomes.pack_outcome_query(OutcomeQuery(asking.session, b"w" * 16, 2))

    def answers():
        asking.desk.send(frames.OUTCOME, body, session=asking.asker, key=ASKER)
        (answer,) = asking.desk.turn()
        return outcomes.unpack_outcome(answer.body)

    assert answers() == Outcome(FORGOTTEN, 0, b"")
    asking.desk.unregister(asking.session, 3)
    asking.desk.turn()
    assert answers() == Outcome(FORGOTTEN, 0, b"")
    (refused,) = asking.ask(2, session=asking.session, **wrong)
    assert refused.kind == frames.OUTCOME_REPORT
    assert outcomes.unpack_outcome(refused.body) == Outcome(FORGOTTEN, 0, b"")


def test_a_session_that_never_was_is_forgotten(asking):
    """So is one above the log."""
    assert asking.outcome(1, session=2**63).answer == FORGOTTEN
    assert asking.outcome(1, session=1).answer == FORGOTTEN


def test_only_an_open_session_asks(asking):
    """The header's session and key are checked as everywhere."""
    body = outcomes.pack_outcome_query(OutcomeQuery(asking.session, KEY, 1))
    asking.desk.send(frames.OUTCOME, body, session=asking.asker, key=b"w" * 16)
    assert [answer.code for answer in asking.desk.turn()] == [errors.UNKNOWN_SESSION]


def test_it_is_answered_only_by_a_leader_that_is_confirmed(asking):
    """A leader that was replaced would say "not yet" of what its successor has applied."""
    assert asking.ask(2, confirm=False) == []
    assert asking.desk.turn(confirm=False) == []
    asking.desk.leadership.confirm(max(asking.desk.leadership.reads._rounds), asking.desk.executor.applied_index)
    (answer,) = asking.desk.turn()
    assert outcomes.unpack_outcome(answer.body).answer == PENDING


def test_it_waits_for_the_confirmed_index(asking):
    """What was committed when the round began must be applied first."""
    asking.desk.committing = False
    asking.desk.commands(asking.session, 2, asking.kit.operation(asking.toy, "echo", 7))
    asking.desk.turn()
    assert asking.ask(2) == []
    asking.desk.committing = True
    answers = asking.desk.turn()
    (report,) = [answer for answer in answers if answer.kind == frames.OUTCOME_REPORT]
    assert outcomes.unpack_outcome(report.body).answer == APPLIED


def test_stepping_down_answers_who_asks(asking):
    """NOT_LEADER; asking again is harmless."""
    asking.ask(2, confirm=False)
    asking.desk.leadership.step_down()
    assert [answer.code for answer in asking.desk.answers()] == [errors.NOT_LEADER]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_question_that_cannot_be_read_is_refused(asking, body):
    """BAD_MESSAGE."""
    asking.desk.send(frames.OUTCOME, body, session=asking.asker, key=ASKER)
    assert [answer.code for answer in asking.desk.turn()] == [errors.BAD_MESSAGE]
