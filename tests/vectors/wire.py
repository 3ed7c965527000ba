"""The bytes of the protocol once more, written from docs/protocol.md alone, and how a vector's line shows a value.

It imports nothing of the package on purpose: what it and the package's codec agree on is not merely what the codec says
of itself. It encodes only; decoding is what the vectors are for.

A JSON line cannot hold every value, so some are written as a map with one entry: `{"bin": hex}`, `{"int": text}` from
2**53 on, `{"float": hex of the 8 bytes, sign first}`, `{"map": [[key, value], ...]}` in the order of the bytes. In hex a
long run of one byte stands between spaces as `00*65536`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

REQUEST_FIELDS = (
    ("version", 1),
    ("kind", 1),
    ("shard", 2),
    ("level", 1),
    ("flags", 1),
    ("count", 2),
    ("request", 8),
    ("session", 8),
    ("key", 16),
    ("first_sequence", 8),
    ("acknowledged", 8),
    ("seen", 8),
    ("connection", 4),
    ("milliseconds_left", 4),
)
REPLY_FIELDS = (
    ("version", 1),
    ("kind", 1),
    ("shard", 2),
    ("code", 1),
    ("flags", 1),
    ("count", 2),
    ("request", 8),
    ("session", 8),
    ("first_sequence", 8),
    ("index", 8),
    ("event_index", 8),
    ("term", 8),
    ("leader", 4),
    ("retry_after_ms", 4),
)
OWN_FRAME_BYTES_MIN = 65536
EXACT_IN_JSON_MAX = 2**53 - 1


def little(value: int, size: int) -> bytes:
    """An unsigned number in so many bytes, lowest first."""
    return value.to_bytes(size, "little")


def header(layout: Sequence[tuple[str, int]], fields: dict[str, Any]) -> bytes:
    """A header: every field of the layout in its place, binary as it is."""
    assert [name for name, _ in layout] == list(fields), fields
    return b"".join(fields[name] if name == "key" else little(fields[name], size) for name, size in layout)


def message(head: bytes, body: bytes) -> list[bytes]:
    """The frames of a message."""
    return [head, body] if len(body) >= OWN_FRAME_BYTES_MIN else [head + body]


def parts(bodies: Sequence[bytes]) -> bytes:
    """Lengths, then bytes."""
    return b"".join(little(len(body), 4) for body in bodies) + b"".join(bodies)


def indexed(items: Sequence[tuple[int, bytes]]) -> bytes:
    """Lengths, log indexes, then bytes: results, and batches of events."""
    lengths = b"".join(little(len(body), 4) for _, body in items)
    return lengths + b"".join(little(index, 8) for index, _ in items) + b"".join(body for _, body in items)


def bundle(items: Sequence[tuple[int, Sequence[bytes]]], *, version: int = 2, count: int | None = None) -> list[bytes]:
    """What a router and a replica exchange: `items` are routes with the frames of their messages."""
    directory = b"".join(
        little(route, 8) + little(len(frames[0]), 4) + little(len(frames) - 1, 4) for route, frames in items
    )
    head = bytes((version, 0xB0)) + little(len(items) if count is None else count, 2) + bytes(4)
    first = head + directory + b"".join(frames[0] for _, frames in items)
    return [first, *(frame for _, frames in items for frame in frames[1:])]


def pack(value: Any) -> bytes:
    """Canonical msgpack: shortest integers and lengths, floats of 64 bits, entries sorted by their encoded keys."""
    if value is None or value is True or value is False:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _length(len(data), (0xA0, 31), (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return _length(len(value), None, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, dict):
        entries = sorted((pack(key), pack(item)) for key, item in value.items())
        return _length(len(entries), (0x80, 15), (None, 0xDE, 0xDF)) + b"".join(key + item for key, item in entries)
    return _length(len(value), (0x90, 15), (None, 0xDC, 0xDD)) + b"".join(pack(item) for item in value)


def _integer(value: int) -> bytes:
    if -32 <= value < 128:
        return bytes((value & 0xFF,))
    markers = (0xCC, 0xCD, 0xCE, 0xCF) if value >= 0 else (0xD0, 0xD1, 0xD2, 0xD3)
    for power, marker in enumerate(markers):
        size = 2**power
        try:
            return bytes((marker,)) + value.to_bytes(size, "big", signed=value < 0)
        except OverflowError:
            continue
    raise OverflowError(f"{value} has no 64 bits")


def _length(length: int, short: tuple[int, int] | None, markers: tuple[int | None, int, int]) -> bytes:
    """The marker of something with a length, and the length where it is not in the marker itself."""
    if short is not None and length <= short[1]:
        return bytes((short[0] | length,))
    for power, marker in enumerate(markers):
        if marker is not None and length < 256 ** (2**power):
            return bytes((marker,)) + length.to_bytes(2**power, "big")
    raise OverflowError(f"a length of {length}")


_RUN = re.compile(rb"(.)\1{63,}", re.DOTALL)


def hexed(data: bytes) -> str:
    """Bytes as a line shows them."""
    pieces, position = [], 0
    for run in _RUN.finditer(data):
        pieces += [data[position : run.start()].hex(), f"{run[1].hex()}*{len(run[0])}"]
        position = run.end()
    return " ".join(piece for piece in [*pieces, data[position:].hex()] if piece)


def unhexed(text: str) -> bytes:
    """The bytes that a line shows: `hexed`, backwards."""
    pieces = [piece.partition("*") for piece in text.split(" ")]
    return b"".join(bytes.fromhex(byte) * int(times or 1) for byte, _, times in pieces)


def shown(value: Any) -> Any:
    """A value as a line of JSON shows it."""
    if isinstance(value, bytes):
        return {"bin": hexed(value)}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if type(value) is int and abs(value) > EXACT_IN_JSON_MAX:
        return {"int": str(value)}
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(value[key])] for key in sorted(value, key=pack)]}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def read(shown_value: Any) -> Any:
    """The value that a line of JSON shows: `shown`, backwards."""
    if isinstance(shown_value, list):
        return [read(item) for item in shown_value]
    if not isinstance(shown_value, dict):
        return shown_value
    ((form, content),) = shown_value.items()
    if form == "bin":
        return unhexed(content)
    if form == "float":
        return struct.unpack(">d", bytes.fromhex(content))[0]
    if form == "int":
        return int(content)
    assert form == "map", form
    return {read(key): read(item) for key, item in content}
