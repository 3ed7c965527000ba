"""Rewriting segments: what is live stays, byte for byte; whatever goes wrong leaves the sources as they were."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log import checksums
from ocelog.log.compaction_request import CompactionRequest
from ocelog.log.compactor import CompactionStopped, rewrite, rewrite_groups
from ocelog.log.entry import HEADER_BYTES
from ocelog.log.errors import LogError
from ocelog.log.files import EXTENT_BYTES_MIN, Disk, Extent, OsDisk
from ocelog.log.log import LogConfig
from ocelog.log.manifest import SegmentRecord

from tests.simulation.disk import SimDisk

from .compaction_driver import entries_of, request, rewritten, told, write_live_set, write_log
from .conftest import Place

PAYLOADS = [b"%d" % number * (number % 7) for number in range(1, 66)]
"""Segments of 20 entries: 1..20, 21..40, 41..60 are closed."""
LIVE = [3, 4, 5, 20, 22, 39, 41]
S = 63


def prepared(place: Place, live: list[int] = LIVE) -> tuple[tuple[SegmentRecord, ...], str]:
    records = write_log(place.disk, place.directory, PAYLOADS)
    assert [(record.first_index, record.counts_to) for record in records] == [(1, 20), (21, 40), (41, 60)]
    return records, write_live_set(place.disk, place.directory, S, live)


def payloads(first: int, last: int, live: list[int] = LIVE) -> dict[int, bytes]:
    """What has to stay of first..last."""
    return {index: PAYLOADS[index - 1] for index in live if first <= index <= last}


def names(disk: Disk, directory: str) -> dict[str, bytes]:
    return {name: disk.read(f"{directory}/log/{name}") for name in disk.list(f"{directory}/log")}


def test_each_segment_on_its_own(place: Place) -> None:
    disk, directory = place.disk, place.directory
    records, snapshot = prepared(place)
    wanted = request(directory, snapshot, *((records[at : at + 1], 80 + at) for at in range(3)))
    result = rewrite(disk, wanted)
    for group, record, done in zip(wanted.groups, records, result.groups, strict=True):
        target = group.target
        assert target == SegmentRecord(record.first_index, group.generation, 2, record.counts_to)
        segment = rewritten(disk, directory, target)
        assert entries_of(segment) == payloads(record.first_index, segment.last_index)
        assert (segment.first_index, segment.last_index) == (record.first_index, record.counts_to)
        assert not segment.released.any()
        assert (done.error, done.entries, done.generation) == (None, segment.count, group.generation)
        assert done.bytes == segment.file.size and done.seconds > 0


def test_neighbours_become_one_and_rewritten_ones_are_rewritten_again(place: Place) -> None:
    disk, directory = place.disk, place.directory
    records, snapshot = prepared(place)
    first = request(directory, snapshot, (records[:2], 80))
    rewrite(disk, first)
    combined = first.groups[0].target
    assert combined == SegmentRecord(1, 80, 2, 40)
    assert entries_of(rewritten(disk, directory, combined)) == payloads(1, 40)

    fewer = [4, 22, 41]
    snapshot = write_live_set(disk, directory, S, fewer, 78)
    again = request(directory, snapshot, ((combined, records[2]), 81))
    assert rewrite(disk, again).groups[0].error is None
    target = again.groups[0].target
    assert target == SegmentRecord(1, 81, 3, 60)
    assert entries_of(rewritten(disk, directory, target)) == payloads(1, 60, fewer)


def test_a_group_with_nothing_live_leaves_no_file(place: Place) -> None:
    records, snapshot = prepared(place, [1, 41])
    before = names(place.disk, place.directory)
    done = rewrite(place.disk, request(place.directory, snapshot, (records[1:2], 80))).groups[0]
    assert (done.error, done.entries, done.bytes) == (None, 0, 0)
    assert names(place.disk, place.directory) == before


def test_a_segment_that_was_not_sealed_yet_is_read_entry_by_entry(place: Place) -> None:
    """The footer is written after the manifest, and is never trusted without its checksum."""
    records, snapshot = prepared(place)
    file = place.disk.open(f"{place.directory}/log/{records[0].file_name}")
    file.buffer[-8:] = bytes(8)
    wanted = request(place.directory, snapshot, (records[:1], 80))
    assert rewrite(place.disk, wanted).groups[0].error is None
    assert entries_of(rewritten(place.disk, place.directory, wanted.groups[0].target)) == payloads(1, 20)


@given(
    sizes=st.lists(st.sampled_from([0, 1, 8, 100, 5000]), min_size=1, max_size=70),
    random=st.randoms(use_true_random=False),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    piece_bytes=st.sampled_from([1, 500, 1 << 20]),
)
@settings(max_examples=80, deadline=None)
def test_any_live_set_in_any_groups(sizes: list[int], random: Random, share: float, piece_bytes: int) -> None:
    disk = SimDisk(Random(1))
    written = [random.randbytes(size) for size in sizes]
    records = write_log(disk, "r", written)
    live = [index for index in range(1, len(written) + 1) if random.random() < share]
    snapshot = write_live_set(disk, "r", len(written), live)
    cuts = sorted(random.sample(range(len(records) + 1), random.randint(0, len(records))))
    groups = [records[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(records)], strict=True) if begin < end]
    wanted = request("r", snapshot, *((group, 80 + number) for number, group in enumerate(groups)))
    before, checksums.PIECE_BYTES = checksums.PIECE_BYTES, piece_bytes
    try:
        result = rewrite(disk, wanted)
    finally:
        checksums.PIECE_BYTES = before
    for group, done in zip(wanted.groups, result.groups, strict=True):
        target = group.target
        assert target.counts_to is not None
        kept = {i: written[i - 1] for i in live if target.first_index <= i <= target.counts_to}
        assert (done.error, done.entries) == (None, len(kept))
        assert disk.exists(f"r/log/{target.file_name}") == bool(kept)
        if kept:
            assert entries_of(rewritten(disk, "r", target)) == kept


def test_long_runs_go_as_they_lie_in_the_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large payload among small ones, and many small ones that stay together."""
    written = [b"small", b"L" * EXTENT_BYTES_MIN, b"small", b"", *[b"m" * 4000] * 20, b"small", b"open"]
    config = LogConfig(segment_bytes_max=1 << 20, segment_entries_max=25)
    records = write_log(place.disk, place.directory, written, config)
    live = [1, 2, 4, *range(5, 25)]
    snapshot = write_live_set(place.disk, place.directory, 26, live)
    extents = []
    write = place.disk.write

    def watched(path: str, parts: object) -> int:
        listed = list(parts)  # type: ignore[call-overload]
        extents.extend(part for part in listed if isinstance(part, Extent))
        return write(path, listed)

    monkeypatch.setattr(place.disk, "write", watched)
    wanted = request(place.directory, snapshot, (records, 80))
    assert rewrite(place.disk, wanted).groups[0].error is None
    assert len(extents) == 2
    segment = rewritten(place.disk, place.directory, wanted.groups[0].target)
    assert entries_of(segment) == {index: written[index - 1] for index in live}


# -- what goes wrong -------------------------------------------------------------------------------------


def _offset_of(place: Place, record: SegmentRecord, index: int) -> int:
    return rewritten(place.disk, place.directory, record).offset_of(index)


@pytest.mark.parametrize("payload_bytes", [0, EXTENT_BYTES_MIN])
def test_damage_in_an_entry_that_stays_is_named_and_the_others_go_on(place: Place, payload_bytes: int) -> None:
    written = [b"x" * payload_bytes + b"%d" % number for number in range(9)]
    records = write_log(
        place.disk, place.directory, written, LogConfig(segment_bytes_max=1 << 20, segment_entries_max=4)
    )
    snapshot = write_live_set(place.disk, place.directory, 9, [2, 3, 6, 7])
    path = f"{place.directory}/log/{records[0].file_name}"
    offset = _offset_of(place, records[0], 3)
    place.disk.open(path).buffer[offset + HEADER_BYTES] ^= 1
    before = names(place.disk, place.directory)
    bad, good = rewrite(place.disk, request(place.directory, snapshot, (records[:1], 80), (records[1:], 81))).groups
    assert bad.damaged == (path, offset, 3) and not bad.no_space
    assert path in told(bad) and f"offset {offset}, entry 3" in told(bad)
    assert good.error is None and good.entries == 2
    after = names(place.disk, place.directory)
    assert after.keys() - before.keys() == {"5-81.seg"}
    assert all(after[name] == data for name, data in before.items())


def test_damage_in_an_entry_that_goes_does_not_matter(place: Place) -> None:
    records, snapshot = prepared(place)
    offset = _offset_of(place, records[0], 7)
    place.disk.open(f"{place.directory}/log/{records[0].file_name}").buffer[offset + HEADER_BYTES] ^= 1
    assert rewrite(place.disk, request(place.directory, snapshot, (records[:1], 80))).groups[0].error is None


def test_a_live_entry_that_is_missing_is_named(place: Place) -> None:
    """It was removed by a run with an older live set, which only a mistake or a wrong file can bring about."""
    records, snapshot = prepared(place)
    first = request(place.directory, snapshot, (records[:1], 80))
    rewrite(place.disk, first)
    target = first.groups[0].target
    wrong = write_live_set(place.disk, place.directory, S, [3, 9, 20], 78)
    failed = rewrite(place.disk, request(place.directory, wrong, ((target,), 81))).groups[0]
    assert failed.damaged == (f"{place.directory}/log/1-80.seg", None, 9)
    assert "live in the snapshot and missing" in told(failed)


def test_a_full_disk_is_told_before_anything_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    records, snapshot = prepared(place)
    wanted = request(place.directory, snapshot, (records[:1], 80))
    size = rewrite(place.disk, wanted).groups[0].bytes
    before = names(place.disk, place.directory)
    asked = request(place.directory, snapshot, (records[:1], 81))
    monkeypatch.setattr(place.disk, "free_bytes", lambda _: size - 1)
    monkeypatch.setattr(place.disk, "write", None)
    failed = rewrite(place.disk, asked).groups[0]
    assert failed.no_space and f"{size} bytes are needed and {size - 1} are left" in told(failed)
    assert names(place.disk, place.directory) == before
    monkeypatch.undo()
    monkeypatch.setattr(place.disk, "free_bytes", lambda _: size)
    assert rewrite(place.disk, asked).groups[0].error is None


def test_a_request_that_the_log_has_outrun_is_refused(place: Place) -> None:
    """The source is gone, or the snapshot: the replica has moved on, and nothing is damaged."""
    records, snapshot = prepared(place)
    gone = SegmentRecord(1, 5555, 1, 20)
    failed, done = rewrite(place.disk, request(place.directory, snapshot, ([gone], 80), (records[1:2], 81))).groups
    assert "is gone" in told(failed) and failed.damaged is None
    assert done.error is None
    place.disk.remove(snapshot)
    failed = rewrite(place.disk, request(place.directory, snapshot, (records[:1], 82))).groups[0]
    assert snapshot in told(failed) and failed.damaged is None


def test_a_segment_above_s_is_refused(place: Place) -> None:
    """Only what a snapshot has fixed may get holes."""
    records, _ = prepared(place)
    snapshot = write_live_set(place.disk, place.directory, 59, [])
    failed = rewrite(place.disk, request(place.directory, snapshot, (records[1:], 80))).groups[0]
    assert "above S 59" in told(failed)


def test_the_snapshot_of_another_shard_is_refused(place: Place) -> None:
    records, snapshot = prepared(place)
    wanted = request(place.directory, snapshot, (records[:1], 80))
    other = CompactionRequest(**vars(wanted) | {"shard": 9})
    assert "shard 3" in told(rewrite(place.disk, other).groups[0])


def test_a_name_that_is_taken_is_an_error(place: Place) -> None:
    """A file that an earlier run left is not overwritten: nobody knows whether somebody maps it."""
    records, snapshot = prepared(place)
    wanted = request(place.directory, snapshot, (records[:1], 80))
    assert rewrite(place.disk, wanted).groups[0].error is None
    before = names(place.disk, place.directory)
    if isinstance(place.disk, OsDisk):  # the simulated one takes it for a mistake of the program
        assert "exists" in told(rewrite(place.disk, wanted).groups[0])
    assert names(place.disk, place.directory) == before


@pytest.mark.parametrize("calls", range(8))
def test_a_stop_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(checksums, "PIECE_BYTES", 1)
    records, snapshot = prepared(place)
    before = names(place.disk, place.directory)
    answers = iter([False] * calls + [True] * 99)
    with pytest.raises(CompactionStopped):
        list(
            rewrite_groups(place.disk, request(place.directory, snapshot, (records, 80)), stopped=lambda: next(answers))
        )
    assert names(place.disk, place.directory) == before


def test_a_crash_at_any_point_leaves_the_sources() -> None:
    for point in range(10):
        disk = SimDisk(Random(point))
        records, snapshot = prepared(Place(disk, "r"))
        disk.sync_directory("r/snapshots")
        disk.sync_directory("r/log")
        left = point

        def hook(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("power")

        disk.operation_hook = hook
        result = rewrite(disk, request("r", snapshot, *((records[at : at + 1], 80 + at) for at in range(3))))
        disk.operation_hook = None
        disk.crash()
        for record in records:
            segment = rewritten(disk, "r", record)
            assert entries_of(segment) == {
                i: PAYLOADS[i - 1] for i in range(segment.first_index, segment.last_index + 1)
            }
        if all(group.error is None for group in result.groups):
            break
    else:
        raise AssertionError("no run was long enough")


def test_verifying_can_be_left_out_for_measuring(place: Place) -> None:
    records, snapshot = prepared(place)
    offset = _offset_of(place, records[0], 3)
    place.disk.open(f"{place.directory}/log/{records[0].file_name}").buffer[offset + HEADER_BYTES] ^= 1
    wanted = request(place.directory, snapshot, (records[:1], 80))
    assert next(rewrite_groups(place.disk, wanted, verify=False)).error is None
    with pytest.raises(LogError):
        entries_of(rewritten(place.disk, place.directory, wanted.groups[0].target))


def test_what_is_asked_and_told_survives_the_wire(place: Place) -> None:
    records, snapshot = prepared(place)
    wanted = request(place.directory, snapshot, (records[:2], 80), (records[2:], 81))
    assert CompactionRequest.from_wire(wanted.to_wire()) == wanted
    result = rewrite(place.disk, wanted)
    assert type(result).from_wire(result.to_wire()) == result
    assert np.all([type(group.bytes) is int for group in result.groups])
