"""The snapshot file: what goes in comes out, and no damage goes unnoticed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log.errors import Corruption, LogError, NoSpace, UnknownFormat
from ocelog.log.snapshot import (
    HEAD,
    LIVE,
    LIVE_SET,
    SECTION,
    Indexes,
    Snapshot,
    SnapshotHead,
    decode_live,
    encode_live,
    parts,
    write_snapshot,
)

from tests.simulation.disk import SimDisk

from .conftest import Place
from .memory_file import MemoryFile

HEADER = SnapshotHead(shard=3, index=900, term=7, time=1_700_000_000_000, digest=b"\x11" * 16, configuration=b"members")
LIVE_INDEXES = [1, 2, 3, 40, 899]
PIECES = [b"sessions" * 9, b"", b"x", b"machine" * 3]


def indexes(values: Sequence[int]) -> Indexes:
    """A live set."""
    return np.array(values, np.uint64)


def whole(head: SnapshotHead = HEADER, live: Sequence[int] = LIVE_INDEXES, pieces: Sequence[bytes] = PIECES) -> bytes:
    """A snapshot file."""
    return b"".join(parts(head, indexes(live), pieces))


def read(data: bytes, shard: int | None = 3) -> Snapshot:
    """Parse a file."""
    return Snapshot.parse(MemoryFile("some.snap", data), shard)


def test_what_is_written_is_read(place: Place) -> None:
    path = f"{place.directory}/900-4.snap"
    size = write_snapshot(place.disk, path, HEADER, indexes(LIVE_INDEXES), iter(PIECES))
    snapshot = Snapshot.open(place.disk, path, 3)
    assert (snapshot.head, snapshot.path, snapshot.bytes, size) == (HEADER, path, size, len(place.disk.read(path)))
    assert snapshot.live.tolist() == LIVE_INDEXES and snapshot.live.dtype == np.uint64
    assert [bytes(piece) for piece in snapshot.pieces()] == PIECES


def test_a_full_disk_is_no_space_and_leaves_no_file(place: Place) -> None:
    assert isinstance(place.disk, SimDisk) or place.disk.exists(place.directory)
    if isinstance(place.disk, SimDisk):
        place.disk.capacity = 100
        with pytest.raises(NoSpace):
            write_snapshot(place.disk, "r/1.snap", HEADER, indexes(LIVE_INDEXES), PIECES)
        assert not place.disk.files


@given(
    gaps=st.lists(st.one_of(st.integers(1, 3), st.integers(1, 300), st.integers(1, 1 << 40)), max_size=60),
    above=st.integers(0, 5),
    pieces=st.lists(st.binary(max_size=40), max_size=4),
    digest=st.binary(max_size=33),
    configuration=st.binary(max_size=60),
)
@settings(max_examples=200, deadline=None)
def test_any_live_set_and_any_pieces(
    gaps: list[int], above: int, pieces: list[bytes], digest: bytes, configuration: bytes
) -> None:
    live = np.cumsum(np.array(gaps, np.uint64), dtype=np.uint64)
    head = SnapshotHead(shard=0, index=sum(gaps) + above, term=1, time=2, digest=digest, configuration=configuration)
    snapshot = read(whole(head, live.tolist(), pieces), 0)
    assert snapshot.head == head
    assert np.array_equal(snapshot.live, live)
    assert [bytes(piece) for piece in snapshot.pieces()] == pieces


@pytest.mark.parametrize("gap", [1, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, 1 << 61])
def test_the_widest_gap_decides_how_many_bytes_an_entry_takes(gap: int) -> None:
    live = indexes([gap, 2 * gap, 2 * gap + 1, 3 * gap + 1])
    data = encode_live(live, 3 * gap + 1)
    width = next(width for width in (1, 2, 4, 8) if gap < 1 << 8 * width)
    assert len(data) == LIVE.size + 3 * width
    assert np.array_equal(decode_live(memoryview(data), 3 * gap + 1), live)


def test_indexes_up_to_the_largest() -> None:
    top = (1 << 64) - 1
    assert decode_live(memoryview(encode_live(indexes([1, top]), top)), top).tolist() == [1, top]


@pytest.mark.parametrize("live", [[2, 2], [3, 2], [0, 1], [1, 901]], ids=["twice", "falls", "zero", "above S"])
def test_what_is_no_live_set_is_not_written(live: list[int]) -> None:
    with pytest.raises(AssertionError, match="live"):
        encode_live(indexes(live), 900)


# -- damage ----------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed() -> None:
    data = whole()
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corruption, match=r"some\.snap"):
            read(bytes(broken))


def test_every_shortened_or_lengthened_file_is_noticed() -> None:
    data = whole()
    for size in range(len(data)):
        with pytest.raises(Corruption, match=r"some\.snap"):
            read(data[:size])
        if any(data[size:]):
            with pytest.raises(Corruption, match=r"some\.snap"):
                read(data[:size] + bytes(len(data) - size))
    for more in (b"\0", bytes(8), bytes(4096), data):
        with pytest.raises(Corruption, match=r"some\.snap"):
            read(data + more)


@given(data=st.binary(max_size=400), head=st.booleans())
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes, head: bool) -> None:
    with pytest.raises(LogError):
        read((whole()[: HEAD.size] if head else b"") + data)


def _with_version(data: bytes, version: int) -> bytes:
    magic, _, _, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version, 0, *rest))
    return HEAD.pack(magic, version, checksum, *rest) + data[HEAD.size :]


@pytest.mark.parametrize(("version", "age"), [(2, "a newer"), (77, "a newer"), (0, "an older")])
def test_another_format_version_is_named(version: int, age: str) -> None:
    with pytest.raises(UnknownFormat, match=f"format version {version}, of {age} Ocelog"):
        read(_with_version(whole(), version))


def test_a_snapshot_of_another_shard_is_refused() -> None:
    with pytest.raises(Corruption, match="shard 3"):
        read(whole(), 2)
    assert read(whole(), None).head.shard == 3


def _split(data: bytes) -> list[bytes]:
    """The header and every section, each with its padding."""
    found, position = [data[: HEAD.size]], HEAD.size
    while position < len(data):
        _, _, length = SECTION.unpack_from(data, position)
        end = position + SECTION.size + length + -length % 8
        found.append(data[position:end])
        position = end
    return found


def test_sections_that_are_whole_but_not_of_this_file_are_refused() -> None:
    """Each section has a good checksum of its own; what is exchanged, missing, repeated or moved is noticed all the same."""
    one = _split(whole())
    other = _split(whole(live=[1, 2, 3, 40, 898], pieces=[b"session." * 9, b"", b"y", b"machinf" * 3]))
    for place in range(1, len(one) - 1):
        assert len(one[place]) == len(other[place])
        if one[place] != other[place]:
            with pytest.raises(Corruption):
                read(b"".join([*one[:place], other[place], *one[place + 1 :]]))
        for files in (
            [*one[:place], *one[place + 1 :]],
            [*one[:place], one[place], *one[place:]],
            [*one[:place], one[place + 1], one[place], *one[place + 2 :]],
        ):
            with pytest.raises(Corruption):
                read(b"".join(files))


def test_another_header_before_the_same_sections_is_refused() -> None:
    other = whole(SnapshotHead(**{**vars(HEADER), "index": 901}))
    with pytest.raises(Corruption):
        read(other[: HEAD.size] + whole()[HEAD.size :])


@pytest.mark.parametrize("length", [1 << 20, 1 << 32, (1 << 63) + 1, (1 << 64) - 1])
def test_a_length_is_checked_against_the_file(length: int) -> None:
    head = whole()[: HEAD.size]
    section = SECTION.pack(1, crc32(SECTION.pack(1, 0, length)), length)
    with pytest.raises(Corruption, match=f"section of {length} bytes"):
        read(head + section)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (LIVE.pack(0, 0, 1)[:-1], "23 bytes"),
        (LIVE.pack(3, 1, 1) + b"\1", "3 live entries"),
        (LIVE.pack(1 << 62, 1, 8), "live entries of 8 bytes"),
        (LIVE.pack(2, 1, 3) + bytes(3), "of 3 bytes"),
        (LIVE.pack(2, 5, 1) + b"\0", "ascend"),
        (LIVE.pack(1, 0, 1), "ascend"),
        (LIVE.pack(1, 901, 1), "ascend from 1 to 900"),
        (LIVE.pack(2, 1, 8) + struct.pack("<Q", (1 << 64) - 1), "ascend"),
        (LIVE.pack(3, 2, 8) + struct.pack("<QQ", (1 << 64) - 1, 3), "ascend"),
    ],
    ids=["empty", "short", "missing", "huge", "width", "twice", "zero", "above", "wraps", "wraps-back"],
)
def test_a_live_set_that_makes_no_sense_is_corruption_though_its_checksum_fits(
    monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    monkeypatch.setattr("ocelog.log.snapshot.encode_live", lambda *_: data)
    file = whole()
    assert SECTION.unpack_from(_split(file)[LIVE_SET])[0] == LIVE_SET
    with pytest.raises(Corruption, match=reason):
        read(file)
