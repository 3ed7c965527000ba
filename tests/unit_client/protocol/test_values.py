"""Keys and values: equal ones have equal bytes, and what cannot be kept is refused before anything is sent."""

from __future__ import annotations

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol.errors import BadArgument
from ocelog.client.protocol.values import decode, encode_key, encode_value

INTEGERS = st.integers(-(2**63), 2**64 - 1)
KEYS = st.one_of(st.text(max_size=10), st.binary(max_size=10), INTEGERS)
SCALARS = st.one_of(KEYS, st.booleans(), st.floats(allow_nan=False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner | st.none(), max_size=4) | st.dictionaries(KEYS, inner | st.none(), max_size=5),
)


@given(KEYS)
def test_keys_come_back_with_their_type(key):
    assert decode(encode_key(key)) == key
    assert type(decode(encode_key(key))) is type(key)


@given(VALUES)
def test_values_come_back(value):
    assert decode(encode_value(value)) == value


@given(VALUES)
def test_encoding_what_was_decoded_gives_the_same_bytes(value):
    data = encode_value(value)
    assert encode_value(decode(data)) == data


def shuffled(value, rng):
    """The same value with the entries of all its maps in another order, lists as tuples."""
    if isinstance(value, dict):
        entries = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(entries)
        return dict(entries)
    return tuple(shuffled(item, rng) for item in value) if isinstance(value, list) else value


@given(VALUES, st.integers(0, 100))
def test_the_order_of_map_entries_does_not_matter(value, seed):
    assert encode_value(shuffled(value, random.Random(seed))) == encode_value(value)


@given(st.lists(KEYS, min_size=2, max_size=6))
def test_different_keys_have_different_bytes(keys):
    distinct = {(type(key), key) for key in keys}
    assert len({encode_key(key) for key in keys}) == len(distinct)


def test_one_true_and_one_point_zero_are_three_values():
    assert len({encode_value(1), encode_value(True), encode_value(1.0)}) == 3


@pytest.mark.parametrize(
    "key", [None, True, 1.0, (1,), ["a"], {"a": 1}, bytearray(b"a"), 2**64, -(2**63) - 1, "\ud800"]
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(BadArgument):
        encode_key(key)


@pytest.mark.parametrize(
    "value",
    [
        None,
        object(),
        {1, 2},
        2**64,
        [2**64],
        {None: 1},
        {1.5: 1},
        {True: 1},
        {(1, 2): 3},
        "\ud800",
        ["\ud800"],
        msgpack.Timestamp(1),
        [msgpack.Timestamp(1)],
    ],
)
def test_what_is_no_value_is_refused(value):
    with pytest.raises(BadArgument):
        encode_value(value)


def test_after_a_refused_value_the_next_one_is_encoded_alone():
    for bad in ("\ud800", 2**64):
        with pytest.raises(BadArgument):
            encode_value(bad)
        assert encode_value("a") == b"\xa1a"


def test_nesting_is_bounded_also_for_a_value_that_holds_itself():
    value: list = []
    value.append(value)
    with pytest.raises(BadArgument, match="32"):
        encode_value(value)


@pytest.mark.parametrize("kind", [list, dict])
def test_a_value_nests_at_most_32_containers(kind):
    value = 1
    for _ in range(32):
        value = [value] if kind is list else {"k": value}
    assert decode(encode_value(value)) == value
    with pytest.raises(BadArgument, match="32"):
        encode_value([value])
