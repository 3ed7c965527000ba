"""The entry's bytes: what is encoded is decoded, and whatever is changed is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.log import entry
from ocelog.log.entry import HEADER, HEADER_BYTES, Entry, damage, encode, padded
from ocelog.log.errors import Corruption

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
RECORDS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 1), U16, U64, U64, st.binary(max_size=40)), min_size=1, max_size=5
)
SAMPLE = (entry.COMMAND, entry.RELEASE, 7, 8, 9, b"payload")


@given(first=st.integers(1, 2**63), term=U32, time=U64, records=RECORDS)
def test_what_is_encoded_is_decoded(first: int, term: int, time: int, records: list[Any]) -> None:
    data, sizes = encode(first, term, time, records)
    offset = 0
    for number, (size, record) in enumerate(zip(sizes.tolist(), records, strict=True)):
        found = Entry.decode(memoryview(data), offset)
        fields = (found.kind, found.mode, found.window, found.session, found.sequence, found.payload)
        assert (found.index, found.term, found.time, fields) == (first + number, term, time, record)
        assert size == padded(len(record[-1])) and size % 8 == 0
        offset += size
    assert offset == len(data)


def test_the_header_is_as_the_format_says() -> None:
    """The layout other languages and old files rely on, spelled out byte by byte."""
    data, sizes = encode(0x0102030405060708, 0x0A0B0C0D, 0x1112131415161718, [SAMPLE])
    assert sizes.tolist() == [56]
    assert (
        data[4:]
        == bytes.fromhex(
            "07000000 0807060504030201 0d0c0b0a 08 01 0700 1817161514131211 0800000000000000 0900000000000000"
        )
        + b"payload\0"
    )
    assert HEADER.size == HEADER_BYTES == 48


def test_every_bit_but_the_padding_is_checked() -> None:
    data, _ = encode(1, 1, 1, [SAMPLE])
    for bit in range(8 * (HEADER_BYTES + len(SAMPLE[-1]))):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corruption):
            Entry.decode(memoryview(broken), 0)


@given(st.binary(max_size=200), st.integers(0, 210))
def test_arbitrary_bytes_are_damage_and_nothing_else(data: bytes, offset: int) -> None:
    assert damage(memoryview(data), offset, len(data)) is not None


def test_zeros_are_no_entry() -> None:
    """What a fresh file holds behind its last entry must end a scan."""
    assert damage(memoryview(bytes(64)), 0, 64) is not None


def test_corruption_names_file_and_offset() -> None:
    with pytest.raises(Corruption, match="some/file at offset 8") as caught:
        Entry.decode(memoryview(bytes(80)), 8, "some/file")
    assert (caught.value.path, caught.value.offset, caught.value.exit_code) == ("some/file", 8, 65)
