"""docs/protocol.md says what the code does: every table and every byte of its example is compared."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import msgpack
import pytest
from ocelog.client.connection import ATTEMPT_SECONDS, ROUND_SECONDS
from ocelog.client.event_receiver import MISSING_SECONDS
from ocelog.client.protocol import events, frames, limits, operations, outcomes
from ocelog.client.protocol.errors import TABLE
from ocelog.client.protocol.events import Event
from ocelog.client.protocol.frames import Item, Reply, Request
from ocelog.client.protocol.limits import Limits
from ocelog.client.protocol.values import encode_key, encode_value
from ocelog.client.window import GAP_SECONDS, REFUSED_SECONDS, RESEND_SECONDS
from ocelog.cluster.router.answers import welcome_body
from ocelog.cluster.router.config import RouterConfig
from ocelog.shard.local_reads import BEHIND_MS
from ocelog.shard.machines.registry import registry
from ocelog.shard.outbox import Origin, Outbox
from ocelog.shard.push import CREDIT_BYTES, REPEAT_FIRST_MS, REPEAT_LAST_MS
from ocelog.shard.receipts import LEASE, LOCAL, LOG, READ_INDEX, Receipts
from ocelog.shard.sessions import Session

DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the one table whose header line holds a column of that name."""
    lines = DOCUMENT.splitlines()
    starts = [
        number for number, line in enumerate(lines) if line.startswith("| --") and f"| {heading} |" in lines[number - 1]
    ]
    (start,) = starts
    rows = []
    for line in lines[start + 1 :]:
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
    others |= {row[0] for heading in ("level", "request flag", "reply flag") for row in table(heading)}
    assert set(constants) - others == set(names)


@pytest.mark.parametrize("heading", ["level", "request flag", "reply flag"])
def test_levels_and_flags_are_the_constants(heading):
    rows = {row[0]: int(row[1]) for row in table(heading)}
    assert rows == {name: getattr(frames, name) for name in rows}
    assert len(set(rows.values())) == len(rows)


def test_the_levels_of_the_header_are_those_of_queries():
    (described,) = [row[3] for row in table("request field") if row[2] == "level"]
    assert re.findall(r"(\d) ([A-Z_]+)", described) == [(row[1], row[0]) for row in table("level")]


def test_the_flags_of_the_headers_are_those_of_their_tables():
    for field, heading in (("request field", "request flag"), ("reply field", "reply flag")):
        (described,) = [row[3] for row in table(field) if row[2] == "flags"]
        assert re.findall(r"(\d+):", described) == [row[1] for row in table(heading)]


def sections() -> dict[str, list[list[str]]]:
    """The table of each section that is about kinds, by its title."""
    found = {}
    for title, text in re.findall(r"^### (.*?)\n\n\| \| \|\n\| --- \| --- \|\n((?:\|.*\n)*)", DOCUMENT, re.M):
        found[title] = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return found


def test_every_kind_has_a_section():
    described = [kind for title in sections() for kind in title.split(" → ")]
    assert sorted(described) == sorted(row[1] for row in table("kind"))
    for title in sections():
        kinds = [getattr(frames, kind) for kind in title.split(" → ")]
        assert len(kinds) == 1 or (kinds[0] | 0x80 == kinds[1] and kinds[0] < 0x80), title


@pytest.mark.parametrize("title", sections())
def test_a_section_names_fields_flags_and_errors_that_exist(title):
    rows = dict(sections()[title])
    fields = Request._fields if getattr(frames, title.split(" → ")[0]) < 0x80 else Reply._fields
    before, _, flags = rows["header"].partition("flag")
    named = set(re.findall(r"`(\w+)`", before))
    assert named and named <= set(fields), named - set(fields)
    assert set(re.findall(r"[A-Z_]{4,}", flags)) <= {row[0] for row in table("request flag")}
    if not rows.get("errors", "as").startswith("as"):
        assert set(rows["errors"].split(", ")) <= {row.name for row in TABLE}
    assert set(re.findall(r"[A-Z_]{5,}", rows["answer"])) <= {row[1] for row in table("kind")} | {"TRACED"}


def test_the_states_of_a_session_lead_to_each_other():
    rows = table("state")
    states = {state for row in rows for state in row[0].split(", ")}
    assert {row[2] for row in rows} - states == {"CLOSED"}


def test_the_outcomes_are_those_of_the_code():
    rows = [row for row in table("answer") if row[0].isdigit()]
    assert {int(row[0]): row[1].lower() for row in rows} == outcomes.NAMES


def test_timers_are_those_of_the_client():
    timers = {row[0]: row[1] for row in table("timer")}
    assert timers["attempt"] == f"{ATTEMPT_SECONDS:g}"
    for name, (first, last) in {"round": ROUND_SECONDS, "resend": RESEND_SECONDS, "refused": REFUSED_SECONDS}.items():
        assert timers[name] == f"{first:g}, doubling to {last:g}"
    assert timers["gap"] == f"{GAP_SECONDS:g}"
    assert timers["missing"] == f"{MISSING_SECONDS[0]:g}, doubling to {MISSING_SECONDS[1]:g}"


def test_what_a_leader_waits_and_keeps_is_said():
    assert (CREDIT_BYTES, REPEAT_FIRST_MS, REPEAT_LAST_MS) == (1 << 20, 500, 4000)
    assert "at most 1 MiB of a session's events under way" in DOCUMENT
    assert "after half a second and then after pauses that double up to four" in DOCUMENT
    assert BEHIND_MS == 500 and "A follower waits half a second at most" in DOCUMENT


def test_the_entries_of_a_receipt_are_those_that_are_sent():
    outbox = Outbox(0)
    receipts = Receipts(outbox, iter([1.0, 2.0, 3.0, 4.0, 5.0]).__next__)
    trace = receipts.begin()
    receipts.recorded(trace, 7)
    receipts.appended()
    receipts.moved(7, 7)
    receipts.send(Origin(b"router", 1), 1, Session(5, "", b"k" * 16, 1000), 1, [(7, b"\0")], trace)
    ((item,),) = outbox.take().values()
    _, body = frames.parse_reply(item.frames)
    listed = re.findall(r"\w+", " ".join(row[0] for row in table("entry of a receipt")))
    assert list(msgpack.unpackb(body)) == listed
    (paths,) = [row[1] for row in table("entry of a receipt") if row[0] == "path"]
    assert all(f"{path}`" in paths for path in (LOG, READ_INDEX, LEASE, LOCAL))


def test_a_welcome_has_the_entries_that_are_listed():
    settings = {"data": "", "cluster_id": "", "shards": 1, "replicas": 1, "sockets": "", "slots": [[0, 16383, 0]]}
    settings |= {"listen": "tcp://127.0.0.1:0", "settings": {}}
    config = RouterConfig.from_json(json.dumps(settings))
    sent = msgpack.unpackb(welcome_body(config, ["tcp://127.0.0.1:7400"]))
    (listed,) = [row[2] for row in table("kind") if row[1] == "WELCOME"]
    assert re.findall(r"`(\w+)`", listed) == list(sent)


def test_a_registration_names_the_limits_and_the_timeout():
    limits_listed = {row[0] for row in table("limit")}
    (listed,) = [row[2] for row in table("kind") if row[1] == "REGISTERED"]
    assert "the limits in force, and `timeout_ms`" in listed
    assert limits_listed == set(Limits().as_dict())


def test_the_last_version_is_this_one():
    assert table("version")[-1][0] == str(frames.VERSION)


def test_the_files_of_vectors_are_listed():
    folder = Path(__file__).parents[2] / "vectors"
    assert {row[0] for row in table("file")} == {path.name for path in folder.glob("*.jsonl")}


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
    assert listed.pop("shard") == [
        {operations.OPEN, operations.DELETE, operations.SWITCH},
        {operations.EXISTS, operations.NAMES, operations.MACHINES},
    ]
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


def test_the_events_of_the_example():
    results, _ = frames.parse_reply([example(1)])
    header, body = frames.parse_reply([example(2)])
    assert (header.kind, header.request, header.session, header.first_sequence) == (frames.EVENTS, 129, 8, 3)
    assert (header.index, header.event_index) == (results.index, results.index)
    (index,), (batch,) = frames.unpack_results(body, header.count)
    value = ["added", encode_key("ada"), None, encode_value(1815)]
    assert (index, events.unpack_batch(batch)) == (131, [Event(2, "change", value)])


def test_what_was_handled_in_the_example():
    pushed, _ = frames.parse_reply([example(2)])
    header, body = frames.parse_request([example(3)])
    assert (header.kind, header.session, header.seen) == (frames.HANDLED, pushed.session, 131)
    assert events.unpack_handled(body) == (131, 131)


def test_the_bundle_is_as_described():
    packed = frames.pack_bundle([Item(7, [b"abc", b"body"]), Item(0, [b"de"])])
    directory = struct.pack("<QIIQII", 7, 3, 1, 0, 2, 0)
    assert packed == [struct.pack("<BBHI", 2, 0xB0, 2, 0) + directory + b"abc" + b"de", b"body"]
