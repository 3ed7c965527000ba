"""Throughput, gaps and tenths of histories made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ocelog.bench.figures import measure
from ocelog.bench.history import History
from ocelog.bench.rows import NEVER, NOTHING

SECOND = 1_000_000_000


def history(started: list[int], finished: list[int]) -> History:
    fixed = np.zeros(len(started), dtype=np.int64)
    return History(
        key=fixed,
        wrote=fixed + NOTHING,
        read=fixed,
        started=np.array(started, dtype=np.int64),
        finished=np.array(finished, dtype=np.int64),
    )


def test_throughput_runs_from_first_start_to_last_end() -> None:
    figures = measure(history([5 * SECOND, 6 * SECOND], [6 * SECOND, 9 * SECOND]))
    assert (figures.operations, figures.seconds, figures.operations_per_second) == (2, 4.0, 0.5)
    assert figures.latency.longest == 3 * SECOND


def test_the_longest_gap_may_be_in_the_middle_or_before_the_first_end() -> None:
    middle = measure(history([0, 1, 2], [SECOND, 4 * SECOND, 5 * SECOND]))
    assert middle.longest_gap_ms == pytest.approx(3000.0)
    first = measure(history([0, 1, 2], [4 * SECOND, 5 * SECOND, 6 * SECOND]))
    assert first.longest_gap_ms == pytest.approx(4000.0)


def test_an_unknown_outcome_counts_in_nothing() -> None:
    figures = measure(history([0, 1], [SECOND, NEVER]))
    assert (figures.operations, figures.seconds) == (1, 1.0)


def test_tenths_are_of_the_operations() -> None:
    """Ten operations a second apart, ten that take twice as long each: the pace halves in the sixth tenth."""
    ends = [SECOND * n for n in range(1, 11)] + [10 * SECOND + 2 * SECOND * n for n in range(1, 11)]
    figures = measure(history([0] * 20, ends))
    assert figures.tenths == pytest.approx((1.0,) * 5 + (0.5,) * 5)


def test_nothing_done_is_no_division_by_zero() -> None:
    figures = measure(history([0], [NEVER]))
    assert (figures.operations, figures.operations_per_second, figures.tenths) == (0, 0.0, ())
