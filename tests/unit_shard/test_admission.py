"""What may enter the log: every refusal for good has its code, and nothing hostile gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import errors
from ocelog.client.protocol.limits import Limits
from ocelog.client.protocol.operations import encode
from ocelog.log.entry import COMMAND, RELEASE, RESOURCE, SNAPSHOT, VOID
from ocelog.shard.admission import judge

LIMITS = Limits(operation_bytes_max=1000, name_bytes_max=10)
MAP, COUNTER, TOY = 2, 3, 4


@pytest.fixture
def executor(entries):
    session = entries.register()
    for sequence, (index, type_name) in enumerate([(MAP, "map"), (COUNTER, "counter"), (TOY, "toy")], 1):
        assert entries.open(session, sequence, type_name, type_name) == index
    return entries.executor


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", errors.VOIDED),
        (bytes(1001), errors.TOO_LARGE),
        (b"\xc1", errors.BAD_OPERATION),
        (b"\x93\x02\xa3get", errors.BAD_OPERATION),
        (encode([MAP, "get", b"k"]) + b"\x00", errors.BAD_OPERATION),
        (encode({"a": 1}), errors.BAD_OPERATION),
        (encode([]), errors.BAD_OPERATION),
        (encode([MAP]), errors.BAD_OPERATION),
        (encode(["m", "put", b"k", b"v"]), errors.BAD_OPERATION),
        (encode([True, "put", b"k", b"v"]), errors.BAD_OPERATION),
        (encode([-1, "put", b"k", b"v"]), errors.BAD_OPERATION),
        (encode([MAP, b"put", b"k", b"v"]), errors.BAD_OPERATION),
        (encode([99, "put", b"k", b"v"]), errors.UNKNOWN_RESOURCE),
        (encode([MAP, "push", b"k", b"v"]), errors.UNKNOWN_OPERATION),
        (encode([MAP, "get", b"k"]), errors.UNKNOWN_OPERATION),
        (encode([MAP, "__init__"]), errors.UNKNOWN_OPERATION),
        (encode([MAP, "release", 1]), errors.UNKNOWN_OPERATION),
        (encode([MAP, "put", b"k"]), errors.BAD_OPERATION),
        (encode([MAP, "put", b"k", b"v", b"x"]), errors.BAD_OPERATION),
        (encode([MAP, "put", "k", b"v"]), errors.BAD_OPERATION),
        (encode([MAP, "put", None, b"v"]), errors.BAD_OPERATION),
        (encode([COUNTER, "add", True]), errors.BAD_OPERATION),
        (encode([COUNTER, "add", 1.0]), errors.BAD_OPERATION),
        (encode([0, "close", "x", "map"]), errors.UNKNOWN_OPERATION),
        (encode([0, "open", "x"]), errors.UNKNOWN_OPERATION),
        (encode([0, "open", "", "map"]), errors.BAD_OPERATION),
        (encode([0, "open", b"x", "map"]), errors.BAD_OPERATION),
        (encode([0, "open", "x", None]), errors.BAD_OPERATION),
        (encode([0, "open", "ä" * 6, "map"]), errors.TOO_LARGE),
        (encode([0, "open", "x", "no such type"]), errors.UNKNOWN_TYPE),
    ],
)
def test_a_refusal_for_good_is_a_void_with_its_code(executor, data, code):
    """What can be refused is refused before its body reaches the log, and leaves a void in its place."""
    verdict = judge(data, executor, LIMITS)
    assert (verdict.kind, verdict.mode, verdict.payload[0], verdict.operation) == (VOID, SNAPSHOT, code, None)


def test_a_void_says_why(executor, kit):
    """A code and a sentence."""
    _, text = kit.decoded(judge(encode([MAP, "put", b"k"]), executor, LIMITS).payload)
    assert text == "put takes 2 to 3 arguments, got 1"


@pytest.mark.parametrize(("resource", "mode"), [(MAP, RELEASE), (COUNTER, SNAPSHOT)])
def test_a_commands_mode_comes_from_its_resources_type(executor, resource, mode):
    """The mode of an entry is that of the command as its machine declares it."""
    data = encode([MAP, "put", b"k", b"v"]) if resource == MAP else encode([COUNTER, "add", 1])
    verdict = judge(data, executor, LIMITS)
    assert (verdict.kind, verdict.mode, verdict.payload) == (COMMAND, mode, data)


def test_an_open_is_an_entry_of_its_own_kind(executor):
    """Resources are the shard's, not a machine's."""
    data = encode([0, "open", "users", "map"])
    assert judge(data, executor, LIMITS)[:3] == (RESOURCE, SNAPSHOT, data)


@pytest.mark.parametrize(
    ("levels", "nesting_max", "kind"),
    [(32, 32, COMMAND), (33, 32, VOID), (4, 4, COMMAND), (5, 4, VOID), (300, 32, VOID)],
)
def test_nesting_is_bounded(executor, levels, nesting_max, kind):
    """Deeper than the limit is refused, however few bytes it takes."""
    deep = [1]
    for _ in range(levels - 2):
        deep = [deep]
    verdict = judge(encode([TOY, "tell", deep]), executor, Limits(nesting_max=nesting_max))
    assert verdict.kind == kind


@given(st.binary(max_size=200))
def test_no_bytes_make_the_judge_raise(data):
    """Hostile bytes are refused, never a crash, and what is admitted decodes to the same again."""
    verdict = judge(data, EMPTY, LIMITS)
    assert verdict.kind in (VOID, RESOURCE)


class Empty:
    """A shard without resources."""

    resources: dict = {}
    machines: dict = {}


EMPTY = Empty()
