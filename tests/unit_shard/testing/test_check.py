"""The testing kit itself: each kind of wrong machine is caught, with the shortest history; right ones pass."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import strategies as st
from ocelog.shard.testing import (
    MachineBroken,
    acknowledge,
    again,
    by,
    check,
    close,
    expire,
    handled,
    noop,
    reopen,
    void,
    wait,
)
from ocelog.shard.testing.workers import WORKER

from . import wrong

DEPOSITS = {"deposit": (("b", "a"), (1, 2))}
PUTS = {"put": (("b", "a"), (1, 2)), "remove": (("b", "a"),)}
EVERYTHING = [
    *(("put", "a", 1), by(1, "put", "b", 2), wait(5), noop(), again(), ("remove", "b"), void(0), acknowledge(0)),
    *(handled(1), expire(1), ("put", "a", 3), reopen(1), by(1, "put", "a", 1), close(0), by(1, "remove", "a")),
]


def broken(machine: Any, commands: Any, **options: Any) -> MachineBroken:
    """What the kit says of a machine."""
    with pytest.raises(MachineBroken) as caught:
        check(machine, commands, **options)
    return caught.value


@pytest.mark.parametrize("processes", [False, True])
def test_right_machines_pass(processes: bool) -> None:
    check(wrong.Ledger, DEPOSITS, queries=[("balance", "a")], examples=20, processes=processes)
    check(wrong.Shelf, PUTS, examples=20, processes=processes)
    check(wrong.Shelf, EVERYTHING, processes=processes)


WRONG = [
    (wrong.ForgetsToSnapshot, DEPOSITS, "restore", "its state", 1),
    (wrong.InstallsAnotherOrder, DEPOSITS, "restore", "its state", 2),
    (wrong.ReleasesTooEarly, PUTS, "restore", "its state", 1),
    (wrong.CountsInMemory, PUTS, "restore", "its state", 1),
    (wrong.OverwritesInPlace, PUTS, "restore", "its state", 3),
    (wrong.ForgetsItsTimer, PUTS, "restore", "its timers that entries own", 1),
    (wrong.AsksWhenItRestores, {**PUTS, "replace": (("a",), (9,))}, "restore", "restoring replace releases", 2),
    (wrong.KeepsTheSessionsOfMemory, DEPOSITS, "restore", "its state", 1),
    (wrong.SnapshotsWhatCannotBePacked, DEPOSITS, "snapshot", "can not serialize 'set' object", 0),
    (wrong.ReleasesTwice, PUTS, "release", "released before", 2),
    (wrong.ReleasesOthers, PUTS, "release", "no RELEASE command's", 1),
    (wrong.Hoards, PUTS, "release", "live_entries() is wrong", 1),
    (wrong.HoardsUntold, PUTS, "hoards", "is still live, and the state is the same without it", 1),
    (wrong.HoardsWhatItRefused, PUTS, "release", "live_entries() is wrong", 2),
    (wrong.LiesAboutItsEntries, PUTS, "release", "live_entries() is wrong", 1),
    (wrong.IteratesASet, DEPOSITS, "processes", "two replicas differ in their results", 1),
    (wrong.PublishesInTheOrderOfASet, DEPOSITS, "processes", "two replicas differ in their events", 1),
    (wrong.ShowsAnAddress, DEPOSITS, "differs", "two replicas that apply the same differ: its results", 1),
    (wrong.SwallowsEverything, DEPOSITS, "forbidden", "calls time.time()", 1),
    (wrong.ReadsTheClockInATimer, DEPOSITS, "forbidden", "later (line", 2),
]


@pytest.mark.parametrize(
    ("machine", "commands", "kind", "said", "most"), WRONG, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_wrong_machine_is_caught(machine: Any, commands: Any, kind: str, said: str, most: int) -> None:
    """Within seconds, with no more commands than are needed."""
    began = time.monotonic()
    error = broken(machine, commands)
    assert error.problem.kind == kind, error
    assert said in str(error)
    assert sum(step[0] in ("command", "again") for step in error.steps) <= max(most, 1), error
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(("call", "machine"), wrong.FORBIDDEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_forbidden_is_named(call: str, machine: Any) -> None:
    """Clocks, randomness, threads, files and `hash`, however they were imported."""
    error = broken(machine, [("deposit", "a", 1)], processes=False)
    assert error.problem.kind == "forbidden"
    assert "deposit (line " in str(error) and f"calls {call}: " in str(error)


def test_a_query_that_writes_is_caught() -> None:
    error = broken(wrong.WritesInAQuery, DEPOSITS, queries=[("balance", "z")], processes=False)
    assert "the query balance changes the state" in str(error)


def test_the_story_is_told_step_by_step() -> None:
    """What was left out was not needed; sessions, modes and results are there."""
    error = broken(
        wrong.OverwritesInPlace, [("remove", "z"), ("put", "a", 1), by(1, "put", "b", 2), wait(3), ("put", "a", 3)]
    )
    lines = str(error).splitlines()
    assert lines[0] == "OverwritesInPlace breaks. The shortest history that was found:"
    assert lines[1:4] == [
        "    1  entry 4: session 0: put('a', 1)  [RELEASE] -> None",
        "    2  entry 5: session 1: put('b', 2)  [RELEASE] -> None",
        "    3  entry 6: session 0: put('a', 3)  [RELEASE] -> None",
    ]
    assert lines[4].startswith("  after step 3: restored from the snapshot taken here, a replica has another state")
    assert "{'a': (6, 3), 'b': (5, 2)}" in lines[6]


@pytest.mark.parametrize("strategy", ["commands", "histories"])
def test_a_strategy_of_hypothesis_is_drawn_from(strategy: str) -> None:
    one = st.tuples(st.just("deposit"), st.sampled_from("ab"), st.integers(0, 9))
    commands = one if strategy == "commands" else st.lists(one, max_size=5)
    check(wrong.Ledger, commands, examples=10)
    error = broken(wrong.ForgetsToSnapshot, commands, examples=10)
    assert len(error.steps) == 1


def test_what_cannot_be_tried_is_said() -> None:
    class Local(wrong.Ledger):
        pass

    with pytest.raises(TypeError, match="defined in a function"):
        check(Local, DEPOSITS)
    check(Local, [("deposit", "a", 1)], processes=False)
    with pytest.raises(TypeError, match="no StateMachine"):
        check(dict, DEPOSITS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="has no command 'withdraw'"):
        check(wrong.Ledger, {"withdraw": ()})
    with pytest.raises(TypeError, match="deposit takes 2 to 2 arguments, not 1"):
        check(wrong.Ledger, {"deposit": (("a",),)})
    with pytest.raises(TypeError, match="a step is"):
        check(wrong.Ledger, [3])
    with pytest.raises(TypeError, match="commands are"):
        check(wrong.Ledger, 3)


def test_a_worker_checks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module it loads may call check."""
    monkeypatch.setenv(WORKER, "1")
    check(wrong.ForgetsToSnapshot, DEPOSITS)
