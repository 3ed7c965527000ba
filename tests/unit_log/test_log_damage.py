"""Every file of a replica, damaged in every way we could think of: refused with file, place and reason, or harmless."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log import identity, manifest
from ocelog.log import segment as segment_format
from ocelog.log.directory import open_directory
from ocelog.log.entry import HEADER_BYTES
from ocelog.log.envelope import wrap
from ocelog.log.errors import Corruption, IdentityMismatch, LogError, UnknownFormat
from ocelog.log.identity import Identity
from ocelog.log.log import Log
from ocelog.log.manifest import Manifest, SegmentRecord
from ocelog.log.meta import Meta
from ocelog.log.segment import HEAD, MARK_OFFSETS

from tests.simulation.disk import SimDisk, SimFile

from .conftest import Place
from .log_driver import TINY, Held, append, expected, held, open_log, sync

IDENTITY = Identity(cluster_id="ab" * 16, shard=3, member=1, incarnation=1)
PAYLOADS = [b"%d" % number * 20 for number in range(12)]


@pytest.fixture
def disk() -> SimDisk:
    """A replica with two sealed segments of five entries and an open one: entries 11 and 12 are in it, 11 is below its mark."""
    disk = SimDisk(Random(1))
    _, meta, log = _open(disk)
    meta.store(4, 2)
    append(log, 1, *PAYLOADS[:7])
    append(log, 2, *PAYLOADS[7:11])
    sync(log)
    append(log, 2, PAYLOADS[11])
    sync(log)
    return disk


def _open(disk: SimDisk, expected: Identity = IDENTITY) -> tuple[Identity, Meta, Log]:
    return open_directory(disk, "r", expected=expected, config=TINY)


def _segments(disk: SimDisk) -> list[SimFile]:
    records = Manifest.decode("r/manifest", disk.read("r/manifest")).segments
    return [disk.files[f"r/log/{record.file_name}"] for record in records]


def _whole() -> Held:
    return [*expected(1, 1, PAYLOADS[:7]), *expected(8, 2, PAYLOADS[7:])]


def _offset_of(disk: SimDisk, index: int) -> int:
    return _open(disk)[2]._segments.of(index).offset_of(index)


def _replace(disk: SimDisk, path: str, data: bytes) -> None:
    disk.files[path] = SimFile(disk, path, data)


# -- the open segment ------------------------------------------------------------------------------------


def test_the_undamaged_replica_opens(disk: SimDisk) -> None:
    found, meta, log = _open(disk)
    assert (found, meta.term, meta.voted_for, held(log)) == (IDENTITY, 4, 2, _whole())


def test_damage_below_the_mark_is_corruption(disk: SimDisk) -> None:
    """Any bit of a synced entry: it was acknowledged, so nothing is cut; file, offset and index are named."""
    file, offset = _segments(disk)[2], _offset_of(disk, 11)
    for position in range(offset, offset + 48 + len(PAYLOADS[10])):
        file.data[position] ^= 0x10
        with pytest.raises(Corruption) as caught:
            _open(disk)
        assert (caught.value.path, caught.value.offset, caught.value.index) == (file.path, offset, 11)
        assert caught.value.reason and file.path in str(caught.value)
        file.data[position] ^= 0x10
    assert held(_open(disk)[2]) == _whole()


def test_damage_above_the_mark_is_cut_and_told(disk: SimDisk, caplog: pytest.LogCaptureFixture) -> None:
    """A torn tail was never acknowledged."""
    log = _open(disk)[2]
    append(log, 2, b"torn" * 10)
    file, offset = _segments(disk)[2], log._segments.of(13).offset_of(13)
    file.data[offset + 50] ^= 1
    with caplog.at_level("INFO"):
        log = _open(disk)[2]
    assert held(log) == _whole()
    assert "dropped" in caplog.text and file.path in caplog.text


def test_a_stale_entry_behind_a_cut_never_comes_back(disk: SimDisk) -> None:
    """13 is torn, 14 is whole behind it; a new 13 of the same size must not be followed by the old 14."""
    log = _open(disk)[2]
    append(log, 2, b"a" * 16, b"b" * 16)
    file = _segments(disk)[2]
    file.data[log._segments.of(13).offset_of(13) + 50] ^= 1
    log = _open(disk)[2]
    append(log, 2, b"c" * 16)
    assert held(_open(disk)[2]) == [*_whole(), (13, 2, b"c" * 16)]


def test_entries_that_end_below_the_mark_are_corruption(disk: SimDisk) -> None:
    file, offset = _segments(disk)[2], _offset_of(disk, 11)
    file.data[offset:] = bytes(file.size - offset)
    with pytest.raises(Corruption, match="entry 11"):
        _open(disk)


@pytest.mark.parametrize("slot", [0, 1])
def test_one_torn_mark_is_harmless(disk: SimDisk, slot: int) -> None:
    _segments(disk)[2].data[MARK_OFFSETS[slot]] ^= 1
    assert held(_open(disk)[2]) == _whole()


# -- any segment -----------------------------------------------------------------------------------------


def _newer(data: bytearray) -> None:
    magic, version, _, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version + 1, 0, *rest))
    HEAD.pack_into(data, 0, magic, version + 1, checksum, *rest)


def _other_shard(data: bytearray) -> None:
    magic, version, _, shard, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version, 0, shard + 1, *rest))
    HEAD.pack_into(data, 0, magic, version, checksum, shard + 1, *rest)


@pytest.mark.parametrize("number", [0, 2])
def test_a_bad_header_is_refused(disk: SimDisk, number: int) -> None:
    file = _segments(disk)[number]
    for position in range(HEAD.size):
        file.data[position] ^= 4
        with pytest.raises((Corruption, UnknownFormat), match=file.path):
            _open(disk)
        file.data[position] ^= 4


@pytest.mark.parametrize("number", [0, 2])
def test_another_version_is_named(disk: SimDisk, number: int) -> None:
    _newer(_segments(disk)[number].data)
    with pytest.raises(UnknownFormat, match=r"format version 2.*version 1"):
        _open(disk)


@pytest.mark.parametrize("number", [0, 2])
def test_a_segment_of_another_shard_is_refused(disk: SimDisk, number: int) -> None:
    _other_shard(_segments(disk)[number].data)
    with pytest.raises(Corruption, match="shard 4"):
        _open(disk)


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 100])
def test_a_short_segment_is_refused(disk: SimDisk, number: int, size: int) -> None:
    path = _segments(disk)[number].path
    _replace(disk, path, disk.read(path)[:size])
    with pytest.raises(Corruption, match=path):
        _open(disk)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_segment_is_refused_and_nothing_else_is_touched(disk: SimDisk, number: int) -> None:
    """With the manifest of an old backup the segments it does not name are the log: they must not be removed."""
    path = _segments(disk)[number].path
    disk.remove(path)
    disk.create("r/log/77-99.seg", 64)
    files = set(disk.files)
    with pytest.raises(Corruption, match=path):
        _open(disk)
    assert set(disk.files) == files


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_arbitrary_bytes_in_a_segment_are_refused(data: bytes) -> None:
    fresh = SimDisk(Random(1))
    log = open_log(fresh, "r")
    append(log, 1, b"a")
    sync(log)
    path = log._segments[0].file.path
    _replace(fresh, path, data)
    with pytest.raises(LogError):
        open_log(fresh, "r")


def test_a_damaged_footer_costs_a_scan_and_nothing_else(disk: SimDisk) -> None:
    """The arrays can be rebuilt from the entries, so they are not trusted and not missed."""
    file = _segments(disk)[0]
    for position in range(file.size - segment_format.FOOTER.size - 6 * 5, file.size):
        file.data[position] ^= 1
        assert held(_open(disk)[2]) == _whole()
        file.data[position] ^= 1


def test_damage_in_a_sealed_entry_is_found_when_it_is_read(disk: SimDisk) -> None:
    """Opening reads only those entries of a sealed segment that tell where terms begin; whoever decodes another finds out."""
    file, offset = _segments(disk)[0], _offset_of(disk, 2)
    file.data[offset + 50] ^= 1
    log = _open(disk)[2]
    with pytest.raises(Corruption) as caught:
        log.entry(2)
    assert (caught.value.path, caught.value.offset) == (file.path, offset)


# -- the manifest ----------------------------------------------------------------------------------------


def test_every_bit_of_the_manifest_is_checked(disk: SimDisk) -> None:
    data = disk.read("r/manifest")
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        _replace(disk, "r/manifest", bytes(broken))
        with pytest.raises((Corruption, UnknownFormat), match="r/manifest"):
            _open(disk)


def test_a_shortened_manifest_is_refused(disk: SimDisk) -> None:
    data = disk.read("r/manifest")
    for size in range(len(data)):
        _replace(disk, "r/manifest", data[:size])
        with pytest.raises(Corruption, match="r/manifest"):
            _open(disk)


def test_a_lost_manifest_is_refused(disk: SimDisk) -> None:
    """Without it nothing says which files count; nothing is removed."""
    disk.remove("r/manifest")
    files = set(disk.files)
    with pytest.raises(Corruption, match="r/manifest"):
        _open(disk)
    assert set(disk.files) == files


@pytest.mark.parametrize(
    "segments",
    [
        [(1, 1, 1, 5), (7, 2, 1, None)],
        [(1, 1, 1, 5), (5, 2, 1, None)],
        [(1, 1, 1, None), (6, 2, 1, None)],
        [(6, 2, 1, 10), (1, 1, 1, 5)],
        [(5, 1, 1, 4)],
        [(0, 1, 1, 4)],
        [(1, 99, 1, 4)],
    ],
    ids=["gap", "overlap", "two-open", "unordered", "backwards", "index-0", "generation"],
)
def test_a_manifest_that_makes_no_sense_is_refused(segments: list[tuple[int, int, int, int | None]]) -> None:
    data = Manifest(generation=9, segments=[SegmentRecord(*fields) for fields in segments]).encode()
    with pytest.raises(Corruption, match="some/manifest"):
        Manifest.decode("some/manifest", data)


@pytest.mark.parametrize(
    ("numbers", "segments"),
    [
        ((0, 0, 0), [(2, 1, 1, None)]),
        ((20, 9, 10), [(1, 1, 1, 5), (12, 2, 1, None)]),
        ((20, 9, 10), [(12, 2, 1, None)]),
        ((20, 9, 10), [(1, 1, 2, 11)]),
        ((20, 9, 10), [(1, 1, 2, None)]),
        ((20, 9, 21), []),
        ((20, 10, 20), []),
    ],
    ids=[
        "gap-at-1",
        "gap-above-D",
        "begins-above-D",
        "sparse-above-D",
        "sparse-open",
        "D-above-S",
        "snapshot-generation",
    ],
)
def test_a_manifest_whose_snapshot_does_not_cover_what_is_missing_is_refused(
    numbers: tuple[int, int, int], segments: list[tuple[int, int, int, int | None]]
) -> None:
    snapshot_index, generation, dense_index = numbers
    records = [SegmentRecord(*fields) for fields in segments]
    data = Manifest(9, snapshot_index, generation, dense_index, 3, records).encode()
    with pytest.raises(Corruption, match="some/manifest"):
        Manifest.decode("some/manifest", data)


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [(11, 2, 1, None)],
        [(1, 1, 2, 5), (11, 2, 1, None)],
        [(3, 1, 2, 5), (8, 3, 7, 10), (11, 2, 1, 15), (16, 4, 1, None)],
        [(1, 1, 1, 9), (10, 2, 1, None)],
    ],
)
def test_at_and_below_the_dense_index_there_may_be_gaps(segments: list[tuple[int, int, int, int | None]]) -> None:
    found = Manifest(9, 20, 9, 10, 3, [SegmentRecord(*fields) for fields in segments])
    assert Manifest.decode("some/manifest", found.encode()) == found
    assert found.snapshot_name == "20-9.snap"


@given(data=st.binary(max_size=120))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises((Corruption, UnknownFormat)):
        Manifest.decode("m", data)


@given(
    st.recursive(
        st.none() | st.integers(-5, 2**64 - 1) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=6)
    )
)
@settings(max_examples=300, deadline=None)
def test_a_whole_envelope_with_any_body_is_a_manifest_or_corruption(body: object) -> None:
    try:
        Manifest.decode("m", wrap(manifest.MAGIC, manifest.VERSION, body))
    except LogError as error:
        assert isinstance(error, Corruption)


def test_files_the_manifest_does_not_name_go_and_foreign_ones_stay(disk: SimDisk) -> None:
    for name in ("77-99.seg", "spare-98.seg", "notes.txt", "7-7.seg.bak"):
        disk.create(f"r/log/{name}", 64)
    log = _open(disk)[2]
    names = disk.list("r/log")
    assert "77-99.seg" not in names and "spare-98.seg" not in names
    assert "notes.txt" in names and "7-7.seg.bak" in names
    append(log, 3, *PAYLOADS)
    assert all(segment.generation > 99 for segment in log._segments[3:]), "a name seen is never used again"


# -- term and vote ---------------------------------------------------------------------------------------


def _flip(disk: SimDisk, path: str) -> None:
    disk.files[path].data[-1] ^= 1
    disk.files[path].data[20] ^= 1


def _shorten(disk: SimDisk, path: str) -> None:
    _replace(disk, path, disk.read(path)[:9])


def _empty(disk: SimDisk, path: str) -> None:
    _replace(disk, path, b"")


def _remove(disk: SimDisk, path: str) -> None:
    disk.remove(path)


HARMS = [_flip, _shorten, _empty, _remove]


@pytest.mark.parametrize("name", ["meta.0", "meta.1"])
@pytest.mark.parametrize("harm", HARMS)
def test_one_copy_of_the_vote_is_enough(disk: SimDisk, name: str, harm: Callable[[SimDisk, str], None]) -> None:
    """The newest vote, not the one before it: whichever copy is lost, the other one holds it."""
    harm(disk, f"r/{name}")
    meta = _open(disk)[1]
    assert (meta.term, meta.voted_for) == (4, 2)
    meta.store(5, None)
    meta = _open(disk)[1]
    assert (meta.term, meta.voted_for) == (5, None)


@pytest.mark.parametrize("first", HARMS)
@pytest.mark.parametrize("second", HARMS)
def test_a_forgotten_vote_is_refused(
    disk: SimDisk, first: Callable[[SimDisk, str], None], second: Callable[[SimDisk, str], None]
) -> None:
    """A replica that forgot its vote must not vote."""
    first(disk, "r/meta.0")
    second(disk, "r/meta.1")
    with pytest.raises(Corruption, match="r/meta"):
        _open(disk)


def test_a_vote_survives_a_power_loss_at_any_point() -> None:
    """The store before is there or the one cut short, whole; after the store returned, only the new one."""
    for point in range(12):
        left = point

        def hook(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("power")

        disk = SimDisk(Random(point))
        meta = Meta.load(disk, "r")
        meta.store(6, 1)
        disk.operation_hook = hook
        finished = False
        try:
            meta.store(7, 2)
            finished = True
        except OSError:
            pass
        disk.operation_hook = None
        disk.crash()
        found = Meta.load(disk, "r")
        assert (found.term, found.voted_for) in ([(7, 2)] if finished else [(6, 1), (7, 2)])
    assert finished, "the last point lies behind the store"


# -- whose directory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [{"cluster_id": "cd" * 16}, {"shard": 2}, {"member": 0}])
def test_a_directory_from_elsewhere_is_refused(disk: SimDisk, field: dict[str, int]) -> None:
    other = Identity(**{"cluster_id": "ab" * 16, "shard": 3, "member": 1, "incarnation": 1, **field})
    with pytest.raises(IdentityMismatch) as caught:
        _open(disk, other)
    assert caught.value.exit_code == 78
    assert IDENTITY.describe() in str(caught.value) and other.describe() in str(caught.value)


def test_the_incarnation_is_the_directorys_own(disk: SimDisk) -> None:
    assert _open(disk, Identity(cluster_id="ab" * 16, shard=3, member=1, incarnation=7))[0].incarnation == 1


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_identity_is_refused(disk: SimDisk, harm: Callable[[SimDisk, str], None]) -> None:
    harm(disk, "r/identity")
    with pytest.raises(Corruption, match="r/identity"):
        _open(disk)


def test_an_identity_with_another_body_is_corruption(disk: SimDisk) -> None:
    for body in (None, 3, [], {}, {"cluster_id": 1}, {"a": 1}):
        _replace(disk, "r/identity", wrap(identity.MAGIC, identity.VERSION, body))
        with pytest.raises((Corruption, IdentityMismatch)):
            _open(disk)


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (3, "a newer")])
def test_an_envelope_of_another_version_is_named(disk: SimDisk, version: int, age: str) -> None:
    _replace(disk, "r/manifest", wrap(manifest.MAGIC, version, []))
    with pytest.raises(UnknownFormat, match=f"r/manifest has format version {version}, of {age} Ocelog.*version 2"):
        _open(disk)


def test_the_mark_is_as_the_format_says(disk: SimDisk) -> None:
    """Index and checksum in each of the two slots, the higher one for entries 11 and 12."""
    data = _segments(disk)[2].data
    marks = sorted(struct.unpack_from("<Q", data, offset)[0] for offset in MARK_OFFSETS)
    assert marks == [11, 12]


def test_what_is_sent_long_after_it_was_written_is_verified_too(place: Place) -> None:
    """A full segment may have left this process's memory and come back damaged; the open one has not."""
    log = open_log(place.disk, place.directory)
    append(log, 1, *[b"x" * 40] * 40)
    sync(log)
    full, last = log.sealed_through(log.last_index), log.last_index
    assert 1 < full < last
    for index in (1, last):
        segment = log._segments.of(index)
        segment.buffer[segment.offset_of(index) + HEADER_BYTES] ^= 1
    log.verify(1, last)
    log.verify(full + 1, last, sealed=True)
    with pytest.raises(Corruption) as found:
        log.verify(1, last, sealed=True)
    assert found.value.index == 1
