"""Operations: encoding, and decoding under limits that no bytes get around."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import operations
from ocelog.client.protocol.limits import ITEMS_MAX
from ocelog.client.protocol.operations import SCANNED_BYTES_MIN, BadOperation, check_structure, decode, encode

KEYS = st.one_of(st.text(max_size=8), st.binary(max_size=8), st.integers(-(2**63), 2**64 - 1))
SCALARS = st.one_of(KEYS, st.none(), st.booleans(), st.floats(allow_nan=False), st.binary(max_size=400))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
OPERATIONS = st.builds(
    lambda index, name, arguments: [index, name, *arguments],
    st.integers(0, 2**64 - 1),
    st.text(max_size=10),
    st.lists(VALUES, max_size=5),
)


@given(OPERATIONS)
def test_an_operation_comes_back(operation):
    data = encode(operation)
    assert decode(data) == operation
    assert decode(data, None) == operation


@given(OPERATIONS)
def test_what_can_be_encoded_passes_the_scan(operation):
    check_structure(encode(operation), 32)


@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_bad_operation_only(data):
    for nesting_max in (None, 3, 32):
        try:
            operation = decode(data, nesting_max)
        except BadOperation as error:
            assert str(error)
        else:
            assert type(operation[0]) is int and type(operation[1]) is str


@given(st.binary(max_size=600))
def test_the_scan_and_the_decoder_agree_on_where_data_end(data):
    """What the scan lets pass, the decoder finds complete: it never asks for more bytes and never leaves any."""
    try:
        check_structure(data, 32)
    except BadOperation:
        return
    try:
        msgpack.unpackb(data, raw=True, strict_map_key=False)
    except (TypeError, ValueError) as error:
        assert "incomplete" not in str(error) and not isinstance(error, msgpack.ExtraData)


@given(OPERATIONS, st.data())
def test_a_cut_operation_is_refused(operation, data):
    encoded = encode(operation)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    for refuse in (decode, lambda some: check_structure(some, 32)):
        with pytest.raises(BadOperation):
            refuse(cut)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"a": 1}, "array"),
        ([1], "array"),
        (["x", "put"], "index"),
        ([-1, "put"], "index"),
        ([True, "put"], "index"),
        ([1, b"put"], "name"),
        ([1, None], "name"),
        ([1, "put", {None: 1}], "map key"),
        ([1, "put", {1.5: 1}], "map key"),
        ([1, "put", {True: 1}], "map key"),
        ([1, "put", msgpack.ExtType(5, b"")], "extension"),
        ([1, "put", msgpack.ExtType(5, b"abcd")], "ext"),
        ([1, "put", msgpack.Timestamp(1)], "ext"),
    ],
)
@pytest.mark.parametrize("padding", [0, SCANNED_BYTES_MIN])
def test_what_is_no_operation_is_named(operation, why, padding):
    if isinstance(operation, list) and len(operation) > 1:
        operation = [*operation, bytes(padding)]
    with pytest.raises(BadOperation, match=why):
        decode(msgpack.packb(operation))


def test_a_map_key_that_comes_twice_is_refused():
    with pytest.raises(BadOperation, match="twice"):
        decode(b"\x93\x01\xa3put\x82\x01\xc0\x01\xc0")


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(BadOperation, match="UnicodeDecodeError"):
        decode(b"\x93\x01\xa3put\xa2\xff\xff")


# -- the scan ----------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """Arrays in arrays."""
    return b"\x91" * (depth - 1) + b"\x90"


def test_nesting_is_bounded():
    check_structure(nested(32), 32)
    with pytest.raises(BadOperation, match="deeper than 32"):
        check_structure(nested(34), 32)


@pytest.mark.parametrize("opening", [b"\xdc", b"\xdd\x00\x00", b"\xde", b"\xdf\x00\x00"])
def test_items_are_bounded_before_anything_is_built(opening):
    data = opening + b"\xff\xff" + b"\xc0" * (2 * 65535)
    with pytest.raises(BadOperation, match=r"more than 100|a container of"):
        check_structure(data, 32, items_max=100)


def test_the_number_of_items_is_that_of_the_whole_operation():
    row = b"\x9a" + b"\xc0" * 10
    check_structure(b"\x99" + row * 9, 32, items_max=100)
    with pytest.raises(BadOperation, match="more than 99"):
        check_structure(b"\x99" + row * 9, 32, items_max=99)


def test_a_container_that_promises_too_much_is_refused_at_its_marker():
    with pytest.raises(BadOperation, match="4294967295"):
        check_structure(b"\xdd\xff\xff\xff\xff", 32)


def test_a_large_payload_is_one_item():
    check_structure(encode([1, "put", bytes(10 * ITEMS_MAX)]), 32, items_max=4)


@pytest.mark.parametrize("marker", [0xC1, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8])
def test_extension_types_are_refused(marker):
    with pytest.raises(BadOperation, match=f"0x{marker:02x}"):
        check_structure(bytes([marker]) + bytes(20), 32)


def test_lengths_that_point_past_the_end_are_refused():
    with pytest.raises(BadOperation, match="past the end"):
        check_structure(b"\xc6\xff\xff\xff\xff", 32)
    with pytest.raises(BadOperation, match="follow"):
        check_structure(b"\xc0\xc0", 32)
    assert operations.SHARD == 0
