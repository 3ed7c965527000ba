"""Installs: what a member that lacks history is sent, staged and published; on both disks."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from ocelog.log.entry import RELEASE, encode
from ocelog.log.errors import Corruption, LogError, NoSpace
from ocelog.log.log import Log, LogConfig
from ocelog.log.staging import Staging

from tests.simulation.disk import SimDisk

from .conftest import Place
from .history_driver import SHARD, compact, install, planned, present, rewritten, snapshot, stage, synced
from .log_driver import TIME_MS, TINY, Held, append, copy, held, open_log, record, sync

COUNT, S = 60, 52
LIVE = [3, 8, 9, 21, 22, 23, 40, 47, 50]


def record_payload(index: int) -> bytes:
    return b"%d" % index * (index % 6 + 1)


@pytest.fixture
def source() -> Log:
    """A leader that has compacted: 60 entries of terms 1 and 3, S = 52, D = 50, LIVE live."""
    disk = SimDisk(Random(2))
    log = open_log(disk, "leader")
    for first, term, count in ((1, 1, 30), (31, 3, 30)):
        log.append(term, TIME_MS, [record(record_payload(first + number), RELEASE) for number in range(count)])
    log.release([index for index in range(1, S + 1) if index not in LIVE])
    frozen = synced(disk, log, S)
    compact(disk, "leader", log, frozen, major=True)
    sync(log)
    assert (log.dense_index, [entry[0] for entry in present(log)][: len(LIVE)]) == (50, LIVE)
    return log


def member(place: Place, last: int, config: LogConfig = TINY) -> Log:
    """A follower whose log is the leader's up to `last`, and not compacted."""
    log = open_log(place.disk, place.directory, config)
    for index in range(1, last + 1):
        log.append(1 if index <= 30 else 3, TIME_MS, [record(record_payload(index), RELEASE)])
    sync(log)
    return log


def live_entries(above: int = 0) -> Held:
    return [(index, 1 if index <= 30 else 3, record_payload(index)) for index in LIVE if index > above]


@pytest.mark.parametrize("chunk_bytes", [64, 256, 100_000])
@pytest.mark.parametrize("last", [0, 1, 5, 22, 23, 38])
def test_an_install_takes_the_place_of_what_is_above_m(place: Place, source: Log, last: int, chunk_bytes: int) -> None:
    """Its own entries up to m stay, dead ones too; then come those that are live, and the log ends at S."""
    log = member(place, last)
    own = held(log)
    staging = stage(place.disk, place.directory, log, source, last, chunk_bytes=chunk_bytes)
    assert held(log) == own, "before it is installed nothing has changed"
    install(log, staging)
    for each in (log, open_log(place.disk, place.directory)):
        assert present(each) == own + live_entries(last)
        assert (each.dense_index, each.snapshot_index, each.last_index, each.synced_index) == (S, S, S, S)
        assert (each.term_at(S), each.last_term, each.last_time()) == (3, 3, 1_700_000_000_000 + S)
        assert each.live_indexes().tolist() == LIVE
        assert each.snapshot is not None and [bytes(piece) for piece in each.snapshot.pieces()] == [b"piece"]
    log = each
    copy(source, log, S + 1, COUNT)
    append(log, 4, b"next")
    assert sync(log) == COUNT + 1
    found = open_log(place.disk, place.directory)
    assert [entry[0] for entry in held(found)] == [*range(S + 1, COUNT + 2)]
    assert present(found) == present(log)


def test_what_the_padding_of_an_entry_holds_does_not_matter(place: Place) -> None:
    """It rotted at the leader, whose checksums fit: a member that refused the entry could never be installed."""
    log = member(place, 0)
    data, sizes = encode(5, 1, TIME_MS, [record(b"12345", RELEASE)] * 20)
    rotten = bytearray(data)
    rotten[int(sizes[0]) - 1] = 7
    staging = log.stage(from_index=0, snapshot_index=30, snapshot_bytes=100)
    staging.append(bytes(rotten), sizes)
    assert sum(segment.count for segment in staging.segments) == 20


def test_from_nothing_everything_of_its_own_goes(place: Place, source: Log) -> None:
    """A member that asks from 0 may have a history of its own that does not fit, or is damaged."""
    log = member(place, 0)
    append(log, 2, *[b"other"] * 70)
    sync(log)
    install(log, stage(place.disk, place.directory, log, source, 0))
    assert present(log) == present(open_log(place.disk, place.directory)) == live_entries()
    files = [name for name in place.disk.list(f"{place.directory}/log") if name[0].isdigit()]
    assert len(files) == len(log._segments)


def test_uncommitted_entries_above_m_go(place: Place, source: Log) -> None:
    """What it has above its commit index, beyond S too, need not be what was committed."""
    log = member(place, 20)
    append(log, 2, *[b"never committed"] * 40)
    sync(log)
    before = held(log)[:20]
    batch = log.read(21, 25, 1 << 20)
    handed_out = bytes(batch.data)
    install(log, stage(place.disk, place.directory, log, source, 20))
    assert present(log) == before + live_entries(20)
    append(log, 4, b"later")
    sync(log)
    assert present(open_log(place.disk, place.directory)) == [*before, *live_entries(20), (S + 1, 4, b"later")]
    assert bytes(batch.data) == handed_out


def test_entries_that_are_not_synced_yet_are_synced_before_they_count(place: Place, source: Log) -> None:
    log = member(place, 12)
    for index in range(13, 23):
        log.append(1, TIME_MS, [record(record_payload(index), RELEASE)])
    install(log, stage(place.disk, place.directory, log, source, 22))
    if isinstance(place.disk, SimDisk):
        place.disk.crash()
    assert [entry[0] for entry in present(open_log(place.disk, place.directory))] == [
        *range(1, 23),
        *(index for index in LIVE if index > 22),
    ]


def test_an_install_upon_an_install(place: Place, source: Log) -> None:
    log = member(place, 22)
    install(log, stage(place.disk, place.directory, log, source, 22))
    disk = SimDisk(Random(3))
    newer = open_log(disk, "newer")
    install(newer, stage(disk, "newer", newer, source, 0))
    copy(source, newer, S + 1, COUNT)
    newer.append(5, TIME_MS, [record(b"%d" % number, RELEASE) for number in range(40)])
    newer.release([8, 40, *range(60, 90)])
    frozen = synced(disk, newer, 95)
    compact(disk, "newer", newer, frozen, major=True)
    sync(newer)
    assert log.missing(frozen.live(), S) is None
    install(log, stage(place.disk, place.directory, log, newer, S))
    found = open_log(place.disk, place.directory)
    assert found.live_indexes().tolist() == log.live_indexes().tolist() == frozen.live().tolist()
    assert (found.dense_index, found.last_index) == (95, 95)


def test_the_own_entries_that_are_live_at_S_have_to_be_there(place: Place, source: Log) -> None:
    """If one is missing, the member asks from 0."""
    log = member(place, 9)
    assert source.snapshot is not None
    live = source.snapshot.live
    assert log.missing(live, 9) is None
    assert log.missing(live, 22) == 21
    staging = stage(place.disk, place.directory, log, source, 22)
    with pytest.raises(AssertionError):
        log.install(staging)
    staging.abandon()
    install(log, stage(place.disk, place.directory, log, source, 9))


def test_who_has_the_entry_at_S_needs_no_install(place: Place, source: Log) -> None:
    """All up to it is the leader's then, and what follows may have been acknowledged: it must not be dropped."""
    log = member(place, S + 1)
    staging = stage(place.disk, place.directory, log, source, 22)
    with pytest.raises(AssertionError, match="may have been acknowledged"):
        log.install(staging)


def test_nothing_is_appended_truncated_or_compacted_while_an_install_is_published(place: Place, source: Log) -> None:
    log = member(place, 22)
    log.release([1, 2])
    frozen = synced(place.disk, log, 15)
    staging = stage(place.disk, place.directory, log, source, 22)
    job = log.install(staging)
    with pytest.raises(AssertionError):
        append(log, 9, b"x")
    with pytest.raises(AssertionError):
        log.truncate(20)
    with pytest.raises(AssertionError):
        snapshot(place.disk, log, 20)
    with pytest.raises(AssertionError):
        log.sync_job()
    swap = log.swap_job([])
    swap.run()
    assert not log.swap(swap)
    log.release([4])
    job.run()
    log.installed(job)
    assert frozen.live().tolist()[:1] == [3]
    assert log.live_indexes().tolist() == LIVE, "the leader's live set counts for its own entries too"


def test_a_compaction_that_an_install_overtakes_is_of_no_use(place: Place, source: Log) -> None:
    log = member(place, 22)
    log.release([1, 2, 4])
    frozen = synced(place.disk, log, 15)
    job = log.swap_job(rewritten(place.disk, place.directory, log, planned(log, frozen, TINY, major=True)))
    job.run()
    install(log, stage(place.disk, place.directory, log, source, 0))
    assert not log.swap(job)
    sync(log)
    assert present(log) == present(open_log(place.disk, place.directory)) == live_entries()


def test_a_snapshot_of_its_own_that_did_not_count_yet_goes(place: Place, source: Log) -> None:
    log = member(place, 22)
    snapshot(place.disk, log, 20)
    install(log, stage(place.disk, place.directory, log, source, 22))
    sync(log)
    assert (log.snapshot_index, len(place.disk.list(f"{place.directory}/snapshots"))) == (S, 1)


def test_staging_leaves_nothing_behind_when_it_is_given_up_or_cut_off(place: Place, source: Log) -> None:
    log = member(place, 22)
    before = {folder: place.disk.list(f"{place.directory}/{folder}") for folder in ("log", "snapshots")}
    stage(place.disk, place.directory, log, source, 22).abandon()
    assert {folder: place.disk.list(f"{place.directory}/{folder}") for folder in before} == before
    stage(place.disk, place.directory, log, source, 22)
    found = open_log(place.disk, place.directory)
    assert (place.disk.list(f"{place.directory}/snapshots"), len(held(found))) == ([], 22)


# -- what is sent is not trusted -------------------------------------------------------------------------


def begun(place: Place, from_index: int = 5, snapshot_bytes: int = 100, config: LogConfig = TINY) -> Staging:
    log = open_log(place.disk, place.directory, config)
    return Staging(
        place.disk,
        place.directory,
        SHARD,
        config,
        log.new_generation,
        from_index=from_index,
        snapshot_index=20,
        snapshot_bytes=snapshot_bytes,
    )


def entries(*indexes_and_terms: tuple[int, int], mode: int = RELEASE) -> tuple[bytes, np.ndarray]:
    parts = [encode(index, term, TIME_MS, [record(b"%d" % index, mode)]) for index, term in indexes_and_terms]
    return b"".join(data for data, _ in parts), np.concatenate([size for _, size in parts])


@pytest.mark.parametrize(
    "sent",
    [
        entries((5, 1)),
        entries((21, 1)),
        entries((7, 1), (7, 1)),
        entries((9, 1), (8, 1)),
        entries((7, 2), (8, 1)),
        entries((7, 1), mode=0),
        (entries((7, 1))[0][:-8], entries((7, 1))[1]),
        (entries((7, 1))[0], np.array([48, 8], np.uint32)),
        (entries((7, 1))[0], np.array([51, 5], np.uint32)),
        (entries((7, 1))[0], np.array([64], np.uint32)),
        (entries((7, 1))[0], np.array([], np.uint32)),
        (bytes(56), np.array([56], np.uint32)),
        (b"\xff" * 56, np.array([56], np.uint32)),
    ],
    ids=[
        "at-m",
        "above-S",
        "twice",
        "descending",
        "falling-term",
        "mode",
        "short",
        "two-sizes",
        "odd-sizes",
        "longer-size",
        "no-size",
        "zeros",
        "ones",
    ],
)
def test_entries_out_of_place_are_refused_and_none_is_taken(place: Place, sent: tuple[bytes, np.ndarray]) -> None:
    staging = begun(place)
    with pytest.raises(Corruption):
        staging.append(*sent)
    assert staging.segments == []
    staging.append(*entries((6, 1), (20, 3)))
    assert [segment.indexes().tolist() for segment in staging.segments] == [[6, 20]]
    for again in ((6, 1), (20, 3)):
        with pytest.raises(Corruption):
            staging.append(*entries(again))


def test_every_bit_of_an_entry_is_checked_when_it_comes(place: Place) -> None:
    staging = begun(place)
    data, sizes = entries((7, 1), (9, 1))
    start = int(sizes[0])
    padding = {
        position
        for begin, end in ((0, start), (start, len(data)))
        for position in range(begin + 48 + int.from_bytes(data[begin + 4 : begin + 8], "little"), end)
    }
    for bit in range(8 * len(data)):
        if bit // 8 in padding:
            continue
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corruption):
            staging.append(bytes(broken), sizes)
    staging.append(data, sizes)


@pytest.mark.parametrize(("position", "count"), [(1, 10), (0, 101), (40, 10)])
def test_bytes_of_a_snapshot_out_of_place_are_refused(place: Place, position: int, count: int) -> None:
    staging = begun(place)
    with pytest.raises(Corruption):
        staging.write_snapshot(position, bytes(count))
    assert staging.snapshot_received == 0


@pytest.mark.parametrize("size", [0, -1, 1 << 60])
def test_a_snapshot_of_no_or_any_size_is_refused(place: Place, size: int) -> None:
    with pytest.raises((Corruption, NoSpace)):
        begun(place, snapshot_bytes=size)
    assert place.disk.list(f"{place.directory}/snapshots") == []


def test_a_snapshot_that_is_not_whole_or_not_sound_is_refused(place: Place, source: Log) -> None:
    staging = begun(place)
    with pytest.raises(Corruption, match="ends after 0 of 100 bytes"):
        staging.finish()
    staging.write_snapshot(0, bytes(100))
    with pytest.raises(Corruption):
        staging.finish()


def test_entries_and_live_set_have_to_agree(place: Place, source: Log) -> None:
    log = member(place, 0)
    assert source.snapshot is not None
    whole = source.snapshot
    for wrong in (LIVE[:-1], LIVE[1:], [*LIVE, 51], []):
        staging = Staging(
            place.disk,
            place.directory,
            SHARD,
            TINY,
            log.new_generation,
            from_index=0,
            snapshot_index=S,
            snapshot_bytes=whole.bytes,
        )
        staging.write_snapshot(0, whole.file.buffer)
        for index in wrong:
            staging.append(*entries((index, 1)))
        with pytest.raises(Corruption, match="not those that are live"):
            staging.finish()
    staging = Staging(
        place.disk,
        place.directory,
        SHARD,
        TINY,
        log.new_generation,
        from_index=0,
        snapshot_index=S - 1,
        snapshot_bytes=whole.bytes,
    )
    staging.write_snapshot(0, whole.file.buffer)
    with pytest.raises(LogError, match="of index 52, not 51"):
        staging.finish()


def test_a_full_disk_takes_none_of_a_chunk_and_lets_it_come_again() -> None:
    disk = SimDisk(Random(1), capacity=40_000)
    place = Place(disk, "r")
    staging = begun(place)
    data, sizes = entries(*((index, 1) for index in range(6, 20)))
    disk.capacity = 40_000 - disk.free_bytes("r") + 4096
    assert TINY.segment_entries_max == 5
    with pytest.raises(NoSpace):
        staging.append(data, sizes)
    assert staging.segments == [] and not [name for name in disk.list("r/log") if name.startswith("6-")]
    disk.capacity = 1 << 20
    staging.append(data, sizes)
    assert [segment.count for segment in staging.segments] == [5, 5, 4]
    assert [(segment.first_index, segment.last_index) for segment in staging.segments] == [(6, 10), (11, 15), (16, 19)]


def test_an_entry_that_is_larger_than_a_segment_gets_a_larger_one(place: Place) -> None:
    """Members may have different settings."""
    staging = begun(place)
    data, sizes = encode(7, 1, TIME_MS, [record(b"x" * 9000, RELEASE)])
    staging.append(data, sizes)
    staging.append(*entries((8, 1)))
    assert [segment.count for segment in staging.segments] == [1, 1]
