"""The log's contract, on both disks: append, read, roll over, truncate, release, sync, open again."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from ocelog.log.entry import RELEASE, SNAPSHOT, padded
from ocelog.log.errors import NoSpace
from ocelog.log.log import Log, LogConfig

from tests.simulation.disk import SimDisk

from .conftest import Place
from .log_driver import TINY, append, copy, expected, held, open_log, record, sync

PAYLOADS = [bytes([65 + number]) * (7 * number) for number in range(23)]


@pytest.fixture
def log(place: Place) -> Log:
    """An empty log with tiny segments."""
    return open_log(place.disk, place.directory)


def test_an_empty_log(log: Log) -> None:
    assert (log.first_index, log.last_index, log.last_term, log.synced_index) == (1, 0, 0, 0)
    assert log.term_at(0) == 0
    assert held(log) == []


def test_entries_are_there_at_once_and_in_order(log: Log) -> None:
    assert append(log, 1, *PAYLOADS) == 1
    assert (log.last_index, log.last_term, log.synced_index) == (23, 1, 0)
    assert held(log) == expected(1, 1, PAYLOADS)
    found = log.entry(7)
    assert (found.index, found.mode, found.window, found.session, found.payload) == (7, SNAPSHOT, 3, 11, PAYLOADS[6])


def test_a_synced_log_opens_with_everything(place: Place, log: Log) -> None:
    append(log, 1, *PAYLOADS)
    append(log, 4, b"newer")
    assert sync(log) == 24
    again = open_log(place.disk, place.directory)
    assert held(again) == [*expected(1, 1, PAYLOADS), (24, 4, b"newer")]
    assert (again.synced_index, again.last_term) == (24, 4)
    assert again.term_runs(1, 24) == ((1, 1), (24, 4))
    assert append(again, 4, b"goes on") == 25
    assert held(again)[-1] == (25, 4, b"goes on")


def test_a_log_may_be_opened_many_times_between_appends(place: Place) -> None:
    for index in range(1, 14):
        log = open_log(place.disk, place.directory)
        assert append(log, index, b"x" * index) == index
        sync(log)
    assert held(open_log(place.disk, place.directory)) == [(index, index, b"x" * index) for index in range(1, 14)]


def test_a_read_is_one_stretch_of_one_segment(log: Log) -> None:
    append(log, 2, *PAYLOADS)
    batch = log.read(2, 4, 1 << 20)
    assert (batch.first_index, batch.last_index, batch.terms) == (2, 4, ((2, 2),))
    assert int(batch.sizes.sum()) == len(batch.data)
    assert log.read(2, 23, 1 << 20).last_index == 5, "segments hold five entries"


@pytest.mark.parametrize("first", [1, 3, 6])
def test_fit_tells_what_read_returns(log: Log, first: int) -> None:
    """For every number of bytes: at least one entry, else as many as fit."""
    append(log, 1, *PAYLOADS)
    sizes = [padded(len(payload)) for payload in PAYLOADS]
    for bytes_max in range(0, 600, 7):
        batch = log.read(first, 23, bytes_max)
        assert log.fit(first, 23, bytes_max) == batch.last_index
        assert batch.sizes.tolist() == sizes[first - 1 : batch.last_index]
        assert batch.last_index == first or len(batch.data) <= bytes_max
        segment_last = (first - 1) // 5 * 5 + 5
        if batch.last_index < segment_last:
            assert len(batch.data) + sizes[batch.last_index] > bytes_max


def test_a_follower_ends_with_the_leaders_bytes(place: Place, log: Log) -> None:
    append(log, 1, *PAYLOADS[:9])
    append(log, 3, *PAYLOADS[9:])
    follower = open_log(SimDisk(Random(1)), "f", LogConfig(segment_bytes_max=8192, segment_entries_max=7))
    copy(log, follower, 1, 12)
    copy(log, follower, 4, 23)
    assert held(follower) == held(log)
    assert follower.term_runs(1, 23) == log.term_runs(1, 23) == ((1, 1), (10, 3))


def test_modes_are_the_entries_own(log: Log) -> None:
    """Half of a live set is told by this array alone."""
    append(log, 1, *PAYLOADS)
    follower = open_log(SimDisk(Random(1)), "f")
    copy(log, follower, 1, 23)
    for each in (log, follower):
        modes = np.concatenate([segment.mode[: segment.count] for segment in each._segments])
        assert modes.tolist() == [RELEASE if number % 2 else SNAPSHOT for number in range(23)]


def test_terms(log: Log) -> None:
    for term, payloads in ((1, 3), (2, 1), (7, 4)):
        append(log, term, *PAYLOADS[:payloads])
    assert [log.term_at(index) for index in range(9)] == [0, 1, 1, 1, 2, 7, 7, 7, 7]
    assert log.term_runs(2, 5) == ((2, 1), (4, 2), (5, 7))
    assert log.term_runs(4, 4) == ((4, 2),)
    log.truncate(4)
    assert (log.last_term, log.term_runs(1, 4)) == (2, ((1, 1), (4, 2)))


@pytest.mark.parametrize("last", range(12))
def test_truncation_holds_and_the_log_goes_on(place: Place, log: Log, last: int) -> None:
    append(log, 1, *PAYLOADS[:12])
    sync(log)
    log.truncate(last)
    assert (log.last_index, log.synced_index) == (last, last)
    assert append(log, 2, b"new", b"er") == last + 1
    wanted = [*expected(1, 1, PAYLOADS[:last]), *expected(last + 1, 2, [b"new", b"er"])]
    assert held(log) == wanted
    assert sync(log) == last + 2
    again = open_log(place.disk, place.directory)
    assert held(again) == wanted


def test_bytes_that_were_read_never_change(log: Log) -> None:
    """A frame may still be waiting in a socket when the entries in it are truncated and others take their indexes."""
    append(log, 1, *PAYLOADS[:8])
    batches = [log.read(first, 8, 1 << 20) for first in (1, 6)]
    before = [bytes(batch.data) for batch in batches]
    sync(log)
    log.truncate(2)
    append(log, 2, *[b"other" * 9] * 10)
    sync(log)
    assert [bytes(batch.data) for batch in batches] == before


def test_a_sync_never_counts_what_was_truncated_meanwhile(log: Log) -> None:
    append(log, 1, *PAYLOADS[:8])
    job = log.sync_job()
    assert job is not None and job.index == 8
    log.truncate(5)
    append(log, 2, b"a", b"b", b"c", b"d")
    job.run()
    assert log.sync_done(job) == 5
    assert sync(log) == 9


def test_a_job_covers_what_was_there_when_it_was_captured(log: Log) -> None:
    append(log, 1, b"a")
    job = log.sync_job()
    assert job is not None
    append(log, 1, b"b")
    job.run()
    assert log.sync_done(job) == 1
    assert sync(log) == 2
    assert log.sync_job() is None


def test_releasing(log: Log) -> None:
    append(log, 1, *PAYLOADS)
    log.release([22, 1, 7])
    log.release(np.array([8]))
    assert log.released_count == 4
    assert log.live_indexes().tolist() == [index for index in range(2, 24, 2) if index not in (8, 22)]


@pytest.mark.parametrize(("indexes", "wrong"), [([7], [7]), ([3, 3], [3]), ([24, 5], [24]), ([0, 7, 9], [0, 7])])
def test_a_wrong_release_is_told_and_the_others_count(log: Log, indexes: list[int], wrong: list[int]) -> None:
    append(log, 1, *PAYLOADS)
    log.release([7])
    assert sorted(log.release(indexes)) == wrong
    assert log.released_count == 1 + len(set(indexes) - set(wrong) | ({3} & set(indexes)))


def test_nothing_is_released_in_a_log_just_opened(place: Place, log: Log) -> None:
    """Applying releases again what is dead; a file that remembered it would make that a second time."""
    append(log, 1, *PAYLOADS)
    log.release([1, 2])
    sync(log)
    again = open_log(place.disk, place.directory)
    assert again.released_count == 0
    again.release([1, 2])


def test_a_log_tells_that_it_has_no_room_until_it_finds_some_also_when_nobody_appends() -> None:
    disk = SimDisk(Random(1), capacity=60_000)
    log = open_log(disk, "r")
    assert not log.no_space
    with pytest.raises(NoSpace):
        while True:
            append(log, 1, b"p" * 300)
            sync(log)
    log.look_for_room()
    sync(log)
    assert log.no_space
    disk.capacity *= 2
    sync(log)
    assert log.no_space, "nobody has looked"
    log.look_for_room()
    sync(log)
    assert not log.no_space


def test_a_failed_append_changes_nothing_and_room_lets_it_go_on() -> None:
    disk = SimDisk(Random(1), capacity=60_000)
    log = open_log(disk, "r")
    last = 0
    with pytest.raises(NoSpace):
        while True:
            append(log, 1, *[b"p" * 300] * 12)
            sync(log)
            last = log.last_index
    assert log.last_index == last and last >= 12
    files = set(disk.files)
    with pytest.raises(NoSpace):
        append(log, 1, *[b"p" * 300] * 12)
    assert set(disk.files) == files
    disk.capacity *= 2
    assert append(log, 1, *[b"p" * 300] * 12) == last + 1
    assert sync(log) == last + 12
    assert len(held(open_log(disk, "r"))) == last + 12


def test_no_generation_is_used_twice(place: Place) -> None:
    """A name must never mean two contents, also after restarts and truncations."""
    seen: dict[str, int] = {}
    for round_number in range(4):
        log = open_log(place.disk, place.directory)
        for segment in log._segments:
            assert seen.setdefault(segment.file.path, segment.generation) == segment.generation
        before = {segment.generation for segment in log._segments}
        append(log, round_number + 1, *PAYLOADS)
        fresh = {segment.generation for segment in log._segments} - before
        assert not fresh & set(seen.values())
        seen.update({segment.file.path: segment.generation for segment in log._segments})
        sync(log)
        log.truncate(log.last_index - 7)
        sync(log)


def test_obsolete_files_go(place: Place, log: Log) -> None:
    append(log, 1, *PAYLOADS)
    sync(log)
    log.truncate(2)
    sync(log)
    names = [name for name in place.disk.list(f"{place.directory}/log") if name[0].isdigit()]
    assert len(names) == 1


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("segment_bytes_max", 4095, "4096"),
        ("segment_bytes_max", 1 << 32, str((1 << 32) - 1)),
        ("segment_entries_max", 0, "1"),
    ],
)
def test_a_bad_config_names_field_value_and_bound(field: str, value: int, bound: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}.*{bound}"):
        LogConfig(**{field: value})


def test_one_large_batch_fills_many_segments(log: Log) -> None:
    payloads = [bytes([number % 251]) * 200 for number in range(100)]
    log.append(1, 5, [record(payload) for payload in payloads])
    assert held(log) == expected(1, 1, payloads)
    assert all(segment.count <= TINY.segment_entries_max for segment in log._segments)
    assert sync(log) == 100
