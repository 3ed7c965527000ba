"""The plan: which segments are rewritten, and which bytes of one stay; compared with the same rules spelled out in loops."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log.compaction import (
    MissingEntry,
    SegmentStats,
    keep_mask,
    live_bytes,
    plan,
    runs,
    within,
)
from ocelog.log.entry import RELEASE, SNAPSHOT
from ocelog.log.segment import SPARSE_ROW_BYTES

Row = tuple[int, int, int, int]
"""Version, entries, live entries, bytes per entry."""


def stats_of(rows: list[Row], *, gap: int = 0) -> SegmentStats:
    """Segments that follow each other, `gap` indexes between two."""
    version, entries, live, size = np.array(rows, np.int64).reshape(-1, 4).T
    first = np.cumsum(entries + gap) - entries - gap + 1
    return SegmentStats(
        first_index=first,
        last_index=first + entries - 1,
        generation=np.arange(len(rows)),
        version=version,
        entries=entries,
        live_entries=live,
        bytes=entries * size,
        live_bytes=live * size,
    )


def planned(
    stats: SegmentStats,
    *,
    major: bool,
    snapshot_index: int = 1 << 40,
    needed_from: int = 1 << 40,
    threshold: float = 0.5,
    bytes_max: int = 10_000,
    entries_max: int = 1000,
) -> list[list[int]]:
    """The groups, as lists."""
    groups = plan(
        stats,
        snapshot_index=snapshot_index,
        needed_from=needed_from,
        threshold=threshold,
        segment_bytes_max=bytes_max,
        segment_entries_max=entries_max,
        major=major,
    )
    return [group.tolist() for group in groups]


# -- minor -----------------------------------------------------------------------------------------------


def test_minor_takes_what_is_worth_it_the_emptiest_first() -> None:
    stats = stats_of([(1, 10, 5, 100), (1, 10, 6, 100), (1, 10, 0, 100), (1, 10, 10, 100), (1, 10, 1, 100)])
    assert planned(stats, major=False) == [[2], [4], [0]]


def test_minor_asks_less_of_older_segments_up_to_a_bound() -> None:
    """Dead fraction x version; without the bound a segment of version 50 would be rewritten for one entry in a hundred."""
    one_in_ten_dead = [(version, 10, 9, 100) for version in (1, 2, 3, 4, 5, 50)]
    assert planned(stats_of(one_in_ten_dead), major=False) == []
    assert planned(stats_of(one_in_ten_dead), major=False, threshold=0.4) == [[3], [4], [5]]


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_minor_never_takes_what_has_nothing_dead(threshold: float) -> None:
    assert planned(stats_of([(9, 10, 10, 100)]), major=False, threshold=threshold) == []


@pytest.mark.parametrize("major", [False, True])
def test_what_reaches_above_the_snapshot_or_is_still_needed_is_left_alone(major: bool) -> None:
    stats = stats_of([(1, 10, 0, 100)] * 4)

    def flat(**bounds: int) -> list[int]:
        return sorted(chain.from_iterable(planned(stats, major=major, **bounds)))

    assert flat() == [0, 1, 2, 3]
    assert flat(snapshot_index=30) == [0, 1, 2]
    assert flat(snapshot_index=29) == [0, 1]
    assert flat(needed_from=31) == [0, 1, 2]
    assert flat(needed_from=30) == [0, 1]
    assert flat(needed_from=1) == flat(snapshot_index=0) == []


# -- major -----------------------------------------------------------------------------------------------


def test_major_combines_neighbours_while_they_fit() -> None:
    stats = stats_of([(1, 50, 30, 100)] * 7)
    assert planned(stats, major=True, bytes_max=10_500) == [[0, 1, 2], [3, 4, 5], [6]]
    assert planned(stats, major=True, bytes_max=1 << 20) == [[0, 1, 2, 3, 4, 5, 6]]
    assert planned(stats, major=True, bytes_max=1 << 20, entries_max=60) == [[0, 1], [2, 3], [4, 5], [6]]


def test_major_rewrites_alone_what_is_too_large_for_a_segment() -> None:
    stats = stats_of([(1, 500, 300, 100), (1, 500, 300, 100)])
    assert planned(stats, major=True, bytes_max=4096, entries_max=10) == [[0], [1]]


def test_major_leaves_alone_what_is_whole_and_fits_nobody() -> None:
    assert planned(stats_of([(1, 90, 90, 100), (1, 90, 90, 100), (1, 90, 89, 100)]), major=True) == [[2]]


def test_what_is_left_out_separates() -> None:
    """A segment in between that is still needed must not end up inside what two others cover."""
    stats = stats_of([(1, 10, 1, 100)] * 5)
    stats.last_index[2] = 1 << 50  # as one that reaches above S would
    assert planned(stats, major=True) == [[0, 1], [3, 4]]


def test_a_plan_for_nothing_is_empty() -> None:
    assert planned(stats_of([]), major=True) == planned(stats_of([]), major=False) == []


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 40), st.integers(0, 40), st.sampled_from([56, 104, 1000])).map(
            lambda row: (row[0], row[1], min(row[1], row[2]), row[3])
        ),
        max_size=12,
    ),
    snapshot_index=st.integers(0, 500),
    needed_from=st.integers(0, 500),
    bytes_max=st.sampled_from([4096, 9000, 100_000]),
    entries_max=st.sampled_from([20, 100, 1000]),
    gap=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_major_groups_are_neighbours_that_fit_and_no_dead_entry_is_left(
    rows: list[Row], snapshot_index: int, needed_from: int, bytes_max: int, entries_max: int, gap: int
) -> None:
    stats = stats_of(rows, gap=gap)
    groups = planned(
        stats,
        major=True,
        snapshot_index=snapshot_index,
        needed_from=needed_from,
        bytes_max=bytes_max,
        entries_max=entries_max,
    )
    taken = list(chain.from_iterable(groups))
    assert taken == sorted(set(taken))
    for group in groups:
        assert group == list(range(group[0], group[-1] + 1))
        assert stats.last_index[group[-1]] <= snapshot_index and stats.last_index[group[-1]] < needed_from
        entries = int(stats.live_entries[group].sum())
        size = int(stats.live_bytes[group].sum()) + SPARSE_ROW_BYTES * entries
        assert len(group) == 1 or (entries <= entries_max and size < bytes_max)
    for position in range(len(rows)):
        if stats.last_index[position] <= min(snapshot_index, needed_from - 1) and position not in taken:
            assert stats.live_entries[position] == stats.entries[position]


# -- what stays of a segment -------------------------------------------------------------------------------


@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 4), st.sampled_from([SNAPSHOT, RELEASE]), st.booleans(), st.sampled_from([48, 56, 320])
        ),
        max_size=60,
    ),
    dense=st.booleans(),
    begin=st.sampled_from([1, 1000, 1 << 40]),
    above=st.integers(0, 20),
)
@settings(max_examples=300, deadline=None)
def test_what_stays_is_what_is_live_or_above_s(
    rows: list[tuple[int, int, bool, int]], dense: bool, begin: int, above: int
) -> None:
    gaps = [1 if dense else gap for gap, *_ in rows]
    index = begin + np.cumsum(np.array(gaps, np.uint64), dtype=np.uint64)
    mode = np.array([mode for _, mode, *_ in rows], np.uint8)
    sizes = np.array([size for *_, size in rows], np.uint32)
    offset = (64 + np.cumsum(sizes) - sizes).astype(np.uint32)
    end = 64 + int(sizes.sum())
    snapshot_index = max(0, int(index[-1]) - above) if rows else begin
    live = [
        int(i)
        for i, (_, m, lives, _) in zip(index, rows, strict=True)
        if lives and m == RELEASE and i <= snapshot_index
    ]
    keep = keep_mask(index, mode, np.array(live, np.uint64), snapshot_index)
    expected = [int(i) in live or int(i) > snapshot_index for i in index]
    assert keep.tolist() == expected

    starts, ends = runs(keep, offset, end)
    kept = [(int(at), int(at + size)) for at, size, stays in zip(offset, sizes, expected, strict=True) if stays]
    merged: list[list[int]] = []
    for start, stop in kept:
        if merged and merged[-1][1] == start:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    assert list(map(list, zip(starts.tolist(), ends.tolist(), strict=True))) == merged
    assert live_bytes(keep, offset, end) == sum(stop - start for start, stop in kept)


@pytest.mark.parametrize(
    ("index", "live", "missing"),
    [([], [5], 5), ([1, 2, 3], [4], 4), ([3, 4], [2, 3], 2), ([1, 3, 9], [3, 4], 4), ([1, 3, 9], [9, 10], 10)],
)
def test_a_live_entry_that_is_missing_is_named(index: list[int], live: list[int], missing: int) -> None:
    modes = np.full(len(index), RELEASE, np.uint8)
    with pytest.raises(MissingEntry, match=rf"entry {missing}: .*missing") as caught:
        keep_mask(np.array(index, np.uint64), modes, np.array(live, np.uint64), 100)
    assert caught.value.index == missing


def test_an_entry_that_cannot_be_live_is_named() -> None:
    with pytest.raises(MissingEntry, match=r"entry 2: .*mode"):
        keep_mask(np.array([1, 2], np.uint64), np.array([RELEASE, SNAPSHOT]), np.array([1, 2], np.uint64), 9)


def test_within_is_inclusive() -> None:
    live = np.array([2, 4, 6, 8], np.uint64)
    assert within(live, 4, 6).tolist() == [4, 6]
    assert within(live, 5, 5).tolist() == []
    assert within(live, 0, 100).tolist() == [2, 4, 6, 8]
