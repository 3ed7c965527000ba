"""Bodies about events: what is packed comes back, and bytes from outside raise BadFrame and nothing else."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import events
from ocelog.client.protocol.events import Event, Route
from ocelog.client.protocol.frames import BadFrame

U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
INDEXES = st.lists(U64, max_size=20)


@given(U64, U64)
def test_what_was_handled_comes_back(one, other):
    handled, received = sorted((one, other))
    assert events.unpack_handled(events.pack_handled(received, handled)) == (received, handled)


def test_a_body_without_acknowledgement_acknowledges_nothing():
    assert events.unpack_handled(b"") == (0, 0)


def test_what_was_not_received_cannot_have_been_handled():
    with pytest.raises(BadFrame, match="handled, but received only up to 3"):
        events.unpack_handled(events.pack_handled(3, 4))


@given(INDEXES)
def test_indexes_come_back(indexes):
    assert list(events.unpack_indexes(events.pack_indexes(indexes), len(indexes))) == indexes


@given(st.lists(st.builds(Route, U64, U64, U32), max_size=20))
def test_routes_come_back(routes):
    assert events.unpack_routes(events.pack_routes(routes), len(routes)) == routes


def test_a_batch_is_an_array_of_events():
    payload = msgpack.packb([[7, "change", {"key": b"a"}], [9, "tick", None]])
    assert events.unpack_batch(payload) == [Event(7, "change", {"key": b"a"}), Event(9, "tick", None)]


@pytest.mark.parametrize("fields", [[7, "change"], ["7", "change", 1], [7, b"change", 1], 7, None])
def test_what_is_no_event_is_named(fields):
    with pytest.raises(BadFrame, match="a batch of events cannot be read"):
        events.unpack_batch(msgpack.packb([fields]))


@given(st.binary(max_size=60), st.integers(0, 3))
def test_arbitrary_bytes_raise_bad_frame_only(body, count):
    for parse in (events.unpack_indexes, events.unpack_routes):
        try:
            parse(body, count)
        except BadFrame as error:
            assert str(error)
    for parse in (events.unpack_handled, events.unpack_batch):
        try:
            parse(body)
        except BadFrame as error:
            assert str(error)
