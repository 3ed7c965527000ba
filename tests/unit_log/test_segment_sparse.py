"""A sparse segment by itself: what its file says, and how its rows are found."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from ocelog.log.entry import RELEASE, encode
from ocelog.log.errors import Corruption
from ocelog.log.recovery import scan
from ocelog.log.segment import (
    ENTRIES_START,
    FOOTER,
    SPARSE_ROW_BYTES,
    Segment,
)

from tests.simulation.disk import SimDisk

from .history_driver import write_sparse
from .log_driver import TIME_MS, record

PRESENT = [11, 12, 15, 30, 31]
PATH = "r/log/10-4.seg"


def opened(disk: SimDisk, first_index: int = 10) -> Segment:
    return Segment.map(disk.open(PATH), shard=3, first_index=first_index, generation=4)


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(Random(1))


@pytest.fixture
def segment(disk: SimDisk) -> Segment:
    write_sparse(disk, PATH, PRESENT)
    segment = opened(disk)
    assert segment.load_rows()
    segment.cut(40)
    return segment


@pytest.mark.parametrize("extra_bytes", [0, 8, 1000])
def test_what_was_written_is_read(disk: SimDisk, extra_bytes: int) -> None:
    """The arrays stand at the very end, also of a file that is longer than it had to be."""
    write_sparse(disk, PATH, PRESENT, extra_bytes=extra_bytes)
    segment = opened(disk)
    assert segment.load_rows()
    assert (segment.version, segment.count, segment.last_index) == (2, 5, 31)
    assert segment.indexes().tolist() == PRESENT
    assert segment.mode.tolist() == [RELEASE] * 5
    assert not segment.released.any()
    for index in PRESENT:
        offset = segment.offset_of(index)
        assert int.from_bytes(segment.buffer[offset + 8 : offset + 16], "little") == index
        assert segment.end_of(index) - offset == 48 + -(-len(b"%d" % index * (index % 5)) // 8) * 8


def test_rows_are_found_by_index(segment: Segment) -> None:
    assert segment.rows_of(np.array([11, 15, 31], np.uint64)).tolist() == [0, 2, 4]
    assert segment.rows_of(np.array([], np.uint64)).tolist() == []
    assert [segment.rows_through(index) for index in (9, 10, 11, 14, 15, 29, 31, 40)] == [0, 0, 1, 2, 3, 3, 5, 5]
    assert segment.indexes(np.array([1, 4])).tolist() == [12, 31]
    sizes = [segment.end_of(index) - segment.offset_of(index) for index in PRESENT]
    assert segment.sizes().tolist() == sizes
    assert segment.sizes(np.array([1, 3])).tolist() == [sizes[1], sizes[3]]
    assert segment.sizes(np.array([4])).tolist() == [sizes[4]]
    assert segment.sizes(np.array([], np.int64)).tolist() == []


@pytest.mark.parametrize("missing", [9, 10, 13, 29, 32, 41])
def test_a_missing_entry_is_named(segment: Segment, missing: int) -> None:
    wanted = np.array(sorted([*PRESENT, missing]), np.uint64)
    for look_up in (
        lambda: segment.rows_of(wanted),
        lambda: segment.offset_of(missing),
        lambda: segment.row_of(missing),
    ):
        with pytest.raises(Corruption) as caught:
            look_up()
        assert (caught.value.path, caught.value.index) == (PATH, missing)


@pytest.mark.parametrize("missing", [9, 13])
def test_a_missing_entry_of_a_dense_segment_is_named(disk: SimDisk, missing: int) -> None:
    segment = Segment.create(disk.create("d", 4096), shard=3, first_index=10, generation=1, created_ms=0)
    segment.append(*encode(10, 1, TIME_MS, [record(b"x")] * 3))
    assert segment.rows_of(np.array([10, 12], np.uint64)).tolist() == [0, 2]
    assert segment.indexes().tolist() == [10, 11, 12]
    assert segment.sizes().tolist() == [56, 56, 56]
    with pytest.raises(Corruption) as caught:
        segment.rows_of(np.array([min(11, missing), max(11, missing)], np.uint64))
    assert caught.value.index == missing
    with pytest.raises(Corruption):
        segment.row_of(missing)


@pytest.mark.parametrize(("last", "present"), [(9, 0), (11, 1), (14, 2), (15, 3), (31, 5), (50, 5)])
def test_cutting_drops_what_is_above_and_says_what_is_covered(segment: Segment, last: int, present: int) -> None:
    end = segment.end_of(PRESENT[present - 1]) if present else ENTRIES_START
    segment.cut(last)
    assert (segment.last_index, segment.count, segment.end) == (last, present, end)
    assert segment.indexes().tolist() == PRESENT[:present]


def test_an_empty_one_is_whole(disk: SimDisk) -> None:
    write_sparse(disk, PATH, [])
    segment = opened(disk)
    assert segment.load_rows()
    segment.cut(20)
    assert (segment.count, segment.last_index, segment.rows_through(20)) == (0, 20, 0)
    assert segment.sizes().tolist() == segment.indexes().tolist() == []


def test_every_bit_of_the_arrays_is_checked_and_the_entries_can_be_read_instead(disk: SimDisk) -> None:
    write_sparse(disk, PATH, PRESENT)
    file = disk.files[PATH]
    for position in range(file.size - FOOTER.size - SPARSE_ROW_BYTES * 5, file.size):
        file.data[position] ^= 1
        segment = opened(disk)
        assert not segment.load_rows()
        scan(segment, 40)
        segment.cut(40)
        assert (segment.indexes().tolist(), segment.last_index) == (PRESENT, 40)
        file.data[position] ^= 1


def test_a_scan_stops_where_the_segment_does_not_count_any_more(disk: SimDisk) -> None:
    write_sparse(disk, PATH, PRESENT)
    segment = opened(disk)
    assert scan(segment, 15) is None
    assert segment.indexes().tolist() == [11, 12, 15]
    assert scan(segment, 29) is None
    assert segment.indexes().tolist() == [11, 12, 15]


def test_entries_out_of_order_end_a_scan(disk: SimDisk) -> None:
    write_sparse(disk, PATH, [11, 30, 12])
    segment = opened(disk)
    assert "entry 12" in (scan(segment, 40) or "")
    assert segment.indexes().tolist() == [11, 30]
