"""Vectors of what is no message, operation, value or bundle, with the name of the error that a receiver answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import messages, wire
from .messages import before_session, between, reply, request
from .pieces import NESTING_MAX, nested

ITEMS_MAX = 65536


def bad(name: str, kind: str, direction: str, frames: Sequence[bytes], error: str, why: str) -> dict[str, Any]:
    """One line: bytes, and what is wrong with them."""
    return {
        "name": name,
        "kind": kind,
        "direction": direction,
        "frames": [wire.hexed(frame) for frame in frames],
        "error": error,
        "why": why,
    }


def asked(name: str, kind: str, body: bytes, why: str, *, error: str = "BAD_MESSAGE", **fields: Any) -> dict[str, Any]:
    """A request whose body does not fit."""
    head = wire.header(wire.REQUEST_FIELDS, request(kind, **fields))
    return bad(name, kind, "to_cluster", wire.message(head, body), error, why)


def told(name: str, kind: str, body: bytes, why: str, **fields: Any) -> dict[str, Any]:
    """An answer whose body does not fit; a client drops the connection."""
    head = wire.header(wire.REPLY_FIELDS, reply(kind, **fields))
    return bad(name, kind, "to_client", wire.message(head, body), "BAD_MESSAGE", why)


def all_malformed() -> list[dict[str, Any]]:
    """The lines of malformed.jsonl."""
    return [*_headers(), *_bodies(), *_answers(), *_operations(), *_values(), *_bundles()]


def _headers() -> list[dict[str, Any]]:
    head = wire.header(wire.REQUEST_FIELDS, before_session("HELLO"))
    old = wire.header(wire.REQUEST_FIELDS, before_session("HELLO", version=1))
    new = wire.header(wire.REQUEST_FIELDS, before_session("HELLO", version=9))
    command = wire.header(wire.REQUEST_FIELDS, request("COMMAND", count=1, first_sequence=7))
    short = "a request has a header of 72 bytes"
    lines = [
        ("an empty frame", [b""], "BAD_MESSAGE", short),
        ("a version and nothing else", [b"\x02"], "BAD_MESSAGE", short),
        ("a header cut by one byte", [head[:-1]], "BAD_MESSAGE", short),
        ("version 1", [old], "UNKNOWN_VERSION", "only version 2 is known"),
        ("version 1, cut to 64 bytes", [old[:64]], "UNKNOWN_VERSION", "the version is looked at first"),
        ("version 9", [new], "UNKNOWN_VERSION", "only version 2 is known"),
        ("three frames", [command, b"", b""], "BAD_MESSAGE", "a message has one frame or two"),
        ("bytes between header and body", [command + b"\0", b"body"], "BAD_MESSAGE", "the first of two is the header"),
    ]
    vectors = [bad(name, "header", "to_cluster", frames, error, why) for name, frames, error, why in lines]
    for kind in (0x00, 0x0C, 0x12, 0x7F, 0x85, 0xFF):
        unknown = wire.header(wire.REQUEST_FIELDS, request("COMMAND") | {"kind": kind})
        why = "no request has this kind"
        vectors.append(bad(f"kind 0x{kind:02x}", "header", "to_cluster", [unknown], "BAD_MESSAGE", why))
    for kind in ("ROUTES", "GONE"):
        own = wire.header(wire.REQUEST_FIELDS, between(kind))
        why = "a router says this, never a client"
        vectors.append(bad(f"a client's {kind}", "header", "to_cluster", [own], "BAD_MESSAGE", why))
    elsewhere = wire.header(wire.REQUEST_FIELDS, request("COMMAND", shard=9, count=1, first_sequence=7))
    why = "the cluster of the vectors has shards 0 and 1"
    return [*vectors, bad("shard 9", "header", "to_cluster", [elsewhere], "WRONG_SHARD", why)]


def _bodies() -> list[dict[str, Any]]:
    put = wire.pack(messages.PUT)
    one = {"count": 1, "first_sequence": 7}
    beyond = wire.little(len(put) + 1, 4) + put
    far = b"\xff\xff\xff\xff" + put
    ends = wire.parts([put])
    index = wire.little(131, 8)
    return [
        asked("a command without a body", "COMMAND", b"", "no room for one length", error="BAD_OPERATION", **one),
        asked("a length cut short", "COMMAND", b"\x11\0\0", "no room for one length", error="BAD_OPERATION", **one),
        asked("a part one byte too long", "COMMAND", beyond, "it ends behind the body", error="BAD_OPERATION", **one),
        asked("a part of 4 GiB", "COMMAND", far, "it ends behind the body", error="BAD_OPERATION", **one),
        asked("a byte behind the parts", "COMMAND", ends + b"\0", "nothing may follow", error="BAD_OPERATION", **one),
        asked("a count too high", "COMMAND", ends, "lengths for two", error="BAD_OPERATION", count=2, first_sequence=7),
        asked("a query cut short", "QUERY", ends[:-1], "it ends behind the body", count=1),
        asked("a byte behind the queries", "QUERY", ends + b"\0", "nothing may follow", count=1),
        asked("handled in 15 bytes", "HANDLED", index + index[:-1], "two numbers of 8 bytes"),
        asked("handled in 24 bytes", "HANDLED", index * 3, "two numbers of 8 bytes"),
        asked("handled more than received", "HANDLED", index + wire.little(132, 8), "handled is at most received"),
        asked("keep-alive of 8 bytes", "KEEP_ALIVE", index, "nothing, or two numbers of 8 bytes"),
        asked("settle of too few bytes", "SETTLE", index, "8 bytes for each", count=2),
        asked("settle of too many bytes", "SETTLE", index + b"\0", "8 bytes for each", count=1),
        asked("routes of too few bytes", "ROUTES", bytes(19), "20 bytes for each", count=1),
        asked("outcome without a key", "OUTCOME", wire.pack([5, 7]), "session, key and sequence"),
        asked("outcome with a short key", "OUTCOME", wire.pack([5, messages.KEY[:15], 7]), "a key has 16 bytes"),
        asked("outcome of sequence 0", "OUTCOME", wire.pack([5, messages.KEY, 0]), "sequences begin with 1"),
        asked("admin without what", "ADMIN", wire.pack({"major": True}), "`what` is compact or snapshot"),
        asked("admin that is no map", "ADMIN", wire.pack(["compact"]), "a map"),
        asked("admin that is no msgpack", "ADMIN", b"\xc1", "0xc1 is no msgpack"),
    ]


def _answers() -> list[dict[str, Any]]:
    result = wire.indexed([(131, b"\0\xc0")])
    one = {"count": 1}
    head = wire.header(wire.REPLY_FIELDS, reply("KEPT_ALIVE"))
    events = {
        "that are no array": wire.pack({"a": 1}),
        "that hold no event": wire.pack([7]),
        "of two fields": wire.pack([[2, "change"]]),
        "of a resource with a name": wire.pack([["users", "change", None]]),
        "named in binary": wire.pack([[2, b"change", None]]),
        "with an extension type": bytes.fromhex("919302a6") + b"change" + bytes.fromhex("c70105aa"),
        "with an empty extension": bytes.fromhex("919302a6") + b"change" + bytes.fromhex("c70005"),
        "with a byte behind": wire.pack([]) + b"\0",
        "cut short": wire.pack([[2, "change", None]])[:-1],
    }
    return [
        bad("an answer cut by one byte", "header", "to_client", [head[:-1]], "BAD_MESSAGE", "its header has 64 bytes"),
        bad("an answer of version 1", "header", "to_client", [b"\x01" + head[1:]], "BAD_MESSAGE", "only version 2"),
        told("results without indexes", "RESULTS", result[:4], "8 bytes for each index", **one),
        told("a result without a code", "RESULTS", wire.indexed([(131, b"")]), "at least the code byte", **one),
        told("a result cut short", "RESULTS", result[:-1], "it ends behind the body", **one),
        told("a byte behind the results", "RESULTS", result + b"\0", "nothing may follow", **one),
        told("answers of too few bytes", "ANSWERS", b"\x01\0\0\0", "it ends behind the body", **one),
        told("settled of too few bytes", "SETTLED", bytes(7), "8 bytes for each", **one),
        told(
            "outcome report with a result and pending",
            "OUTCOME_REPORT",
            wire.pack([3, 9, b"\0"]),
            "none but applied has one",
        ),
        told("outcome report without its result", "OUTCOME_REPORT", wire.pack([1, 9, b""]), "applied has a result"),
        told("events without payload", "EVENTS", wire.indexed([(131, b"")]), "a batch is a msgpack array", **one),
        *(
            told(f"events {name}", "EVENTS", wire.indexed([(131, data)]), "events are [resource, name, value]", **one)
            for name, data in events.items()
        ),
    ]


def _operations() -> list[dict[str, Any]]:
    deep = b"\x93\x02\xa3put" + b"\x91" * NESTING_MAX + b"\xc0"
    maps = b"\x93\x02\xa3put" + b"\x81\x01" * NESTING_MAX + b"\xc0"
    many = b"\x93\x02\xa3put\xdd" + ITEMS_MAX.to_bytes(4, "big") + b"\xc0" * ITEMS_MAX
    lines = [
        ("nothing but nil", "c0", "an operation is an array"),
        ("a map", "80", "an operation is an array"),
        ("an empty array", "90", "resource and name"),
        ("an array of one", "9102", "resource and name"),
        ("a negative resource", "92ffa3676574", "the resource is an index"),
        ("a resource with a name", "92a57573657273a3676574", "the resource is an index"),
        ("a resource as a float", "92cb4000000000000000a3676574", "the resource is an index"),
        ("true as a resource", "92c3a3676574", "the resource is an index"),
        ("a name in binary", "9202c403676574", "the name is text"),
        ("cut in the middle", "9302a3676574c40361", "it ends in the middle"),
        ("a byte behind", "9202a3676574c0", "nothing may follow"),
        ("0xc1", "9302a3676574c1", "0xc1 is no msgpack"),
        ("an extension type", "9302a3676574d40100", "extension types are not used"),
        ("an empty extension", "9302a3676574c70001", "extension types are not used"),
        ("a timestamp", "9302a3676574d6ff00000000", "extension types are not used"),
        ("text that is no UTF-8", "9302a3676574a1ff", "text is UTF-8"),
        ("a map key of nil", "9302a367657481c001", "a map key is text, binary or an integer"),
        ("a map key of true", "9302a367657481c301", "a map key is text, binary or an integer"),
        ("a map key as a float", "9302a367657481cb3ff000000000000001", "a map key is text, binary or an integer"),
        ("a map key that is an array", "9302a3676574819001", "a map key is text, binary or an integer"),
        ("a map key twice", "9302a367657482a16101a16102", "a map key comes once"),
        ("an array longer than the body", "9302a3676574ddffffffff", "it ends in the middle"),
        ("binary longer than the body", "9302a3676574c6ffffffff", "it ends in the middle"),
    ]
    vectors = [
        bad(name, "operation", "decode", [bytes.fromhex(data)], "BAD_OPERATION", why) for name, data, why in lines
    ]
    for name, data, why in (
        ("arrays nested too deep", deep, f"at most {NESTING_MAX}, the operation itself included"),
        ("maps nested too deep", maps, f"at most {NESTING_MAX}, the operation itself included"),
        ("too many items", many, f"at most {ITEMS_MAX} items"),
    ):
        vectors.append(bad(name, "operation", "decode", [data], "BAD_OPERATION", why))
    return vectors


def _values() -> list[dict[str, Any]]:
    """Bytes that are no value, and values that have no bytes (those are shown where the bytes would be missing)."""
    broken = [("nothing", "", "a value has bytes"), ("cut short", "a361", "it ends in the middle")]
    broken += [("two values", "0102", "nothing may follow"), ("an extension type", "d40100", "no extension types")]
    broken += [
        ("an empty extension", "c70001", "no extension types"),
        ("a timestamp", "d6ff00000000", "no extension types"),
    ]
    vectors = [bad(name, "value", "decode", [bytes.fromhex(data)], "BAD_VALUE", why) for name, data, why in broken]
    refused: list[tuple[str, str, Any, str]] = [
        ("nil as a value", "value", None, "nil means absent"),
        ("too deep a value", "value", nested(NESTING_MAX + 1), f"at most {NESTING_MAX} containers"),
        ("2**64 as a value", "value", 2**64, "integers have 64 bits"),
        ("a map key as a float", "value", {1.5: 1}, "a map key is text, binary or an integer"),
        ("nil as a key", "key", None, "a key is text, binary or an integer"),
        ("true as a key", "key", True, "a key is text, binary or an integer"),
        ("a float as a key", "key", 1.0, "a key is text, binary or an integer"),
        ("an array as a key", "key", [1], "a key is text, binary or an integer"),
        ("2**64 as a key", "key", 2**64, "integers have 64 bits"),
        ("-2**63 - 1 as a key", "key", -(2**63) - 1, "integers have 64 bits"),
    ]
    for name, kind, value, why in refused:
        line = bad(name, kind, "encode", [], "BAD_VALUE", why)
        vectors.append({**line, "decoded": _shown(value)})
    return vectors


def _shown(value: Any) -> Any:
    """As `wire.shown`; a map with a key that cannot be packed has one entry."""
    if isinstance(value, dict):
        return {"map": [[wire.shown(key), wire.shown(item)] for key, item in value.items()]}
    return wire.shown(value)


def _bundles() -> list[dict[str, Any]]:
    good = wire.bundle([(7, [b"abc", b"body"]), (0, [b"de"])])
    lines = [
        ("no frame", [], "the first frame is the directory"),
        ("a header cut short", [good[0][:7]], "a header of 8 bytes"),
        ("version 1", wire.bundle([], version=1), "only version 2"),
        ("another kind", [bytes((2, 0x85)) + bytes(6)], "the kind of a bundle is 0xB0"),
        ("a count too high", wire.bundle([(7, [b"abc"])], count=2), "16 bytes in the directory for each"),
        ("a count too low", wire.bundle([(7, [b"abc"]), (8, [b"de"])], count=1), "bytes that nobody names"),
        ("a frame too few", good[:1], "the directory names one frame behind it"),
        ("a frame too many", [*good, b"more"], "the directory names one frame behind it"),
        ("a byte too few", [good[0][:-1], good[1]], "the lengths of the directory"),
        ("a byte too many", [good[0] + b"\0", good[1]], "the lengths of the directory"),
        ("two frames behind one", wire.bundle([(7, [b"a", b"b", b"c"])]), "a message has at most one further frame"),
    ]
    return [bad(name, "bundle", "decode", frames, "BAD_MESSAGE", why) for name, frames, why in lines]
