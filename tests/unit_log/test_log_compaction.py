"""A log after snapshots and compaction, on both disks: the dense tail as it was, the history sparse, all that is live there."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from ocelog.log.entry import COMMAND, CONFIGURATION, NOOP, RELEASE, SNAPSHOT
from ocelog.log.errors import Corruption, LogError
from ocelog.log.log import Log
from ocelog.log.manifest import Manifest, SegmentRecord
from ocelog.log.rewriting import Rewritten

from tests.simulation.disk import SimDisk

from .conftest import Place
from .history_driver import compact, indexes, planned, present, rewritten, snapshot, synced, write, write_sparse
from .log_driver import TINY, append, expected, held, open_log, records, sync

PAYLOADS = [b"%02d" % number * (number % 9 + 1) for number in range(1, 24)]
"""Entries 1..23; the even ones are of mode RELEASE. Segments hold five: 1..5, 6..10, 11..15, 16..20 are closed."""
S = 17
RELEASED = [2, 4, 6, 8, 14]
LIVE = [10, 12, 16]


@pytest.fixture
def log(place: Place) -> Log:
    """23 entries of terms 1 (to 12) and 4, synced; RELEASED are released."""
    log = open_log(place.disk, place.directory)
    log.append(1, 5, records(*PAYLOADS[:12]))
    log.append(4, 5, records(*PAYLOADS[12:]))
    log.release(RELEASED)
    sync(log)
    return log


def again(place: Place) -> Log:
    return open_log(place.disk, place.directory)


def wanted(gone: list[int]) -> list[tuple[int, int, bytes]]:
    whole = [*expected(1, 1, PAYLOADS[:12]), *expected(13, 4, PAYLOADS[12:])]
    return [entry for entry in whole if entry[0] not in gone]


def names(place: Place, folder: str = "log") -> list[str]:
    return [name for name in place.disk.list(f"{place.directory}/{folder}") if name[0].isdigit()]


# -- freezing and snapshots ------------------------------------------------------------------------------


def test_frozen_bits_are_those_of_that_moment(log: Log) -> None:
    frozen = log.freeze(S)
    log.release([10, 12, 16, 18])
    assert frozen.live().tolist() == LIVE
    stats = frozen.stats()
    assert stats.first_index.tolist() == [1, 6, 11]
    assert stats.last_index.tolist() == [5, 10, 15]
    assert stats.version.tolist() == [1, 1, 1]
    assert stats.generation.tolist() == [segment.generation for segment in log._segments[:3]]
    assert (stats.entries.tolist(), stats.live_entries.tolist()) == ([5, 5, 5], [0, 1, 1])
    sizes = {index: 48 + -(-len(PAYLOADS[index - 1]) // 8) * 8 for index in range(1, 24)}
    assert stats.bytes.tolist() == [sum(sizes[index] for index in range(first, first + 5)) for first in (1, 6, 11)]
    assert stats.live_bytes.tolist() == [0, sizes[10], sizes[12]]
    assert frozen.live_bytes() == sum(sizes[index] for index in LIVE)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_was_frozen_stays_whatever_is_cut_or_appended_meanwhile(log: Log, position: int) -> None:
    """An install cuts a segment at m while a snapshot that was given up is still being written beside the loop."""
    before = log.freeze(S)
    found = (before.live().tolist(), before.live_bytes(), before.stats())
    frozen = log.freeze(S)
    segment = log._segments[position]
    segment.cut(segment.first_index + 1)
    append(log, 4, *PAYLOADS)
    assert frozen.live().tolist() == found[0] == LIVE
    assert frozen.live_bytes() == found[1]
    for name in ("entries", "live_entries", "bytes", "live_bytes", "last_index"):
        assert getattr(frozen.stats(), name).tolist() == getattr(found[2], name).tolist()


def test_freezing_nothing(place: Place) -> None:
    frozen = open_log(place.disk, place.directory).freeze(0)
    assert frozen.live().tolist() == []
    assert (len(frozen.stats()), frozen.live_bytes()) == (0, 0)


def test_a_snapshot_counts_once_it_is_synced_and_the_old_one_goes(place: Place, log: Log) -> None:
    assert (log.snapshot_index, log.snapshot) == (0, None)
    snapshot(place.disk, log, 12)
    assert log.snapshot_index == 0
    sync(log)
    assert log.snapshot_index == 12
    first = names(place, "snapshots")
    snapshot(place.disk, log, S)
    assert len(names(place, "snapshots")) == 2
    sync(log)
    assert log.snapshot_index == S
    assert log.snapshot is not None and log.snapshot.live.tolist() == LIVE
    assert len(names(place, "snapshots")) == 1 and names(place, "snapshots") != first
    found = again(place)
    assert (found.snapshot_index, found.dense_index, found.first_index) == (S, 0, 1)
    assert found.snapshot is not None
    assert [bytes(piece) for piece in found.snapshot.pieces()] == [b"piece"]
    assert held(found) == wanted([])


def test_a_snapshot_that_another_follows_before_it_counted_goes(place: Place, log: Log) -> None:
    snapshot(place.disk, log, 12)
    snapshot(place.disk, log, S)
    sync(log)
    assert log.snapshot_index == S
    assert len(names(place, "snapshots")) == 1
    assert again(place).snapshot_index == S


def test_a_snapshot_covers_only_what_is_in_the_log(place: Place, log: Log) -> None:
    synced(place.disk, log, 12)
    frozen = log.freeze(12)
    made, generation = write(place.disk, log, 12, frozen)
    with pytest.raises(AssertionError, match="a snapshot at 12"):
        log.publish_snapshot(made, generation)
    ahead = open_log(SimDisk(Random(1)), "other")
    with pytest.raises(AssertionError, match="a snapshot at 12"):
        ahead.publish_snapshot(made, generation)


def test_the_manifest_does_not_name_a_snapshot_before_its_entries_are_synced() -> None:
    """S is published only when the log is synced through it."""
    operations: list[str] = []
    disk = SimDisk(Random(1), operation_hook=operations.append)
    log = open_log(disk, "r")
    append(log, 1, *PAYLOADS)
    snapshot(disk, log, 23)
    operations.clear()
    sync(log)
    synced_files = [place for place, what in enumerate(operations) if what.startswith("sync r/log/")]
    replaced = operations.index("replace r/manifest")
    assert {segment.file.path for segment in log._segments} <= {what[5:] for what in operations[:replaced]}
    assert operations.index("sync directory r/snapshots") < replaced
    assert synced_files[0] < replaced


def test_what_is_released_comes_from_the_snapshot_when_a_log_is_opened(place: Place, log: Log) -> None:
    """Up to S exactly the live set is not released; above it nothing is, since applying will release it again."""
    log.release([20])
    synced(place.disk, log, S)
    found = again(place)
    assert found.live_indexes().tolist() == [*LIVE, 18, 20, 22]
    assert found.release([10, 20]) == []
    assert found.release([2]) == [2]


def test_a_live_entry_that_is_missing_is_corruption(place: Place, log: Log) -> None:
    synced(place.disk, log, S)
    for live, index in (([10, 13], 13), ([24], 24), ([9], 9)):
        with pytest.raises(Corruption) as caught:
            log._segments.adopt_live_set(indexes(live), S)
        assert caught.value.index == index


def test_a_log_that_ends_below_its_snapshot_is_refused(place: Place, log: Log) -> None:
    """It was synced through S before S was published, so this is no torn tail."""
    synced(place.disk, log, S)
    path = f"{place.directory}/manifest"
    manifest = Manifest.decode(path, place.disk.read(path))
    manifest.segments = [*manifest.segments[:3], manifest.segments[3]._replace(counts_to=16)]
    place.disk.replace(path, manifest.encode())
    with pytest.raises(Corruption, match="ends at entry 16, below its snapshot at 17"):
        again(place)


def test_a_snapshot_of_another_history_is_refused(place: Place, log: Log) -> None:
    """The term at S in the snapshot and in the log must be the same."""
    synced(place.disk, log, S)
    path = f"{place.directory}/manifest"
    manifest = Manifest.decode(path, place.disk.read(path))
    other = open_log(SimDisk(Random(1)), "other")
    append(other, 9, *PAYLOADS)
    old = f"{place.directory}/snapshots/{manifest.snapshot_name}"
    made, _ = write(SimDisk(Random(1)), other, S, other.freeze(S))
    place.disk.replace(old, bytes(made.file.buffer))
    with pytest.raises(Corruption, match="of term 4, and of term 9 in the snapshot"):
        again(place)


def test_a_missing_snapshot_is_refused_and_a_stale_one_removed(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    stale, _ = write(place.disk, log, 20, log.freeze(20))
    place.disk.replace(f"{place.directory}/snapshots/notes", b"mine")
    assert again(place).snapshot_index == S
    assert not place.disk.exists(stale.path) and place.disk.exists(f"{place.directory}/snapshots/notes")
    assert frozen.index == S
    assert log.snapshot is not None
    place.disk.remove(log.snapshot.path)
    with pytest.raises(Corruption, match=r"\.snap.*missing"):
        again(place)


# -- minor and major -------------------------------------------------------------------------------------

GONE = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15]
"""What is dead at S in the three segments that lie below it whole."""


@pytest.mark.parametrize("major", [False, True])
def test_what_is_dead_goes_and_the_rest_stays(place: Place, log: Log, major: bool) -> None:
    frozen = synced(place.disk, log, S)
    assert compact(place.disk, place.directory, log, frozen, major=major) == (1 if major else 3)
    for each in (log, None):
        if each is None:
            sync(log)
            each = again(place)
        assert present(each) == wanted(GONE)
        assert held(each) == wanted(list(range(1, 16)))
        assert (each.dense_index, each.first_index, each.snapshot_index, each.last_index) == (15, 16, S, 23)
        assert [each.term_at(index) for index in (15, 16, 23)] == [4, 4, 4]
        assert each.term_runs(16, 23) == ((16, 4),)
        assert each.live_indexes().tolist() == [*LIVE, 18, 20, 22]
    versions = [(segment.first_index, segment.last_index, segment.version) for segment in again(place)._segments]
    rest = [(16, 20, 1), (21, 23, 1)]
    assert versions == ([(1, 15, 2), *rest] if major else [(6, 10, 2), (11, 15, 2), *rest])
    assert len(names(place)) == len(versions), "the sources are gone"


def test_the_terms_below_the_dense_index_are_forgotten(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, 12)
    compact(place.disk, place.directory, log, frozen, major=False)
    sync(log)
    for each in (log, again(place)):
        assert [each.term_at(index) for index in (0, 10, 11, 12, 13)] == [0, 1, 1, 1, 4]
        assert each.term_runs(11, 23) == ((11, 1), (13, 4))
        with pytest.raises(AssertionError):
            each.term_at(9)


def test_the_log_goes_on_while_and_after_it_is_compacted(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    groups = planned(log, frozen, TINY, major=True)
    done = rewritten(place.disk, place.directory, log, groups)
    append(log, 5, *[b"meanwhile"] * 7)
    job = log.swap_job(done)
    job.run()
    append(log, 5, b"more")
    assert log.swap(job)
    append(log, 6, b"after")
    sync(log)
    log.truncate(30)
    append(log, 7, b"another")
    assert sync(log) == 31
    for each in (log, again(place)):
        assert held(each)[8:] == [*expected(24, 5, [b"meanwhile"] * 7), (31, 7, b"another")]
        assert present(each)[:3] == wanted(GONE)[:3]


def test_what_was_released_meanwhile_is_released_in_the_new_segments(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    log.release([10])
    job = log.swap_job(rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=True)))
    log.release([18])
    job.run()
    log.release([12])
    assert log.swap(job)
    assert log.live_indexes().tolist() == [16, 20, 22]
    log.release([16])
    assert [entry[0] for entry in present(log)][:2] == [10, 12], "they go with the next run, not with this one"


def test_the_next_run_takes_what_died_since(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    compact(place.disk, place.directory, log, frozen, major=False)
    sync(log)
    log.release([10, 12, 20])
    frozen = synced(place.disk, log, 23)
    stats = frozen.stats()
    assert (stats.version.tolist(), stats.entries.tolist(), stats.live_entries.tolist()) == (
        [2, 2, 1],
        [1, 1, 5],
        [0, 0, 2],
    )
    compact(place.disk, place.directory, log, frozen, major=True)
    sync(log)
    found = again(place)
    assert [entry[0] for entry in present(found)] == [16, 18, 21, 22, 23]
    assert (found.dense_index, found.live_indexes().tolist()) == (20, [16, 18, 22])


def test_everything_may_be_dead(place: Place, log: Log) -> None:
    """No segment stays below D then, and the log still knows where it begins and of which term."""
    log.release([*LIVE, 18, 20, 22])
    sync(log)
    log.truncate(20)
    frozen = synced(place.disk, log, 20)
    assert compact(place.disk, place.directory, log, frozen, major=True) == 1
    sync(log)
    for each in (log, again(place)):
        assert (present(each), each.dense_index, each.last_index, each.last_term) == ([], 20, 20, 4)
        assert each.last_time() == 1_700_000_000_020
    found = again(place)
    assert append(found, 4, b"next") == 21
    sync(found)
    assert held(again(place)) == [(21, 4, b"next")]


def test_a_release_of_what_was_removed_is_told(place: Place, log: Log) -> None:
    """And changes nothing: a machine that is wrong about it must not stop the replica."""
    frozen = synced(place.disk, log, S)
    compact(place.disk, place.directory, log, frozen, major=True)
    released = log.released_count
    assert [log.release([index]) for index in (2, 13)] == [[2], [13]]
    assert log.released_count == released
    assert (log.release([2, 10]), log.released_count) == ([2], released + 1)


def test_sources_that_changed_meanwhile_win(place: Place, log: Log) -> None:
    """Two runs over the same segment: the one that comes second is of no use, and its file goes."""
    frozen = synced(place.disk, log, S)
    first = log.swap_job(rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=False)[:1]))
    second = log.swap_job(rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=True)))
    for job in (first, second):
        job.run()
    assert log.swap(first)
    before = present(log)
    assert not log.swap(second)
    assert not log.swap(log.swap_job(second.rewritten)), "also when it is asked for again"
    assert present(log) == before
    sync(log)
    target = second.rewritten[0].record
    assert target is not None and target.file_name not in names(place)
    assert present(again(place)) == before


def test_a_rewritten_file_that_is_not_sound_is_not_used(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    done = rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=True))
    target = done[0].record
    assert target is not None
    path = f"{place.directory}/log/{target.file_name}"
    broken = bytearray(place.disk.read(path))
    broken[5] ^= 1
    place.disk.replace(path, bytes(broken))
    before = present(log)
    job = log.swap_job(done)
    job.run()
    assert isinstance(job.error, LogError)
    assert not log.swap(job)
    sync(log)
    assert present(log) == present(again(place)) == before
    assert target.file_name not in names(place)


@pytest.mark.parametrize(("present_in_it", "mode"), [([9, 10], RELEASE), ([10], SNAPSHOT)])
def test_a_rewritten_file_of_something_else_is_not_used(
    place: Place, log: Log, present_in_it: list[int], mode: int
) -> None:
    """An entry that its source does not hold, or another mode: it can only be of another log or another time."""
    frozen = synced(place.disk, log, S)
    compact(place.disk, place.directory, log, frozen, major=False)
    source = log._segments[0]
    assert source.indexes().tolist() == [10]
    record = SegmentRecord(6, log.new_generation(), 2, 10)
    write_sparse(place.disk, f"{place.directory}/log/{record.file_name}", present_in_it, first_index=6, mode=mode)
    before = present(log)
    job = log.swap_job([Rewritten((source.generation,), record)])
    job.run()
    assert not log.swap(job)
    assert isinstance(job.error, Corruption)
    assert present(log) == before


def test_abandoned_files_go(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    done = rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=False))
    log.abandon([*done, Rewritten((1,), None)])
    count = len(names(place))
    sync(log)
    assert len(names(place)) == count - 2


def test_names_are_not_given_again_after_a_crash(place: Place, log: Log) -> None:
    """A compactor may go on writing after its replica is gone: nothing that comes later may have the name of its file."""
    frozen = synced(place.disk, log, S)
    given = {group.generation for group in planned(log, frozen, TINY, major=False)}
    found = again(place)
    for _ in range(3000):
        assert found.new_generation() not in given
    sync(found)


# -- reading the history ---------------------------------------------------------------------------------


def test_live_entries_are_read_in_slices(place: Place, log: Log) -> None:
    frozen = synced(place.disk, log, S)
    compact(place.disk, place.directory, log, frozen, major=False)
    for count in (1, 2, 3, 10):
        found, after = [], 0
        while True:
            runs, last = log.live_runs(frozen.live(), after, count)
            if not runs:
                assert last == after
                break
            assert sum(len(offsets) for _, offsets in runs) <= count
            found += [
                int.from_bytes(buffer[offset + 8 : offset + 16], "little")
                for buffer, offsets in runs
                for offset in offsets
            ]
            after = last
        assert found == LIVE
    with pytest.raises(Corruption):
        log.live_runs(indexes([10, 13]), 0, 5)


def test_configuration_entries_are_found(place: Place) -> None:
    log = open_log(place.disk, place.directory)
    kinds = [CONFIGURATION if number % 4 == 1 else NOOP for number in range(1, 14)]
    log.append(1, 5, [(kind, SNAPSHOT, 0, 0, 0, b"c") for kind in kinds])
    assert log.configuration_entries(1, 13) == [1, 5, 9, 13]
    assert log.configuration_entries(2, 12) == [5, 9]
    assert log.configuration_entries(6, 8) == log.configuration_entries(14, 13) == []
    sync(log)
    assert again(place).configuration_entries(5, 13) == [5, 9, 13]


def test_the_last_time(place: Place) -> None:
    log = open_log(place.disk, place.directory)
    assert log.last_time() == 0
    log.append(1, 77, [(COMMAND, SNAPSHOT, 0, 1, 1, b"")])
    assert log.last_time() == 77


# -- pins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bytes_max", [1, 100, 150, 1000])
@pytest.mark.parametrize("from_index", [0, 9, 10, 16])
def test_a_pin_reads_what_it_held_when_compaction_went_on(
    place: Place, log: Log, bytes_max: int, from_index: int
) -> None:
    """Its positions stay, so that it can go on where it stopped."""
    frozen = synced(place.disk, log, S)
    live = frozen.live()
    pinned = log.pin(from_index, live)
    before, sizes, middle = pinned.read(0, bytes_max)
    log.release([10, 12])
    frozen = synced(place.disk, log, 20)
    compact(place.disk, place.directory, log, frozen, major=True)
    sync(log)
    found: list[int] = []
    position = 0
    while not pinned.at_end(position):
        data, sizes, position = pinned.read(position, bytes_max)
        assert len(sizes) == 1 or len(data) <= bytes_max
        assert int(sizes.sum()) == len(data)
        for start in np.cumsum(sizes) - sizes:
            found.append(int.from_bytes(data[int(start) + 8 : int(start) + 16], "little"))
    assert found == [index for index in LIVE if index > from_index]
    assert position == pinned.total_bytes and pinned.entries == len(found)
    assert pinned.read(position, bytes_max)[1].tolist() == []
    assert bytes(pinned.read(0, bytes_max)[0]) == bytes(before)
    if middle:
        assert len(before) == middle


def test_a_position_within_an_entry_is_an_error(place: Place, log: Log) -> None:
    pinned = log.pin(0, synced(place.disk, log, S).live())
    for position in (1, 47, pinned.total_bytes - 8):
        with pytest.raises(AssertionError):
            pinned.read(position, 100)


def test_a_damaged_entry_is_not_sent(place: Place, log: Log) -> None:
    pinned = log.pin(0, synced(place.disk, log, S).live())
    segment = log._segments.of(12)
    segment.buffer[segment.offset_of(12) + 50] ^= 1
    with pytest.raises(Corruption) as caught:
        pinned.read(0, 1 << 20)
    assert (caught.value.index, caught.value.path) == (12, segment.file.path)
