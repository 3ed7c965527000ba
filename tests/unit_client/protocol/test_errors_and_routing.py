"""The error table and its exceptions, the limits as they travel, and which shard a name is on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import errors
from ocelog.client.protocol.errors import TABLE, error_for, name_of
from ocelog.client.protocol.limits import SLOTS, Limits
from ocelog.client.protocol.routing import SlotTable, slot_of

# -- errors ------------------------------------------------------------------------------------------


def test_every_code_of_the_module_is_one_row():
    codes = {name: value for name, value in vars(errors).items() if name.isupper() and type(value) is int}
    assert codes.pop("OK") == 0
    assert codes == {row.name: row.code for row in TABLE}
    assert len(errors.ROWS) == len(TABLE)


def test_what_is_repeated_is_definite():
    """Repeating an operation that may have been applied would not be safe."""
    assert all(row.definite for row in TABLE if row.retry)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_final_error_is_an_exception_that_says_the_same(row):
    error = error_for(row.code, "", shard=3)
    assert error.definite is row.definite
    assert row.sentence in str(error)
    assert "shard 3" in str(error)


def test_a_code_from_the_future_has_a_name_and_an_exception():
    assert name_of(200) == "ERROR_200"
    error = error_for(200, "")
    assert isinstance(error, errors.Refused) and error.code == 200


def test_an_error_of_a_handler_keeps_its_type_and_text():
    error = error_for(errors.MACHINE_ERROR, "ValueError: 3: too small")
    assert isinstance(error, errors.MachineError)
    assert (error.type_name, error.text) == ("ValueError", "3: too small")


def test_what_was_applied_is_never_called_definite():
    """Definite means surely not applied."""
    pending = errors.EventsPending("its events are not handled", result=7, index=131)
    assert (pending.definite, pending.result, pending.index) == (False, 7, 131)
    assert isinstance(pending, TimeoutError)


def test_errors_are_the_builtin_ones_too():
    assert issubclass(errors.BadArgument, ValueError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
    assert issubclass(errors.OutcomeUnknown, TimeoutError)
    assert issubclass(errors.ConnectFailed, ConnectionError)


# -- limits ------------------------------------------------------------------------------------------


@given(st.integers(1, 2**31), st.integers(1, 2**31))
def test_limits_travel_as_a_map(operation_bytes_max, in_flight_max):
    limits = Limits(operation_bytes_max=operation_bytes_max, in_flight_max=in_flight_max)
    assert Limits.from_dict(limits.as_dict()) == limits


def test_fields_that_a_newer_server_adds_are_ignored():
    assert Limits.from_dict({"in_flight_max": 7, "colour": 3}) == Limits(in_flight_max=7)


# -- routing -----------------------------------------------------------------------------------------


def crc_32(data: bytes) -> int:
    """CRC-32 bit by bit, as another language may write it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_the_slot_of_the_published_check_value():
    assert crc_32(b"123456789") == 0xCBF43926
    assert slot_of(b"123456789") == 0x3926


@given(st.binary(max_size=50))
def test_the_slot_is_the_low_14_bits_of_crc_32(key):
    assert slot_of(key) == crc_32(key) & 0x3FFF


@given(st.sets(st.integers(1, SLOTS - 1), max_size=10), st.binary(max_size=20))
def test_every_key_is_on_the_shard_whose_range_holds_its_slot(edges, key):
    starts = [0, *sorted(edges)]
    ranges = [
        (first, last - 1, shard) for shard, (first, last) in enumerate(zip(starts, [*starts[1:], SLOTS], strict=True))
    ]
    shard = SlotTable(reversed(ranges)).shard_of(key)
    first, last, _ = ranges[shard]
    assert first <= slot_of(key) <= last


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [(0, SLOTS - 2, 0)],
        [(1, SLOTS - 1, 0)],
        [(0, 5, 0), (5, SLOTS - 1, 1)],
        [(0, 5, 0), (7, SLOTS - 1, 1)],
        [(0, SLOTS, 0)],
        [(0, 9, 0), (10, 9, 1), (10, SLOTS - 1, 2)],
    ],
)
def test_tables_with_gaps_overlaps_or_strays_are_refused(ranges):
    with pytest.raises(ValueError, match="slot"):
        SlotTable(ranges)
