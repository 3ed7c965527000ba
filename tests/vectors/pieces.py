"""Vectors of what is inside bodies and between processes: keys, values, operations, results, slots, bundles."""

from __future__ import annotations

from typing import Any

from . import wire

NESTING_MAX = 32


def piece(name: str, kind: str, data: bytes | list[bytes], decoded: Any, direction: str = "both") -> dict[str, Any]:
    """One vector that is no message: `direction` says whether it can be encoded, decoded or both."""
    frames = data if isinstance(data, list) else [data]
    return {
        "name": name,
        "kind": kind,
        "direction": direction,
        "frames": [wire.hexed(frame) for frame in frames],
        "decoded": decoded,
    }


# -- keys and values ---------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "empty text": "",
    "text": "ada",
    "text outside ASCII": "größe ☂ 𝄞",
    "text of 31 bytes": "a" * 31,
    "text of 32 bytes": "a" * 32,
    "text of 256 bytes": "a" * 256,
    "empty binary": b"",
    "binary that is no text": b"\xff\x00",
    "binary of 256 bytes": bytes(256),
    "zero": 0,
    "one": 1,
    "127": 127,
    "128": 128,
    "255": 255,
    "256": 256,
    "65535": 65535,
    "65536": 65536,
    "2**32 - 1": 2**32 - 1,
    "2**32": 2**32,
    "2**53": 2**53,
    "2**63": 2**63,
    "highest integer": 2**64 - 1,
    "minus one": -1,
    "-32": -32,
    "-33": -33,
    "-128": -128,
    "-129": -129,
    "-32768": -32768,
    "-32769": -32769,
    "-2**31": -(2**31),
    "-2**31 - 1": -(2**31) - 1,
    "lowest integer": -(2**63),
}

VALUES: dict[str, Any] = {
    "true": True,
    "false": False,
    "one as a float": 1.0,
    "minus zero": -0.0,
    "a tenth": 0.1,
    "infinity": float("inf"),
    "smallest float": 5e-324,
    "text of 65536 bytes": "a" * 65536,
    "binary of 65535 bytes": bytes(65535),
    "binary of 65536 bytes": bytes(65536),
    "empty array": [],
    "array of 15": list(range(15)),
    "array of 16": list(range(16)),
    "nil inside an array": [None, [None]],
    "empty map": {},
    "map with keys of all sorts": {"b": 1, "a": 2, b"a": 3, 10: 4, -1: 5, 200: 6},
    "map sorted by encoded keys, so shorter text first": {"bb": 1, "c": 2, "aaa": 3},
    "map of 16 entries": {number: number for number in range(16)},
    "maps inside": {"outer": {"y": [{"b": 1, "a": None}], "x": {}}},
}


def nested(depth: int) -> Any:
    """An array inside an array, so many in all."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def all_values() -> list[dict[str, Any]]:
    """The lines of values.jsonl."""
    keys = [piece(name, "key", wire.pack(value), wire.shown(value)) for name, value in KEYS.items()]
    values = {**KEYS, **VALUES, f"arrays nested {NESTING_MAX} deep": nested(NESTING_MAX)}
    lines = [piece(name, "value", wire.pack(value), wire.shown(value)) for name, value in values.items()]
    not_canonical: dict[str, tuple[str, Any]] = {
        "one in 16 bits": ("cd0001", 1),
        "one as a signed byte": ("d001", 1),
        "a float of 32 bits": ("ca3f800000", 1.0),
        "text with a longer length": ("d903616461", "ada"),
        "map out of order": ("82a16201a16102", {"b": 1, "a": 2}),
    }
    for name, (data, value) in not_canonical.items():
        lines.append(piece(f"not canonical: {name}", "value", bytes.fromhex(data), wire.shown(value), "decode"))
    return keys + lines


# -- operations and results --------------------------------------------------------------------------

OPERATIONS: dict[str, list[Any]] = {
    "open": [0, "open", "users", "map"],
    "put": [2, "put", wire.pack("ada"), wire.pack(1815)],
    "put_if_absent": [2, "put_if_absent", wire.pack(7), wire.pack([1, {"a": True}])],
    "replace": [2, "replace", wire.pack(b"\xff"), wire.pack(0.1)],
    "get": [2, "get", wire.pack("ada")],
    "clear": [2, "clear"],
    "listen to one key": [2, "listen", wire.pack("ada")],
    "listen to all keys": [2, "listen", None],
    "add": [9, "add", -1],
    "compare_and_set": [9, "compare_and_set", 4, 5],
    "highest resource index": [2**64 - 1, "get"],
    "arguments of all sorts": [2, "own", {"a": [1, 2.5, None], b"k": True, -3: "x"}],
    "more than 256 bytes": [2, "put", wire.pack("big"), wire.pack(bytes(300))],
}

RESULTS: dict[str, dict[str, Any]] = {
    "nil": {"code": 0, "value": None},
    "true": {"code": 0, "value": True},
    "a number": {"code": 0, "value": 131},
    "a value": {"code": 0, "value": {"bin": wire.pack(1815).hex()}},
    "keys": {"code": 0, "value": [{"bin": wire.pack("ada").hex()}, {"bin": wire.pack("bob").hex()}]},
    "an error with a sentence": {"code": 37, "text": "ValueError: zu groß"},
    "an error without a sentence": {"code": 15, "text": ""},
    "an error of a later version": {"code": 200, "text": "something new"},
}


def all_operations() -> list[dict[str, Any]]:
    """The lines of operations.jsonl."""
    operations = [piece(name, "operation", wire.pack(value), wire.shown(value)) for name, value in OPERATIONS.items()]
    results = []
    for name, result in RESULTS.items():
        rest = wire.pack(wire.read(result["value"])) if result["code"] == 0 else result["text"].encode()
        results.append(piece(name, "result", bytes((result["code"],)) + rest, result))
    return operations + results


# -- slots -------------------------------------------------------------------------------------------

SLOTS = {
    b"": 0,
    b"123456789": 0x3926,  # the check value of this CRC-32 is 0xCBF43926
    b"users": 9705,
    b"bench": 8997,
    "größe ☂".encode(): 5900,
    bytes(range(256)): 3187,
}


def all_slots() -> list[dict[str, Any]]:
    """The lines of slots.jsonl."""
    return [
        piece(f"the slot of {key.hex() or 'nothing'}", "slot", key, {"slot": slot}, "decode")
        for key, slot in SLOTS.items()
    ]


# -- bundles -----------------------------------------------------------------------------------------


def all_bundles() -> list[dict[str, Any]]:
    """The lines of bundles.jsonl."""
    cases: dict[str, list[tuple[int, list[bytes]]]] = {
        "empty": [],
        "one message": [(7, [b"abc"])],
        "of the router itself": [(0, [b"\x02\x01"])],
        "a message of two frames": [(7, [b"head", b"body"])],
        "many": [(7, [b"abc", b"body"]), (0, [b"de"]), (2**64 - 1, [b""]), (8, [b"f", b""]), (7, [b"g"])],
    }
    return [
        piece(
            name,
            "bundle",
            wire.bundle(items),
            [[wire.shown(route), [wire.hexed(frame) for frame in frames]] for route, frames in items],
        )
        for name, items in cases.items()
    ]
