"""What reaches the compactor from outside is what it should be, or a ValueError."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest, CompactionResult, GroupResult
from ocelog.log.manifest import SegmentRecord

REQUEST = CompactionRequest(
    directory="/data/shard-0/replica-1",
    shard=0,
    snapshot_path="/data/shard-0/replica-1/snapshots/9-3.snap",
    groups=(
        CompactionGroup((SegmentRecord(1, 1, 1, 5), SegmentRecord(8, 2, 4, 9)), 12),
        CompactionGroup((SegmentRecord(10, 3, 1, 1 << 60),), 13),
    ),
)
RESULT = CompactionResult(
    groups=(
        GroupResult(generation=12, entries=3, bytes=900, seconds=0.25),
        GroupResult(generation=13, error="a full disk", no_space=True),
        GroupResult(generation=14, error="bad", damaged=("/a.seg", 64, 7)),
        GroupResult(generation=15, error="missing", damaged=("/a.seg", None, 7)),
    ),
    error="and a sentence",
)


@pytest.mark.parametrize("value", [REQUEST, RESULT], ids=["request", "result"])
def test_through_msgpack_and_back(value: CompactionRequest | CompactionResult) -> None:
    assert type(value).from_wire(value.to_wire()) == value


def changed(value: CompactionRequest | CompactionResult, fields: dict[str, Any]) -> bytes:
    """A message with other fields."""
    packed: bytes = msgpack.packb(msgpack.unpackb(value.to_wire()) | fields)
    return packed


def test_the_target_covers_what_its_sources_cover() -> None:
    assert REQUEST.groups[0].target == SegmentRecord(1, 12, 5, 9)


SOURCE = [1, 1, 1, 5]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("directory", None),
        ("directory", b"/data"),
        ("directory", ""),
        ("directory", "/a\0b"),
        ("directory", "/" * 5000),
        ("shard", -1),
        ("shard", "0"),
        ("shard", True),
        ("snapshot_path", 3),
        ("groups", None),
        ("groups", {}),
        ("groups", [[]]),
        ("groups", [[3]]),
        ("groups", [SOURCE]),
        ("groups", [[None, SOURCE]]),
        ("groups", [[3, [1, 1, 1]]]),
        ("groups", [[3, [1, 1, 1, None]]]),
        ("groups", [[3, [0, 1, 1, 5]]]),
        ("groups", [[3, [6, 1, 1, 5]]]),
        ("groups", [[3, [1, 1, 1, -1]]]),
        ("groups", [[3, SOURCE, [5, 2, 1, 9]]]),
        ("groups", [[3, [6, 2, 1, 9], SOURCE]]),
        ("groups", [[3, SOURCE]] * ((1 << 16) + 1)),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CompactionRequest.from_wire(changed(REQUEST, {field: value}))
    wire = msgpack.unpackb(REQUEST.to_wire())
    del wire[field]
    with pytest.raises(ValueError, match=r"\w"):
        CompactionRequest.from_wire(msgpack.packb(wire))


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["groups", "error", "seconds", "damaged", "directory"]), inner, max_size=5)
    ),
)


@given(
    wire=ANYTHING, field=st.sampled_from(["groups", "directory", "shard", "snapshot_path"]), data=st.binary(max_size=80)
)
@settings(max_examples=300, deadline=None)
def test_anything_else_is_a_value_error(wire: object, field: str, data: bytes) -> None:
    for attempt in (data, msgpack.packb(wire), changed(REQUEST, {field: wire})):
        with suppress(ValueError):
            CompactionRequest.from_wire(attempt)
    damaged = [vars(RESULT.groups[2]) | {"damaged": wire}]
    for answer in (data, msgpack.packb(wire), msgpack.packb({"groups": wire}), msgpack.packb({"groups": damaged})):
        with suppress(ValueError):
            CompactionResult.from_wire(answer)


@pytest.mark.parametrize("data", [b"\x91" * 2000, b"\xdd\xff\xff\xff\xff", b"\xc1", b"", b"\x80\x80"])
def test_hostile_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CompactionRequest.from_wire(data)
