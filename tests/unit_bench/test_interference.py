"""The comparison with and without compaction: which loads run beside compactions, and what is told of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ocelog.bench import interference
from ocelog.bench.filled import NotDone
from ocelog.bench.harness import Phase
from ocelog.bench.history import History
from ocelog.bench.interference import Compacting, Comparison
from ocelog.bench.plan import Plan
from ocelog.bench.rows import ROW
from ocelog.cluster.maintenance import DONE, FAILED, Outcome

MS = 1_000_000


class Cluster:
    endpoints = ("tcp://127.0.0.1:9",)


@pytest.fixture
def compacted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry per run of a compaction that was carried out."""
    runs: list[bool] = []

    def carry_out(endpoints: Any, wanted: Any, shard: Any, timeout: float) -> list[Outcome]:
        runs.append(wanted.major)
        threading.Event().wait(0.01)
        return [Outcome(shard=0, replica=replica, result=DONE, seconds=0.01, segments=2) for replica in range(3)]

    monkeypatch.setattr(interference, "carry_out", carry_out)
    return runs


def test_loads_take_turns_alone_and_beside_compactions(compacted: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[tuple[float, bool]] = []

    def run_phase(plans: list[Plan]) -> Phase:
        """A hundred puts in a second; of those beside a compaction each tenth takes long."""
        (plan,) = plans
        before = len(compacted)
        threading.Event().wait(0.05)
        beside = len(compacted) > before
        loads.append((plan.rate, beside))
        slow = [100 * MS if beside and number % 10 == 0 else MS for number in range(100)]
        rows = [(0, number, -1, 10 * MS * number, 10 * MS * number + took) for number, took in enumerate(slow)]
        return Phase(history=History.from_blocks(ROW.pack(*row) for row in rows), offered=100)

    monkeypatch.setattr(interference, "run_phase", run_phase)
    monkeypatch.setattr(interference, "fill", lambda cluster, **how: None)
    comparison = Comparison(Cluster(), keys=10, seconds=1.0, in_time_ms=50.0, every=0.0)
    comparison.run(rounds=2)
    half = comparison.rate
    assert half == pytest.approx(50.0, rel=0.02)
    first = [(0.0, False), (0.0, False)]
    assert loads == [*first, *[(half, False), (0.0, False), (half, True), (0.0, True)] * 2]
    assert (comparison.alone.in_time_share, comparison.beside.in_time_share) == (1.0, 0.9)
    assert (comparison.alone.runs, comparison.beside.runs > 0, set(compacted)) == (0, True, {True})
    table = dict(interference.rows(comparison))
    assert comparison.beside.segments == 2 * comparison.beside.runs
    assert table["alone"].startswith("100.00% in time")
    assert table["compacting"].startswith("90.00% in time")
    assert table["p99"].startswith("100.") or table["p99"].startswith("99.")


def test_a_compaction_that_fails_ends_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Outcome(shard=0, replica=2, result=FAILED, reason="no space")
    monkeypatch.setattr(interference, "carry_out", lambda *arguments: [failed])
    compacting = Compacting(["tcp://127.0.0.1:9"], 1.0)
    compacting.begin()
    with pytest.raises(NotDone, match="replica 2: failed: no space"):
        compacting.end()
