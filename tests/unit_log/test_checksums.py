"""One checksum over many entries: it must notice what one for each would have noticed."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log import checksums
from ocelog.log.checksums import SINGLY_MAX, EntryCopier, pieces
from ocelog.log.entry import COMMAND, HEADER_BYTES, RELEASE, SNAPSHOT, Sizes, encode
from ocelog.log.errors import Corruption
from ocelog.log.segment import ENTRIES_START, Segment

from .memory_file import MemoryFile

FIRST = 1000


def encoded(payloads: list[bytes]) -> tuple[bytearray, Sizes]:
    """Entries from FIRST on, of alternating modes."""
    data, sizes = encode(
        FIRST, 3, 5, [(COMMAND, number % 2, 1, 2, 3, payload) for number, payload in enumerate(payloads)]
    )
    return bytearray(data), sizes


def intact(data: bytearray, sizes: Sizes, copier: EntryCopier | None = None) -> bool:
    count = len(sizes)
    index = np.arange(FIRST, FIRST + count, dtype=np.uint64)
    mode = (np.arange(count) % 2).astype(np.uint8)
    return (copier or EntryCopier()).intact(np.frombuffer(data, np.uint8), sizes, index, mode)


def segment_of(payloads: list[bytes]) -> Segment:
    """A dense segment in memory."""
    data, sizes = encoded(payloads)
    file = MemoryFile("some.seg", bytes(4096 + len(data)))
    segment = Segment.create(file, shard=0, first_index=FIRST, generation=1, created_ms=0)
    segment.append(data, sizes)
    return segment


@given(st.lists(st.binary(max_size=40), max_size=30))
@settings(max_examples=200, deadline=None)
def test_whole_entries_of_any_sizes_are_intact(payloads: list[bytes]) -> None:
    assert intact(*encoded(payloads))


def test_every_flipped_bit_is_noticed() -> None:
    """Of header, checksum, payload and padding, in each of entries whose padding is from 0 to 7 bytes."""
    data, sizes = encoded([bytes(range(length)) for length in range(9)])
    copier = EntryCopier()
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert not intact(data, sizes, copier), f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8
    assert intact(data, sizes, copier)


def test_damage_to_several_entries_is_noticed() -> None:
    random = Random(1)
    data, sizes = encoded([random.randbytes(random.randrange(200)) for _ in range(50)])
    for _ in range(2000):
        broken = bytearray(data)
        for _ in range(random.randrange(2, 9)):
            broken[random.randrange(len(data))] ^= random.randrange(1, 256)
        assert broken == data or not intact(broken, sizes)


def test_whole_entries_in_another_order_are_noticed() -> None:
    data, sizes = encoded([b"a" * 8, b"b" * 8, b"c" * 8])
    size = int(sizes[0])
    assert not intact(data[2 * size :] + data[size : 2 * size] + data[:size], sizes)


def test_whole_entries_that_are_not_those_expected_are_noticed() -> None:
    """By index and by mode: the arrays say what is there, and the entries must agree."""
    data, sizes = encoded([b"a" * 8, b"b" * 8])
    raw, copier = np.frombuffer(data, np.uint8), EntryCopier()
    index, mode = np.array([FIRST, FIRST + 1], np.uint64), np.array([0, 1], np.uint8)
    assert copier.intact(raw, sizes, index, mode)
    assert not copier.intact(raw, sizes, index + np.uint64(1), mode)
    assert not copier.intact(raw, sizes, index, 1 - mode)


@pytest.mark.parametrize("length", [0, 9, 1 << 20, (1 << 32) - 1])
def test_a_length_that_does_not_fit_is_noticed(length: int) -> None:
    data, sizes = encoded([b"12345678", b"x"])
    data[4:8] = length.to_bytes(4, "little")
    assert not intact(data, sizes)


def test_memory_of_a_larger_piece_does_not_show_in_a_smaller_one() -> None:
    copier = EntryCopier()
    assert intact(*encoded([b"\xff" * 100] * 20), copier)
    assert intact(*encoded([b"abc"]), copier)


@given(st.lists(st.integers(48, 3000), max_size=40), st.integers(1, 5000))
@settings(max_examples=100, deadline=None)
def test_pieces_cover_all_and_are_small(sizes: list[int], bytes_max: int) -> None:
    before, checksums.PIECE_BYTES = checksums.PIECE_BYTES, bytes_max
    try:
        found = pieces(np.array(sizes, np.uint32))
    finally:
        checksums.PIECE_BYTES = before
    assert [row for piece in found for row in range(piece.start, piece.stop)] == list(range(len(sizes)))
    for piece in found:
        assert piece.stop - piece.start == 1 or sum(sizes[piece]) <= bytes_max


@given(payloads=st.lists(st.binary(max_size=60), min_size=1, max_size=40), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_copy_is_the_entries_one_behind_the_other(payloads: list[bytes], data: st.DataObject) -> None:
    segment = segment_of(payloads)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(payloads), max_size=len(payloads)))
    rows = np.flatnonzero(chosen)
    expected = b"".join(
        bytes(segment.buffer[segment.offset_of(FIRST + row) : segment.end_of(FIRST + row)]) for row in rows.tolist()
    )
    assert EntryCopier().copy(segment, rows).tobytes() == expected
    EntryCopier().verify(segment, rows)


def test_the_damaged_entry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "PIECE_BYTES", 300)
    segment = segment_of([b"payload" * 3] * 20)
    offset = segment.offset_of(FIRST + 13)
    segment.buffer[offset + 50] ^= 1
    with pytest.raises(Corruption, match="checksum") as caught:
        EntryCopier().verify(segment, np.arange(20))
    assert (caught.value.path, caught.value.offset, caught.value.index) == ("some.seg", offset, FIRST + 13)
    EntryCopier().verify(segment, np.delete(np.arange(20), 13))


def test_an_entry_in_the_place_of_another_is_named() -> None:
    """Whole, with its checksum, and not what the arrays say is there."""
    segment = segment_of([b"payload!"] * 3)
    size = HEADER_BYTES + 8
    segment.buffer[ENTRIES_START : ENTRIES_START + size] = bytes(segment.buffer[segment.offset_of(FIRST + 1) :][:size])
    with pytest.raises(Corruption, match=f"it is entry {FIRST + 1} of mode {RELEASE}, not {FIRST} of mode {SNAPSHOT}"):
        EntryCopier().verify(segment, np.arange(3))


def test_bytes_in_the_padding_are_nobodys_loss() -> None:
    """Nobody writes them and nobody reads them: the entry is what its checksum says."""
    segment = segment_of([b"12345"] * 3)
    segment.buffer[segment.end_of(FIRST) - 1] = 7
    EntryCopier().verify(segment, np.arange(3))


@pytest.mark.parametrize("count", [1, SINGLY_MAX, SINGLY_MAX + 1, 40])
def test_a_batch_from_outside_is_believed_only_whole(count: int) -> None:
    data, sizes = encode(7, 2, 5, [(COMMAND, RELEASE, 1, 1, 1, b"%02d" % number * 3) for number in range(count)])
    copier = EntryCopier()

    def believed(data: bytes, sizes: Sizes, first: int = 7) -> bool:
        index = np.arange(first, first + len(sizes), dtype=np.uint64)
        return copier.are_entries(np.frombuffer(data, np.uint8), sizes, index)

    assert believed(data, sizes)
    assert not believed(data, sizes, 8)
    assert not believed(data[:-8], sizes)
    assert not believed(data, sizes[:-1])
    for position in range(len(data)):
        wrong = bytearray(data)
        wrong[position] ^= 16
        start = int(np.cumsum(sizes)[np.searchsorted(np.cumsum(sizes), position, side="right")]) - int(sizes[0])
        in_padding = position - start >= 48 + int.from_bytes(data[start + 4 : start + 8], "little")
        assert believed(bytes(wrong), sizes) == in_padding, position
    for change in (-8, 3, 8, 1 << 20):
        other = sizes.copy()
        other[0] = int(sizes[0]) + change
        assert not believed(data, other)
