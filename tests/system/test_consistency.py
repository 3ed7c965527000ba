"""Histories of real processes under kills: every level, events, commands that wait for them; all of it checked.

The same for longer: `python -m ocelog.bench.consistency --minutes 10`.
"""

from __future__ import annotations

import pytest
from ocelog.bench.consistency.records import LINEARIZABLE
from ocelog.bench.consistency.run import Plan, Report, run
from ocelog.bench.consistency.streams import answered_early
from ocelog.bench.consistency.timeline import change_of

pytestmark = pytest.mark.system


def test_every_promise_is_kept_while_leaders_and_routers_are_killed() -> None:
    report = run(Plan(seconds=12, clients=3, routers=2, every=2.0, seed=3))
    assert not report.complaints, "\n".join(report.complaints[:20])
    assert sum(report.faults.values()) >= 2, report
    assert waited_for(report) >= 20, report
    for what in ("linearizable reads", "bounded reads", "sequential reads", "causal reads", "linearizable commands"):
        assert report.counts[what] >= 20, report


def waited_for(report: Report) -> int:
    """How many commands that had listeners to wait for returned; had they not waited, the checker would have said so."""
    commands = [
        operation
        for operation in report.history.operations
        if operation.level == LINEARIZABLE and not operation.is_query and change_of(operation) is not None
    ]
    events = {given.index for listener in report.history.listeners for given in listener.given}
    assert answered_early(report.history) == []
    return sum(operation.index in events for operation in commands)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_the_same_for_minutes(seed: int) -> None:
    report = run(Plan(seconds=150, seed=seed))
    assert not report.complaints, "\n".join(report.complaints[:20])
