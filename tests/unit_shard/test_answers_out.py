"""Answers: in order, per router, with what every header says; and how results look in bytes."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import BUNDLE_ITEMS_MAX, Item
from ocelog.shard.outbox import Origin, Outbox
from ocelog.shard.results import ERROR_TEXT_BYTES_MAX, OK_NIL, encode_error, encode_result
from ocelog.shard.server import bundles


def parsed(outbox):
    return {
        router: [(item.route, *frames.parse_reply(item.frames)) for item in items]
        for router, items in outbox.take().items()
    }


def test_answers_are_kept_apart_by_router_and_in_order():
    """One bundle per router and turn."""
    outbox = Outbox(3)
    for request, router in enumerate([b"a", b"b", b"a"]):
        outbox.answer(Origin(router, 10 + request), frames.RESULTS, request, 7)
    found = parsed(outbox)
    assert [(route, reply.request) for route, reply, _ in found[b"a"]] == [(10, 0), (12, 2)]
    assert [(route, reply.request) for route, reply, _ in found[b"b"]] == [(11, 1)]


def test_taking_empties():
    """What left once does not leave again."""
    outbox = Outbox(3)
    outbox.answer(Origin(b"a", 1), frames.RESULTS, 1, 7)
    outbox.take()
    assert outbox.take() == {}


def test_every_answer_says_shard_term_leader_and_index():
    """A client learns from any answer where its shard stands."""
    outbox = Outbox(3)
    outbox.term, outbox.leader, outbox.index = 4, 2, 99
    outbox.refuse(Origin(b"a", 1), 5, 7, errors.BUSY, "läter", first_sequence=8, retry_after_ms=20)
    ((_, reply, body),) = parsed(outbox)[b"a"]
    assert (reply.shard, reply.term, reply.leader, reply.index) == (3, 4, 2, 99)
    assert (reply.kind, reply.code, reply.request, reply.session) == (frames.REFUSED, errors.BUSY, 5, 7)
    assert (reply.first_sequence, reply.retry_after_ms, str(body, "utf-8")) == (8, 20, "läter")


def test_a_large_body_travels_uncopied():
    """In a frame of its own."""
    outbox = Outbox(3)
    body = bytes(frames.UNCOPIED_BYTES_MIN)
    outbox.answer(Origin(b"a", 1), frames.RESULTS, 1, 7, body)
    ((_, parts),) = outbox.take()[b"a"]
    assert parts[1] is body


@pytest.mark.parametrize("value", [None, True, 0, -1, (1 << 64) - 1, 1.5, "ä", b"\xff", [1, [2]], {"a": None}])
def test_a_value_is_code_zero_and_msgpack(value):
    """What a machine returns comes back as it is."""
    result = encode_result(value)
    assert (result[0], msgpack.unpackb(result[1:], strict_map_key=False)) == (errors.OK, value)


def test_nothing_is_the_constant_that_the_hot_path_uses():
    """None needs no encoding."""
    assert encode_result(None) == OK_NIL


def test_an_error_is_its_code_and_a_bounded_text():
    """However long the text of an exception."""
    assert encode_error(errors.MACHINE_ERROR, "x" * 10_000) == b"\x25" + b"x" * ERROR_TEXT_BYTES_MAX


def test_an_error_text_may_hold_anything():
    """Also what UTF-8 cannot."""
    assert encode_error(errors.MACHINE_ERROR, "\ud800") == b"\x25?"


@pytest.mark.parametrize(
    ("sizes", "cut"), [([1, 1], [2]), ([60, 60, 60], [1, 1, 1]), ([50, 50, 1], [2, 1]), ([500, 1], [1, 1])]
)
def test_bundles_stay_within_their_size(sizes, cut):
    """One router's turn is not one enormous frame; a single large answer still leaves."""
    items = [Item(1, [bytes(size)]) for size in sizes]
    assert [len(bundle) for bundle in bundles(items, 100)] == cut


def test_bundles_hold_a_bounded_number_of_messages():
    """As many as the receiver accepts."""
    items = [Item(1, [b"x"])] * (BUNDLE_ITEMS_MAX + 1)
    assert [len(bundle) for bundle in bundles(items, 1 << 20)] == [BUNDLE_ITEMS_MAX, 1]
