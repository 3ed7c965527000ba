"""Vectors of whole messages: every kind, from the smallest to one whose body is a frame of its own."""

from __future__ import annotations

from typing import Any

from . import wire

KEY = bytes.fromhex("8f1d3c0a5b7e42960de1a4f37782cb19")
NO_SHARD = 0xFFFF
UNKNOWN_LEADER = 0xFFFFFFFF

REQUESTS = {
    "HELLO": 0x01,
    "REGISTER": 0x02,
    "KEEP_ALIVE": 0x03,
    "UNREGISTER": 0x04,
    "COMMAND": 0x05,
    "QUERY": 0x06,
    "STATUS": 0x07,
    "ADMIN": 0x08,
    "HANDLED": 0x09,
    "SETTLE": 0x0A,
    "OUTCOME": 0x0B,
    "ROUTES": 0x10,
    "GONE": 0x11,
}
REPLIES = {
    "WELCOME": 0x81,
    "REGISTERED": 0x82,
    "KEPT_ALIVE": 0x83,
    "UNREGISTERED": 0x84,
    "RESULTS": 0x85,
    "ANSWERS": 0x86,
    "STATUS_REPORT": 0x87,
    "ADMIN_REPORT": 0x88,
    "SETTLED": 0x8A,
    "OUTCOME_REPORT": 0x8B,
    "LEADER": 0x90,
    "EVENTS": 0x91,
    "RECEIPT": 0x92,
    "REFUSED": 0xFF,
}


def request(kind: str, **fields: Any) -> dict[str, Any]:
    """The header of a request of session 5 on shard 1, with these fields instead."""
    header = {
        "version": 2,
        "kind": REQUESTS[kind],
        "shard": 1,
        "level": 0,
        "flags": 0,
        "count": 0,
        "request": 42,
        "session": 5,
        "key": KEY,
        "first_sequence": 0,
        "acknowledged": 6,
        "seen": 130,
        "connection": 1,
        "milliseconds_left": 10_000,
    }
    return header | fields


def reply(kind: str, **fields: Any) -> dict[str, Any]:
    """The header of an answer of the leader of term 3, replica 1, to that session, with these fields instead."""
    header = {
        "version": 2,
        "kind": REPLIES[kind],
        "shard": 1,
        "code": 0,
        "flags": 0,
        "count": 0,
        "request": 42,
        "session": 5,
        "first_sequence": 0,
        "index": 131,
        "event_index": 0,
        "term": 3,
        "leader": 1,
        "retry_after_ms": 0,
    }
    return header | fields


def of_router(kind: str, **fields: Any) -> dict[str, Any]:
    """The header of an answer that a router gives itself, about no shard."""
    own = {"shard": NO_SHARD, "session": 0, "index": 0, "term": 0, "leader": UNKNOWN_LEADER}
    return reply(kind, **own | fields)


def before_session(kind: str, **fields: Any) -> dict[str, Any]:
    """The header of a request that is of no session."""
    own = {"session": 0, "key": bytes(16), "acknowledged": 0, "seen": 0}
    return request(kind, **own | fields)


def between(kind: str, **fields: Any) -> dict[str, Any]:
    """The header of a request that a router makes of a replica for itself."""
    return before_session(kind, **{"connection": 0, "milliseconds_left": 0, "request": 0} | fields)


def line(name: str, kind: str, direction: str, header: dict[str, Any], body: bytes, shown_body: Any) -> dict[str, Any]:
    """One vector of a message; `shown_body` is what the line shows of the body."""
    layout = wire.REQUEST_FIELDS if direction == "to_cluster" else wire.REPLY_FIELDS
    frames = wire.message(wire.header(layout, header), body)
    return {
        "name": name,
        "kind": kind,
        "direction": direction,
        "frames": [wire.hexed(frame) for frame in frames],
        "decoded": {"header": {field: wire.shown(value) for field, value in header.items()}, "body": shown_body},
    }


def asked(name: str, kind: str, header: dict[str, Any], body: bytes = b"", shown_body: Any = None) -> dict[str, Any]:
    """A message to the cluster."""
    return line(name, kind, "to_cluster", header, body, shown_body)


def told(name: str, kind: str, header: dict[str, Any], body: bytes = b"", shown_body: Any = None) -> dict[str, Any]:
    """A message to a client."""
    return line(name, kind, "to_client", header, body, shown_body)


def all_messages() -> list[dict[str, Any]]:
    """The lines of messages.jsonl."""
    return [*_sessions(), *_commands(), *_queries(), *_events(), *_settling(), *_questions(), *_routers(), *_refusals()]


# -- sessions ----------------------------------------------------------------------------------------


def _packed(value: Any) -> tuple[bytes, Any]:
    """A msgpack body, and how it is shown."""
    return wire.pack(value), wire.shown(value)


def _sessions() -> list[dict[str, Any]]:
    hello = before_session("HELLO", shard=NO_SHARD, request=1)
    welcome = {
        "version": 2,
        "server": "0.1.0",
        "cluster_id": "7d5a1c00c0ffee00123456789abcdef0",
        "shards": 2,
        "slots": [[0, 8191, 0], [8192, 16383, 1]],
        "routers": ["tcp://127.0.0.1:7400", "tcp://127.0.0.1:7401"],
    }
    limits = {
        "operation_bytes_max": 1048576,
        "operations_max": 1024,
        "message_bytes_max": 8388608,
        "in_flight_max": 4096,
        "nesting_max": 32,
        "name_bytes_max": 255,
        "events_max": 10000,
        "event_bytes_max": 16777216,
        "session_timeout_ms_min": 1000,
        "session_timeout_ms_max": 3600000,
        "timeout_ms": 30000,
    }
    handled = wire.little(131, 8) + wire.little(129, 8)
    both = {"received": 131, "handled": 129}
    return [
        asked("hello", "HELLO", hello),
        told("welcome", "WELCOME", of_router("WELCOME", request=1), *_packed(welcome)),
        asked("register", "REGISTER", before_session("REGISTER", key=KEY, request=2), *_packed(["app-1", 30000])),
        asked(
            "register with a client id outside ASCII",
            "REGISTER",
            before_session("REGISTER", key=KEY, request=2),
            *_packed(["zähler-☂", 1000]),
        ),
        told("registered", "REGISTERED", reply("REGISTERED", request=2, index=5), *_packed(limits)),
        asked("keep-alive that has nothing to tell", "KEEP_ALIVE", request("KEEP_ALIVE")),
        asked("keep-alive that tells of events", "KEEP_ALIVE", request("KEEP_ALIVE"), handled, both),
        told("kept alive", "KEPT_ALIVE", reply("KEPT_ALIVE", event_index=131)),
        asked("unregister", "UNREGISTER", request("UNREGISTER", first_sequence=7)),
        told("unregistered", "UNREGISTERED", reply("UNREGISTERED")),
    ]


# -- commands and queries ----------------------------------------------------------------------------

PUT = [2, "put", wire.pack("ada"), wire.pack(1815)]
OPEN = [0, "open", "users", "map"]


def _operations(operations: list[Any]) -> tuple[bytes, Any]:
    """A body of operations; None is a void."""
    return wire.parts([b"" if one is None else wire.pack(one) for one in operations]), wire.shown(operations)


def _result(result: dict[str, Any]) -> bytes:
    """The bytes of one result: a value, or a code with a sentence."""
    if result["code"] == 0:
        return b"\0" + wire.pack(wire.read(result["value"]))
    return bytes((result["code"],)) + result["text"].encode()


def _results(results: list[tuple[int, dict[str, Any]]]) -> tuple[bytes, Any]:
    body = wire.indexed([(index, _result(result)) for index, result in results])
    return body, [{"index": wire.shown(index), **result} for index, result in results]


def _commands() -> list[dict[str, Any]]:
    several = [OPEN, PUT, None, [2, "clear"]]
    large = [2, "put", wire.pack("big"), wire.pack(bytes(65536))]
    highest = {
        "request": 2**64 - 1,
        "session": 2**64 - 1,
        "first_sequence": 2**64 - 1,
        "acknowledged": 2**64 - 2,
        "seen": 2**64 - 1,
        "connection": 2**32 - 1,
        "milliseconds_left": 2**32 - 1,
        "shard": 65534,
    }
    outcomes = [
        (131, {"code": 0, "value": None}),
        (132, {"code": 0, "value": wire.shown(wire.pack(1815))}),
        (133, {"code": 36, "text": "the call had given up"}),
        (0, {"code": 15, "text": ""}),
        (135, {"code": 37, "text": "ValueError: zu groß"}),
    ]
    return [
        asked("command", "COMMAND", request("COMMAND", count=1, first_sequence=7), *_operations([PUT])),
        asked(
            "commands, the third given up",
            "COMMAND",
            request("COMMAND", count=4, first_sequence=7),
            *_operations(several),
        ),
        asked(
            "command that asks for a receipt",
            "COMMAND",
            request("COMMAND", count=1, first_sequence=7, flags=4),
            *_operations([PUT]),
        ),
        asked(
            "command whose body is a frame of its own",
            "COMMAND",
            request("COMMAND", count=1, first_sequence=8),
            *_operations([large]),
        ),
        asked("highest numbers", "COMMAND", request("COMMAND", count=1, **highest), *_operations([PUT])),
        told("result", "RESULTS", reply("RESULTS", count=1, first_sequence=7), *_results(outcomes[:1])),
        told(
            "results of all sorts",
            "RESULTS",
            reply("RESULTS", count=5, first_sequence=7, index=140),
            *_results(outcomes),
        ),
        told(
            "result whose events are not handled yet",
            "RESULTS",
            reply("RESULTS", count=1, first_sequence=7, flags=1, event_index=131),
            *_results(outcomes[:1]),
        ),
        told(
            "result whose body is a frame of its own",
            "RESULTS",
            reply("RESULTS", count=1, first_sequence=8, index=141),
            *_results([(141, {"code": 0, "value": wire.shown(bytes(65536))})]),
        ),
    ]


def _queries() -> list[dict[str, Any]]:
    get = [2, "get", wire.pack("ada")]
    answers = [{"code": 0, "value": wire.shown(wire.pack(1815))}, {"code": 31, "text": "a map has no query size_of"}]
    vectors = [
        asked(
            f"query, {name}",
            "QUERY",
            request("QUERY", count=1, level=level, first_sequence=7),
            *_operations([get]),
        )
        for level, name in enumerate(("LINEARIZABLE", "BOUNDED_LINEARIZABLE", "SEQUENTIAL", "CAUSAL"))
    ]
    return [
        *vectors,
        asked(
            "query for the leader",
            "QUERY",
            request("QUERY", count=1, level=2, flags=1, first_sequence=7),
            *_operations([get]),
        ),
        asked(
            "query for a follower",
            "QUERY",
            request("QUERY", count=1, level=3, flags=2, first_sequence=7),
            *_operations([get]),
        ),
        asked("queries", "QUERY", request("QUERY", count=2, first_sequence=7), *_operations([get, [2, "size_of"]])),
        told("answers", "ANSWERS", reply("ANSWERS", count=2), wire.parts([_result(one) for one in answers]), answers),
    ]


# -- events ------------------------------------------------------------------------------------------


def _batches(batches: list[tuple[int, list[Any]]]) -> tuple[bytes, Any]:
    body = wire.indexed([(index, wire.pack(events)) for index, events in batches])
    return body, [{"index": wire.shown(index), "events": wire.shown(events)} for index, events in batches]


def _events() -> list[dict[str, Any]]:
    added = [2, "change", ["added", wire.pack("ada"), None, wire.pack(1815)]]
    removed = [2, "change", ["removed", wire.pack("ada"), wire.pack(1815), None]]
    cleared = [2, "change", ["cleared", None, None, None]]
    changed = [9, "change", ["changed", None, 4, 5]]
    push = {"request": 129, "first_sequence": 7, "event_index": 131}
    three = push | {"event_index": 140, "count": 3}
    handled = wire.little(131, 8) + wire.little(129, 8)
    both = {"received": 131, "handled": 129}
    return [
        told("events of one index", "EVENTS", reply("EVENTS", count=1, **push), *_batches([(131, [added])])),
        told(
            "events of three indexes",
            "EVENTS",
            reply("EVENTS", **three),
            *_batches([(131, [added, removed]), (138, [cleared]), (140, [changed])]),
        ),
        told(
            "the first events of a session",
            "EVENTS",
            reply("EVENTS", count=1, request=0, first_sequence=0, event_index=131),
            *_batches([(131, [added])]),
        ),
        told(
            "no events, only a question",
            "EVENTS",
            reply("EVENTS", request=131, first_sequence=7, event_index=131),
            *_batches([]),
        ),
        asked("handled", "HANDLED", request("HANDLED"), handled, both),
        asked("handled, and events are missing", "HANDLED", request("HANDLED", flags=8), handled, both),
        asked(
            "handled, highest numbers",
            "HANDLED",
            request("HANDLED"),
            b"\xff" * 16,
            {"received": {"int": str(2**64 - 1)}, "handled": {"int": str(2**64 - 1)}},
        ),
    ]


def _indexes(indexes: list[int]) -> tuple[bytes, Any]:
    return b"".join(wire.little(index, 8) for index in indexes), wire.shown(indexes)


def _settling() -> list[dict[str, Any]]:
    return [
        asked("settle", "SETTLE", request("SETTLE", count=3), *_indexes([131, 138, 2**53])),
        told("settled, one of them", "SETTLED", reply("SETTLED", count=1), *_indexes([138])),
        told("settled, the others", "SETTLED", reply("SETTLED", count=2), *_indexes([131, 2**53])),
    ]


# -- questions ---------------------------------------------------------------------------------------


def _questions() -> list[dict[str, Any]]:
    report = {"replicas": [{"shard": 1, "replica": 0, "ok": True, "run": 4}]}
    receipt = {"index": 131, "term": 3, "replica": 1, "path": "log"}
    receipt |= {"queued": 180, "synced": 420, "replicated": 690, "applied": 55}
    answers: dict[str, list[Any]] = {
        "applied": [1, 131, b"\0\xc0"],
        "acknowledged": [2, 0, b""],
        "pending": [3, 0, b""],
        "never": [4, 0, b""],
        "forgotten": [5, 0, b""],
    }
    outcomes = [
        told(f"outcome: {name}", "OUTCOME_REPORT", reply("OUTCOME_REPORT"), *_packed(answer))
        for name, answer in answers.items()
    ]
    return [
        asked("outcome", "OUTCOME", request("OUTCOME"), *_packed([5, KEY, 7])),
        *outcomes,
        told("receipt", "RECEIPT", reply("RECEIPT", first_sequence=7), *_packed(receipt)),
        asked("status", "STATUS", before_session("STATUS", shard=NO_SHARD)),
        told("status report", "STATUS_REPORT", of_router("STATUS_REPORT"), *_packed({"shards": []})),
        asked(
            "admin: compact",
            "ADMIN",
            before_session("ADMIN", shard=1),
            *_packed({"what": "compact", "major": True}),
        ),
        asked(
            "admin: snapshot of all shards",
            "ADMIN",
            before_session("ADMIN", shard=NO_SHARD),
            *_packed({"what": "snapshot", "major": False}),
        ),
        told("admin report", "ADMIN_REPORT", of_router("ADMIN_REPORT"), *_packed(report)),
    ]


# -- routers and leaders -----------------------------------------------------------------------------


def _routes(routes: list[list[int]]) -> tuple[bytes, Any]:
    body = b"".join(wire.little(s, 8) + wire.little(r, 8) + wire.little(c, 4) for s, r, c in routes)
    return body, wire.shown(routes)


def _routers() -> list[dict[str, Any]]:
    routes = [[5, 17, 1], [8, 17, 1], [9, 2**40, 3]]
    return [
        asked("routes", "ROUTES", between("ROUTES", count=3), *_routes(routes)),
        asked("gone", "GONE", between("GONE", count=1), *_routes(routes[:1])),
        told("leader", "LEADER", reply("LEADER", request=0, session=0, index=0)),
        told("leader, unknown", "LEADER", reply("LEADER", request=0, session=0, index=0, leader=UNKNOWN_LEADER)),
    ]


# -- refusals ----------------------------------------------------------------------------------------

REFUSALS = {
    1: ("this replica does not lead its shard", 50),
    2: ("shard 1 has no leader at the moment", 50),
    3: ("at most 4096 operations of a session in flight", 20),
    4: ("the leader's disk is full", 500),
    5: ("sequence 7 is expected next", 0),
    6: ("replica 1 of shard 1 does not take messages at the moment", 50),
    7: ("applied up to 120, the query must see 130", 0),
    10: ("session 5 is not open on shard 1", 0),
    11: ("the shard holds 100000 sessions", 0),
    12: ("shard 9 is not one of the 2 served here", 0),
    13: ("protocol version 9 is not known here, 2 is", 0),
    14: ("kind 0x7f is not a request", 0),
    35: ("a body of 9000000 bytes; at most 8388608", 0),
}


def _refusals() -> list[dict[str, Any]]:
    return [
        told(
            f"refused with code {code}",
            "REFUSED",
            reply("REFUSED", code=code, first_sequence=7, retry_after_ms=wait),
            text.encode(),
            text,
        )
        for code, (text, wait) in REFUSALS.items()
    ]
