"""docs/protocol.md says what the code does: every table and every byte of its example is compared."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import msgpack
import pytest
from ocelog.client.protocol import frames, limits, operations
from ocelog.client.protocol.errors import TABLE
from ocelog.client.protocol.frames import Item, Reply, Request
from ocelog.client.protocol.limits import Limits
from ocelog.client.protocol.values import encode_key, encode_value
from ocelog.shard.machines.registry import registry

DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the one table whose header line holds a column of that name."""
    lines = DOCUMENT.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith("|") and f"| {heading} |" in line]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def sizes(layout: struct.Struct) -> list[int]:
    """Bytes of each field of a struct."""
    codes = re.findall(r"\d*s|[A-Z]", layout.format.removeprefix("<"))
    return [struct.calcsize(f"<{code}") for code in codes]


@pytest.mark.parametrize(
    ("heading", "header", "layout"),
    [("request field", Request, frames.REQUEST), ("reply field", Reply, frames.REPLY)],
)
def test_header_tables_are_the_structs(heading, header, layout):
    offset, expected = 0, []
    for name, size in zip(header._fields, sizes(layout), strict=True):
        expected.append([str(offset), str(size), name])
        offset += size
    assert [row[:3] for row in table(heading)] == expected
    assert f"{offset} bytes:" in DOCUMENT


def test_every_kind_is_listed():
    names = {row[1]: int(row[0], 16) for row in table("kind")}
    assert names == {name: getattr(frames, name) for name in names}
    constants = {
        name: value for name, value in vars(frames).items() if name.isupper() and type(value) is int and value < 256
    }
    others = {"VERSION", "BUNDLE", "REQUEST_BYTES", "REPLY_BYTES"}
    others |= {"LINEARIZABLE", "BOUNDED_LINEARIZABLE", "SEQUENTIAL", "CAUSAL"}
    others |= {"TO_LEADER", "TO_FOLLOWERS", "TRACED", "AGAIN", "UNSETTLED"}
    assert set(constants) - others == set(names)


def test_the_error_table_is_the_one_of_the_code():
    words = {True: "yes", False: "no"}
    rows = [[str(row.code), row.name, words[row.definite], words[row.retry], row.sentence] for row in TABLE]
    assert table("error") == rows


def test_the_limits_are_the_defaults():
    assert {row[0]: int(row[1]) for row in table("limit")} == Limits().as_dict()
    fixed = re.search(r"Fixed in this version: (\d+) slots, (\d+) items .*?, (\d+) bytes", DOCUMENT, re.DOTALL)
    assert fixed is not None
    assert tuple(map(int, fixed.groups())) == (limits.SLOTS, limits.ITEMS_MAX, limits.CLIENT_ID_BYTES_MAX)
    assert f"Below {limits.UNCOPIED_BYTES_MIN} bytes" in DOCUMENT
    assert f"counted from {operations.SCANNED_BYTES_MIN + 1} bytes on" in DOCUMENT


def test_numbers_for_none_and_unknown():
    assert f"{frames.NO_SHARD} for none" in DOCUMENT
    assert f"{frames.NO_LEADER_KNOWN} for unknown" in DOCUMENT


def test_every_operation_of_every_machine_is_listed():
    listed = {row[0]: [set(re.findall(r"(\w+)\(", cell)) for cell in row[1:]] for row in table("resource")}
    assert listed.pop("shard") == [{operations.OPEN}, set()]
    declared = {}
    for name, machine in registry().items():
        modes = {operation.name: operation.mode for operation in machine.operations.values()}
        declared[name] = [{n for n in modes if modes[n] is not None}, {n for n in modes if modes[n] is None}]
    assert listed == declared


def example(number: int) -> bytes:
    """The bytes of one of the document's dumps."""
    dump = re.findall(r"```\n(.*?)```", DOCUMENT, re.DOTALL)[number]
    return bytes.fromhex("".join(line.split("#")[0] for line in dump.splitlines()))


def test_the_request_of_the_example():
    header, body = frames.parse_request([example(0)])
    assert (header.kind, header.shard, header.session, header.first_sequence) == (frames.COMMAND, 1, 5, 7)
    (operation,) = frames.unpack_parts(body, header.count)
    assert operations.decode(operation) == [2, "put", encode_key("ada"), encode_value(1815)]


def test_the_answer_of_the_example():
    request, _ = frames.parse_request([example(0)])
    header, body = frames.parse_reply([example(1)])
    assert (header.kind, header.term, header.leader, header.index) == (frames.RESULTS, 3, 1, 131)
    assert (header.request, header.first_sequence) == (request.request, request.first_sequence)
    indexes, (result,) = frames.unpack_results(body, header.count)
    assert (list(indexes), result[0], msgpack.unpackb(result[1:])) == ([131], 0, None)


def test_the_bundle_is_as_described():
    packed = frames.pack_bundle([Item(7, [b"abc", b"body"]), Item(0, [b"de"])])
    directory = struct.pack("<QIIQII", 7, 3, 1, 0, 2, 0)
    assert packed == [struct.pack("<BBHI", 2, 0xB0, 2, 0) + directory + b"abc" + b"de", b"body"]
