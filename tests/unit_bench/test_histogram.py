"""The histogram against the sorted list it stands for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.bench.histogram import RELATIVE_ERROR, VALUE_MAX, Histogram

durations = st.lists(st.integers(0, VALUE_MAX) | st.integers(0, 1000), min_size=1, max_size=200)


@given(durations, st.floats(0, 1))
def test_a_quantile_is_never_low_and_at_most_one_bucket_high(values: list[int], fraction: float) -> None:
    exact = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]
    told = Histogram.of(values).quantile(fraction)
    assert exact <= told <= exact * (1 + RELATIVE_ERROR)


@given(durations, durations)
def test_merging_is_recording_everything_in_one(left: list[int], right: list[int]) -> None:
    merged = Histogram.of(left)
    merged.merge([Histogram.of(right)])
    whole = Histogram.of(left + right)
    assert (merged.counts == whole.counts).all()
    assert merged.longest == whole.longest == max(left + right)
    assert len(merged) == len(left) + len(right)


def test_longer_than_the_longest_counts_as_the_longest() -> None:
    histogram = Histogram.of([VALUE_MAX * 2])
    assert histogram.quantile(1.0) == VALUE_MAX


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 ns"):
        Histogram.of([5, -1])


def test_nothing_recorded_is_all_zero() -> None:
    assert set(Histogram().summary_ms().values()) == {0.0}


def test_the_summary_is_in_milliseconds() -> None:
    summary = Histogram.of([1_000_000] * 999 + [50_000_000]).summary_ms()
    assert summary["p50"] == pytest.approx(1.0, rel=RELATIVE_ERROR)
    assert summary["max"] == 50.0
