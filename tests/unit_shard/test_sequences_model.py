"""The sequencing rules hold under an adversary, and breaking one of them is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.log.entry import VOID
from ocelog.shard.executor import Executor
from ocelog.shard.intake import Intake
from ocelog.shard.leadership import Leadership
from ocelog.shard.reads import Reads

from .campaign import CHUNK, Patch, expect_a_violation, play, play_all, quiet
from .sequencing import Run

__all__ = ["quiet"]


@pytest.mark.parametrize("first", range(0, 600, CHUNK))
def test_every_property_holds(first):
    """At most once, program order, definite failures, own results, fresh queries, equal replicas, nobody stuck."""
    play_all(Run, first)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(600, 20_600, 1000))
def test_every_property_holds_for_long(first):
    """The same, for minutes."""
    play_all(Run, first, 1000)


def test_a_seed_is_one_history():
    """A failing seed can be replayed."""
    histories = []
    for _ in range(2):
        run = play(Run, 7)
        histories.append((run.committed, run.definite, run.done_well, run.now))
    assert histories[0] == histories[1]


def test_the_runs_reach_what_they_are_about():
    """A run in which nothing happens proves nothing."""
    runs = [play(Run, seed) for seed in range(40)]
    assert sum(len(each.done_well) for each in runs) > 150
    assert sum(len(each.definite) for each in runs) > 50
    assert sum(len(each.ended) for each in runs) > 0


# -- deliberate breaks ---------------------------------------------------------------------------------


def share_the_room_of_early_commands(patch: Any) -> None:
    """The expected command is refused while early ones take all of the room."""
    room = Intake._room

    def shared(self: Intake, session: Any, header: Any, expected: int) -> int:
        return expected - 1 if self._early._messages >= 1 else room(self, session, header, expected)

    patch.setattr(Intake, "_room", shared)


def answer_a_void_without_logging_it(patch: Any) -> None:
    """A refusal for good that spends nothing: its sequence is free for another."""
    verdicts = Intake._verdicts

    def judged(self: Intake, header: Any, *rest: Any) -> Any:
        return [verdict for verdict in verdicts(self, header, *rest) if verdict.kind != VOID]

    patch.setattr(Intake, "_verdicts", judged)


def let_a_full_disk_spend_sequences(patch: Any) -> None:
    """NO_SPACE, but the sequence counts as used."""
    refused = Intake.refused

    def spending(self: Intake) -> None:
        expected = dict(self._expected)
        refused(self)
        self._expected = expected

    patch.setattr(Intake, "refused", spending)


def forget_unacknowledged_results(patch: Any) -> None:
    """Every entry claims that its client has all results before it."""
    record = Intake._record

    def greedy(self: Intake, *arguments: Any) -> None:
        record(self, *arguments)
        self.records = [(kind, mode, 1, *rest) for kind, mode, _, *rest in self.records]

    patch.setattr(Intake, "_record", greedy)


def read_without_a_round(patch: Any) -> None:
    """A leader answers queries without asking whether it still leads."""

    def at_once(self: Reads) -> None:
        self._confirmed += [(self.executor.applied_index, read) for read in self._arrived]
        self._arrived = []

    patch.setattr(Reads, "next_round", at_once)


def read_before_own_commands(patch: Any) -> None:
    """A query does not wait for what its session sent before it."""
    add = Reads.add

    def eager(self: Reads, read: Any) -> None:
        add(self, read._replace(header=read.header._replace(first_sequence=0)))

    patch.setattr(Reads, "add", eager)


def call_sessions_unknown_without_asking(patch: Any) -> None:
    """A leader that was replaced tells clients that their sessions have ended."""
    session_of = Leadership._session_of

    def rash(self: Leadership, origin: Any, header: Any) -> Any:
        if self.executor.sessions.get(header.session) is None:
            self._refuse(origin, header, errors.UNKNOWN_SESSION, "never heard of it")
            return None
        return session_of(self, origin, header)

    patch.setattr(Leadership, "_session_of", rash)


def begin_before_the_no_op_is_applied(patch: Any) -> None:
    """A leader works with a session table that lacks what its predecessor logged."""
    settle = Leadership.settle

    def hasty(self: Leadership) -> None:
        if not self._begun:
            self._begin()
        settle(self)

    patch.setattr(Leadership, "settle", hasty)
    call_sessions_unknown_without_asking(patch)


def keep_what_was_decoded_for_another_log(patch: Any) -> None:
    """After losing its term a leader applies what it had decoded at an index to whatever is there now."""
    step_down = Intake.step_down

    def forgetful(self: Intake) -> None:
        decoded = dict(self.executor.decoded)
        step_down(self)
        self.executor.decoded.update(decoded)

    patch.setattr(Intake, "step_down", forgetful)


def answer_when_logged(patch: Any) -> None:
    """A command is reported as done before it is committed."""
    spend = Intake._spend

    def early(self: Intake, session: Any, first: int, waiting: Any) -> None:
        spend(self, session, first, waiting)
        results = [b"\x00" + self.records[-1][5][-1:]] * (waiting.last - waiting.first + 1)
        body = frames.pack_results([1] * len(results), results)
        self.outbox.answer(
            waiting.origin,
            frames.RESULTS,
            waiting.request,
            session.id,
            body,
            count=len(results),
            first_sequence=waiting.first,
        )

    patch.setattr(Intake, "_spend", early)


def let_each_replica_release_for_itself(patch: Any) -> None:
    """A repetition's entry is released by the leader that knows it, and by nobody else."""
    fail = Executor._fail

    def partial(self: Executor, index: int, mode: int, code: int, text: str) -> bytes:
        return fail(self, index, mode if self.decoded else 0, code, text)

    patch.setattr(Executor, "_fail", partial)


BREAKS: list[Patch] = [
    share_the_room_of_early_commands,
    answer_a_void_without_logging_it,
    let_a_full_disk_spend_sequences,
    forget_unacknowledged_results,
    read_without_a_round,
    read_before_own_commands,
    call_sessions_unknown_without_asking,
    begin_before_the_no_op_is_applied,
    keep_what_was_decoded_for_another_log,
    answer_when_logged,
    let_each_replica_release_for_itself,
]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_rule_is_noticed(break_it, monkeypatch):
    """A property that no break violates would not be checked."""
    expect_a_violation(Run, break_it, monkeypatch)
