"""The vectors of tests/vectors: the codec reads and writes every one, refuses the malformed, and the files are current.

A vector's bytes were made by `tests.vectors.wire`, which knows the document and not the package.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from ocelog.client.protocol import admin, errors, events, frames, operations, outcomes, routing, values
from ocelog.client.protocol.frames import NO_LEADER_KNOWN, REPLY, REQUEST, BadFrame, Item, Reply, Request
from ocelog.client.protocol.limits import Limits
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.router.core import Router
from ocelog.shard.admission import judge
from ocelog.shard.executor import Executor
from ocelog.shard.machines.registry import registry

from tests.vectors.__main__ import FOLDER, all_vectors, text_of
from tests.vectors.wire import hexed, read, shown, unhexed

Line = dict[str, Any]
VECTORS: dict[str, list[Line]] = {
    path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for path in sorted(FOLDER.glob("*.jsonl"))
}
MESSAGES = VECTORS["messages"]
PIECES = [line for name in ("values", "operations", "slots", "bundles") for line in VECTORS[name]]
MALFORMED = VECTORS["malformed"]


def name_of(line: Line) -> str:
    return f"{line['kind']}: {line['name']}"


def frames_of(line: Line) -> list[bytes]:
    return [unhexed(frame) for frame in line["frames"]]


# -- the files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", all_vectors())
def test_the_checked_in_vectors_are_up_to_date(name):
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    assert text == text_of(all_vectors()[name]), "run python -m tests.vectors"


def test_names_are_unique_and_nothing_is_empty():
    assert set(VECTORS) == set(all_vectors())
    for name, lines in VECTORS.items():
        assert lines, name
        assert len({(line["kind"], line["name"], line["direction"]) for line in lines}) == len(lines), name


def test_every_kind_has_a_vector_in_its_direction():
    constants = {name: value for name, value in vars(frames).items() if name.isupper() and type(value) is int}
    present = {(line["kind"], line["direction"]) for line in MESSAGES}
    for kind, direction in present:
        assert (constants[kind] >= 0x80) == (direction == "to_client"), kind
    assert {kind for kind, _ in present} == set(BODIES)


def test_every_refusal_of_a_message_has_a_vector():
    refused = {line["decoded"]["header"]["code"] for line in MESSAGES if line["kind"] == "REFUSED"}
    assert refused == {row.code for row in errors.TABLE if row.code < 15} | {errors.TOO_LARGE}


# -- bodies ------------------------------------------------------------------------------------------

Decode = Callable[[bytes, int], Any]
Encode = Callable[[Any], bytes]


def nothing(body: bytes, count: int) -> None:
    assert not body


def operations_of(body: bytes, count: int) -> Any:
    return shown([operations.decode(part) if part else None for part in frames.unpack_parts(body, count)])


def of_operations(decoded: Any) -> bytes:
    return frames.pack_parts([b"" if one is None else operations.encode(one) for one in read(decoded)])


def result_of(data: bytes) -> Line:
    if data[0] == errors.OK:
        return {"code": 0, "value": shown(values.decode(data[1:]))}
    return {"code": data[0], "text": data[1:].decode()}


def of_result(result: Line) -> bytes:
    rest = msgpack.packb(read(result["value"])) if result["code"] == 0 else result["text"].encode()
    return bytes((result["code"],)) + rest


def results_of(body: bytes, count: int) -> Any:
    indexes, results = frames.unpack_results(body, count)
    return [{"index": shown(index), **result_of(result)} for index, result in zip(indexes, results, strict=True)]


def of_results(decoded: Any) -> bytes:
    return frames.pack_results([read(one["index"]) for one in decoded], [of_result(one) for one in decoded])


def batches_of(body: bytes, count: int) -> Any:
    indexes, batches = frames.unpack_results(body, count)
    return [
        {"index": shown(index), "events": shown(events.unpack_batch(batch))}
        for index, batch in zip(indexes, batches, strict=True)
    ]


def of_batches(decoded: Any) -> bytes:
    payloads = [operations.encode(read(one["events"])) for one in decoded]
    return frames.pack_results([read(one["index"]) for one in decoded], payloads)


def handled_of(body: bytes, count: int) -> Any:
    received, handled = events.unpack_handled(body)
    return {"received": shown(received), "handled": shown(handled)} if len(body) else None


def of_handled(decoded: Any) -> bytes:
    return b"" if decoded is None else events.pack_handled(read(decoded["received"]), read(decoded["handled"]))


def admin_of(body: bytes, count: int) -> Any:
    return shown(admin.unpack_admin(body)._asdict())


def of_packed(decoded: Any) -> bytes:
    return values.encode_value(read(decoded))


NONE: tuple[Decode, Encode] = nothing, lambda decoded: b""
PACKED: tuple[Decode, Encode] = lambda body, count: shown(values.decode(bytes(body))), of_packed
INDEXES: tuple[Decode, Encode] = (
    lambda body, count: shown(list(events.unpack_indexes(body, count))),
    lambda decoded: events.pack_indexes(read(decoded)),
)
ROUTES: tuple[Decode, Encode] = (
    lambda body, count: shown(events.unpack_routes(body, count)),
    lambda decoded: events.pack_routes([events.Route(*route) for route in read(decoded)]),
)
OPERATIONS: tuple[Decode, Encode] = operations_of, of_operations
BODIES: dict[str, tuple[Decode, Encode]] = {
    "HELLO": NONE,
    "REGISTER": PACKED,
    "KEEP_ALIVE": (handled_of, of_handled),
    "UNREGISTER": NONE,
    "COMMAND": OPERATIONS,
    "QUERY": OPERATIONS,
    "STATUS": NONE,
    "ADMIN": (admin_of, of_packed),
    "HANDLED": (handled_of, of_handled),
    "SETTLE": INDEXES,
    "OUTCOME": (
        lambda body, count: shown(outcomes.unpack_outcome_query(body)),
        lambda decoded: outcomes.pack_outcome_query(outcomes.OutcomeQuery(*read(decoded))),
    ),
    "ROUTES": ROUTES,
    "GONE": ROUTES,
    "WELCOME": PACKED,
    "REGISTERED": PACKED,
    "KEPT_ALIVE": NONE,
    "UNREGISTERED": NONE,
    "RESULTS": (results_of, of_results),
    "ANSWERS": (
        lambda body, count: [result_of(part) for part in frames.unpack_parts(body, count)],
        lambda decoded: frames.pack_parts([of_result(one) for one in decoded]),
    ),
    "STATUS_REPORT": PACKED,
    "ADMIN_REPORT": PACKED,
    "SETTLED": INDEXES,
    "OUTCOME_REPORT": (
        lambda body, count: shown(outcomes.unpack_outcome(body)),
        lambda decoded: outcomes.pack_outcome(outcomes.Outcome(*read(decoded))),
    ),
    "LEADER": NONE,
    "EVENTS": (batches_of, of_batches),
    "RECEIPT": PACKED,
    "REFUSED": (lambda body, count: bytes(body).decode(), str.encode),
}

# -- messages ----------------------------------------------------------------------------------------


def parsed(line: Line) -> tuple[Request | Reply, memoryview]:
    parse = frames.parse_request if line["direction"] == "to_cluster" else frames.parse_reply
    return parse(frames_of(line))


@pytest.mark.parametrize("line", MESSAGES, ids=name_of)
def test_a_message_is_read(line):
    header, body = parsed(line)
    assert {name: shown(value) for name, value in header._asdict().items()} == line["decoded"]["header"]
    assert header.kind == getattr(frames, line["kind"])
    decode, _ = BODIES[line["kind"]]
    assert decode(bytes(body), header.count) == line["decoded"]["body"]


@pytest.mark.parametrize("line", MESSAGES, ids=name_of)
def test_a_message_is_written(line):
    layout = REQUEST if line["direction"] == "to_cluster" else REPLY
    header = layout.pack(*(read(value) for value in line["decoded"]["header"].values()))
    _, encode = BODIES[line["kind"]]
    assert frames.request_frames(header, encode(line["decoded"]["body"])) == frames_of(line)


# -- pieces ------------------------------------------------------------------------------------------


def items_of(parts: list[bytes]) -> Any:
    return [[shown(route), [hexed(bytes(part)) for part in message]] for route, message in frames.unpack_bundle(parts)]


def of_items(decoded: Any) -> list[Any]:
    items = [Item(read(route), [unhexed(part) for part in message]) for route, message in decoded]
    return frames.pack_bundle(items)


READERS: dict[str, Callable[[list[bytes]], Any]] = {
    "key": lambda parts: shown(values.decode(parts[0])),
    "value": lambda parts: shown(values.decode(parts[0])),
    "operation": lambda parts: shown(operations.decode(parts[0])),
    "result": lambda parts: result_of(parts[0]),
    "slot": lambda parts: {"slot": routing.slot_of(parts[0])},
    "bundle": items_of,
}
WRITERS: dict[str, Callable[[Any], list[Any]]] = {
    "key": lambda decoded: [values.encode_key(read(decoded))],
    "value": lambda decoded: [values.encode_value(read(decoded))],
    "operation": lambda decoded: [operations.encode(read(decoded))],
    "result": lambda decoded: [of_result(decoded)],
    "bundle": of_items,
}


@pytest.mark.parametrize("line", PIECES, ids=name_of)
def test_a_piece_is_read(line):
    assert READERS[line["kind"]](frames_of(line)) == line["decoded"]


@pytest.mark.parametrize("line", [line for line in PIECES if line["direction"] == "both"], ids=name_of)
def test_a_piece_is_written(line):
    assert WRITERS[line["kind"]](line["decoded"]) == frames_of(line)


@pytest.mark.parametrize(
    "line", [line for line in PIECES if line["kind"] == "value" and line["direction"] == "decode"], ids=name_of
)
def test_what_is_not_canonical_is_read_and_never_written(line):
    """Equal values have equal bytes: these are others."""
    assert values.encode_value(read(line["decoded"])) != frames_of(line)[0]


# -- what is refused ---------------------------------------------------------------------------------

OF_BODIES = [line for line in MALFORMED if line["kind"] in BODIES]
OF_HEADERS = [line for line in MALFORMED if line["kind"] == "header"]
OF_OPERATIONS = [line for line in MALFORMED if line["kind"] == "operation"]
OTHERS = [line for line in MALFORMED if line["kind"] in ("key", "value", "bundle")]


def test_every_malformed_vector_is_tried():
    assert len(OF_BODIES) + len(OF_HEADERS) + len(OF_OPERATIONS) + len(OTHERS) == len(MALFORMED)
    assert all(line["why"] for line in MALFORMED)


@pytest.mark.parametrize("line", OF_BODIES, ids=name_of)
def test_a_malformed_body_is_refused(line):
    header, body = parsed(line)
    decode, _ = BODIES[line["kind"]]
    with pytest.raises(BadFrame) as caught:
        decode(bytes(body), header.count)
    assert str(caught.value)


@pytest.mark.parametrize("line", OF_OPERATIONS, ids=name_of)
def test_a_malformed_operation_becomes_a_void_with_that_code(line):
    (data,) = frames_of(line)
    with pytest.raises(operations.BadOperation):
        operations.decode(data)
    verdict = judge(data, Executor(registry()), Limits())
    assert errors.name_of(verdict.payload[0]) == line["error"]


@pytest.mark.parametrize("line", OTHERS, ids=name_of)
def test_other_malformed_bytes_and_values_are_refused(line):
    with pytest.raises((BadFrame, errors.OcelogError)) as caught:
        if line["direction"] == "encode":
            WRITERS[line["kind"]](line["decoded"])
        else:
            READERS[line["kind"]](frames_of(line))
    assert str(caught.value)


def router() -> Router:
    """Of a cluster of two shards with one replica each; both lead."""
    settings = {
        "data": "/nowhere",
        "cluster_id": "00" * 16,
        "shards": 2,
        "replicas": 1,
        "sockets": "/nowhere",
        "listen": "tcp://127.0.0.1:0",
        "slots": [[0, 8191, 0], [8192, 16383, 1]],
        "settings": {},
    }
    made = Router(RouterConfig.from_json(json.dumps(settings)))
    for shard in range(2):
        notice = REPLY.pack(frames.VERSION, frames.LEADER, shard, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)
        made.from_replica(shard, frames.pack_bundle([Item(0, [notice])]))
    return made


@pytest.mark.parametrize("line", [line for line in OF_HEADERS if line["direction"] == "to_cluster"], ids=name_of)
def test_a_router_answers_a_malformed_header_with_that_code(line):
    core = router()
    core.from_client(b"somebody", frames_of(line))
    ((_, answer),) = core.take_for_clients()
    header, text = frames.parse_reply(answer)
    assert (header.kind, errors.name_of(header.code)) == (frames.REFUSED, line["error"])
    assert header.leader == NO_LEADER_KNOWN and bytes(text)


@pytest.mark.parametrize("line", [line for line in OF_HEADERS if line["direction"] == "to_client"], ids=name_of)
def test_a_client_refuses_a_malformed_header(line):
    with pytest.raises(BadFrame):
        parsed(line)


@pytest.mark.parametrize("line", MALFORMED, ids=name_of)
def test_no_malformed_bytes_harm_a_router(line):
    """Whatever comes, from whichever side: an answer, a message handed on, or a line in its log."""
    parts = frames_of(line)
    if parts:
        core = router()
        core.from_client(b"somebody", parts)
        core.from_replica(0, parts)
        core.tick()
        assert core.take_for_clients() or core.take_for_replicas() or core.take_lines()
