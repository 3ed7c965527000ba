"""Messages and bundles: what is packed comes back, and bytes from outside raise BadFrame and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import frames
from ocelog.client.protocol.frames import BadFrame, Item, Reply, Request
from ocelog.client.protocol.limits import UNCOPIED_BYTES_MIN

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
KEYS = st.binary(min_size=16, max_size=16)
VERSION = st.just(frames.VERSION)
REQUESTS = st.builds(Request, VERSION, U8, U16, U8, U8, U16, U64, U64, KEYS, U64, U64, U64, U32, U32)
REPLIES = st.builds(Reply, VERSION, U8, U16, U8, U8, U16, U64, U64, U64, U64, U64, U64, U32, U32)
BODIES = st.one_of(st.binary(max_size=100), st.just(bytes(UNCOPIED_BYTES_MIN)))
PARTS = st.lists(st.binary(max_size=40), max_size=20)
FRAMES = st.lists(st.binary(max_size=200), max_size=4)


def or_bad_frame(parse, *arguments):
    """What a parser makes of the bytes; None when it raises BadFrame with a sentence. Anything else is a failure."""
    try:
        return parse(*arguments)
    except BadFrame as error:
        assert str(error)
        return None


# -- one message -------------------------------------------------------------------------------------


@given(REQUESTS, BODIES)
def test_a_request_comes_back(header, body):
    sent = frames.request_frames(frames.REQUEST.pack(*header), body)
    assert frames.parse_request(sent) == (header, body)
    assert len(sent) == (2 if len(body) >= UNCOPIED_BYTES_MIN else 1)


@given(REPLIES, BODIES)
def test_a_reply_comes_back(header, body):
    sent = frames.request_frames(frames.REPLY.pack(*header), body)
    assert frames.parse_reply(sent) == (header, body)


def test_a_large_body_is_not_copied():
    body = bytes(UNCOPIED_BYTES_MIN)
    sent = frames.request_frames(bytes(frames.REQUEST_BYTES), body)
    assert sent[1] is body


@given(FRAMES)
def test_arbitrary_frames_raise_bad_frame_only(parts):
    for parse in (frames.parse_request, frames.parse_reply, frames.unpack_bundle):
        or_bad_frame(parse, parts)


@pytest.mark.parametrize("parse", [frames.parse_request, frames.parse_reply])
@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([], "has 0"),
        ([b"\x02" * 72] * 3, "has 3"),
        ([b""], "this frame 0"),
        ([b"\x02" * 55], "this frame 55"),
        ([b"\x03" * 72], "version 3"),
        ([b"\x02" * 80, b"body"], "stray bytes"),
    ],
)
def test_each_malformed_message_is_named(parse, parts, why):
    with pytest.raises(BadFrame, match=why):
        parse(parts)


# -- bodies ------------------------------------------------------------------------------------------


@given(PARTS)
def test_parts_come_back(parts):
    assert frames.unpack_parts(frames.pack_parts(parts), len(parts)) == parts


@given(PARTS, st.integers(0, 30))
def test_another_count_is_noticed(parts, count):
    unpacked = or_bad_frame(frames.unpack_parts, frames.pack_parts(parts), count)
    assert unpacked == parts or count != len(parts)
    assert unpacked is None or len(unpacked) == count


@given(PARTS, st.data())
def test_a_cut_body_is_refused(parts, data):
    body = frames.pack_parts([b"one", *parts])
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(BadFrame):
        frames.unpack_parts(body[:cut], len(parts) + 1)


@given(st.binary(max_size=300), st.integers(0, 65535))
def test_arbitrary_bodies_raise_bad_frame_only(body, count):
    or_bad_frame(frames.unpack_parts, body, count)
    or_bad_frame(frames.unpack_results, body, count)


def test_lengths_that_run_past_the_end_are_refused():
    with pytest.raises(BadFrame, match="end at byte 4294967299"):
        frames.unpack_parts(b"\xff\xff\xff\xff" + b"abc", 1)


@given(st.lists(st.tuples(U64, st.binary(min_size=1, max_size=40)), max_size=20))
def test_results_come_back(results):
    indexes, bodies = [index for index, _ in results], [body for _, body in results]
    unpacked = frames.unpack_results(frames.pack_results(indexes, bodies), len(results))
    assert (list(unpacked[0]), unpacked[1]) == (indexes, bodies)


def test_a_result_without_its_code_byte_is_refused():
    with pytest.raises(BadFrame, match="code byte"):
        frames.unpack_results(frames.pack_results([1, 2], [b"\0", b""]), 2)


def test_bodies_may_be_views():
    packed = frames.pack_parts([b"a", b"bc"])
    assert frames.unpack_parts(memoryview(packed), 2) == [b"a", b"bc"]
    results = frames.pack_results([7], [b"\0x"])
    assert frames.unpack_results(memoryview(results), 1) == ((7,), [b"\0x"])


# -- bundles -----------------------------------------------------------------------------------------

MESSAGES = st.lists(st.binary(max_size=60), min_size=1, max_size=2)
ITEMS = st.lists(st.builds(Item, U64, MESSAGES), max_size=12)


@given(ITEMS)
def test_a_bundle_comes_back(items):
    packed = frames.pack_bundle(items)
    assert frames.unpack_bundle(packed) == items
    assert len(packed) == 1 + sum(len(item.frames) - 1 for item in items)


@given(ITEMS, st.data())
def test_a_bundle_with_a_frame_more_or_less_is_refused(items, data):
    packed = frames.pack_bundle(items)
    with pytest.raises(BadFrame):
        frames.unpack_bundle([*packed, b"more"])
    with pytest.raises(BadFrame):
        frames.unpack_bundle(packed[:-1])
    cut = data.draw(st.integers(0, len(packed[0]) - 1))
    with pytest.raises(BadFrame):
        frames.unpack_bundle([packed[0][:cut], *packed[1:]])


@given(ITEMS, st.data())
def test_a_bundle_with_a_byte_changed_raises_bad_frame_or_is_another(items, data):
    packed = frames.pack_bundle(items)
    position = data.draw(st.integers(0, len(packed[0]) - 1))
    changed = bytearray(packed[0])
    changed[position] ^= data.draw(st.integers(1, 255))
    got = or_bad_frame(frames.unpack_bundle, [bytes(changed), *packed[1:]])
    assert got is None or got != items or 4 <= position < 8  # those four bytes are reserved


def test_a_bundle_of_too_many_messages_is_a_bug_of_ours():
    with pytest.raises(AssertionError, match="4097"):
        frames.pack_bundle([Item(1, [b""])] * (frames.BUNDLE_ITEMS_MAX + 1))
