"""The frames of the client protocol: one fixed header per message, a body that a router never reads.

A message is one frame (header and body) or, for bodies of `UNCOPIED_BYTES_MIN` and more, two (header, body). Between
router and replica the messages of one loop turn travel as a *bundle*. All numbers are little-endian.

Invariants: every length is checked against the frame before anything is sliced; anything malformed raises
`BadFrame` and nothing else. The layouts are printed in docs/protocol.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from .limits import UNCOPIED_BYTES_MIN

VERSION = 2

# Requests, client to cluster.
HELLO = 1
REGISTER = 2
KEEP_ALIVE = 3
UNREGISTER = 4
COMMAND = 5
QUERY = 6
STATUS = 7
ADMIN = 8
HANDLED = 9
SETTLE = 10
OUTCOME = 11
# Of a router itself, to the leader of a shard.
ROUTES = 16
GONE = 17
# Answers, cluster to client: the request's kind with the top bit set, and those that answer nothing in particular.
WELCOME = 0x81
REGISTERED = 0x82
KEPT_ALIVE = 0x83
UNREGISTERED = 0x84
RESULTS = 0x85
ANSWERS = 0x86
STATUS_REPORT = 0x87
ADMIN_REPORT = 0x88
SETTLED = 0x8A
OUTCOME_REPORT = 0x8B
LEADER = 0x90
EVENTS = 0x91
RECEIPT = 0x92
REFUSED = 0xFF

# Consistency levels. A query names its own; of a command only its caller knows, and waits accordingly.
LINEARIZABLE = 0
BOUNDED_LINEARIZABLE = 1
SEQUENTIAL = 2
CAUSAL = 3

# Flags of a request: which replica a query is for (neither: any), and what else is wanted.
TO_LEADER = 1
TO_FOLLOWERS = 2
TRACED = 4
AGAIN = 8
# Flag of a reply: events that these commands published are not handled yet.
UNSETTLED = 1

NO_SHARD = 0xFFFF
NO_LEADER_KNOWN = 0xFFFFFFFF
NO_KEY = bytes(16)

REQUEST = struct.Struct("<BBHBBHQQ16sQQQII")
REQUEST_BYTES = REQUEST.size
REPLY = struct.Struct("<BBHBBHQQQQQQII")
REPLY_BYTES = REPLY.size
assert (REQUEST_BYTES, REPLY_BYTES) == (72, 64), "the layouts in docs/protocol.md"

Frame = bytes | memoryview


class BadFrame(ValueError):
    """A message that does not follow the layout; the text says what was expected and what was found."""


class Request(NamedTuple):
    """Header of a message to the cluster; field order is the order on the wire.

    `first_sequence` is the sequence of the first operation (for a query: the last command sequence sent before it),
    `acknowledged` the highest sequence up to which the client has every result, `seen` the highest log index it has
    seen, `milliseconds_left` what remains of the earliest deadline in the message.
    """

    version: int
    kind: int
    shard: int
    level: int
    flags: int
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody calls
    request: int
    session: int
    key: bytes
    first_sequence: int
    acknowledged: int
    seen: int
    connection: int
    milliseconds_left: int


class Reply(NamedTuple):
    """Header of an answer.

    `index` is the highest log index applied when it was made, `event_index` the index of the last batch of events that was
    published to the session up to then (0: none, or not said), `leader` a hint or `NO_LEADER_KNOWN`. An EVENTS has in
    `request` the index of the session's batch before its first one, and in `first_sequence` the last sequence applied.
    """

    version: int
    kind: int
    shard: int
    code: int
    flags: int
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody calls
    request: int
    session: int
    first_sequence: int
    index: int  # type: ignore[assignment]  # shadows tuple.index
    event_index: int
    term: int
    leader: int
    retry_after_ms: int


def request_frames(header: bytes, body: Frame) -> list[Frame]:
    """Header and body as one frame, or as two when the body is large enough to be worth not copying."""
    if len(body) >= UNCOPIED_BYTES_MIN:
        return [header, body]
    return [header + body if body else header]


def parse_request(frames: Sequence[Frame]) -> tuple[Request, memoryview]:
    """Split one message into header and body. Raises BadFrame."""
    return Request._make(_header(frames, REQUEST)), _body(frames, REQUEST_BYTES)


def parse_reply(frames: Sequence[Frame]) -> tuple[Reply, memoryview]:
    """Split one answer into header and body. Raises BadFrame."""
    return Reply._make(_header(frames, REPLY)), _body(frames, REPLY_BYTES)


def _header(frames: Sequence[Frame], layout: struct.Struct) -> tuple[int, ...]:
    if not 1 <= len(frames) <= 2:
        raise BadFrame(f"a message has one or two frames, this one has {len(frames)}")
    if len(frames[0]) < layout.size:
        raise BadFrame(f"a header has {layout.size} bytes, this frame {len(frames[0])}")
    if frames[0][0] != VERSION:
        raise BadFrame(f"protocol version {frames[0][0]} is not known here, {VERSION} is")
    return layout.unpack_from(frames[0])


def _body(frames: Sequence[Frame], header_bytes: int) -> memoryview:
    if len(frames) == 1:
        return memoryview(frames[0])[header_bytes:]
    if len(frames[0]) != header_bytes:
        raise BadFrame(f"{len(frames[0]) - header_bytes} stray bytes between header and body frame")
    return memoryview(frames[1])


# -- bodies of many operations ---------------------------------------------------------------------


def pack_parts(parts: Sequence[bytes]) -> bytes:
    """A body of `parts`: their lengths (uint32 each), then their bytes. A length of zero is a void."""
    return struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)


def unpack_parts(body: Frame, count: int) -> list[bytes]:
    """The parts of a body that holds `count` of them. Raises BadFrame when lengths and body disagree."""
    lengths, position = _lengths(body, count)
    data = bytes(body)
    parts = []
    for length in lengths:
        end = position + length
        parts.append(data[position:end])
        position = end
    if position != len(data):
        raise BadFrame(f"{count} parts end at byte {position} of a body of {len(data)}")
    return parts


def _lengths(body: Frame, count: int) -> tuple[tuple[int, ...], int]:
    start = 4 * count
    if len(body) < start:
        raise BadFrame(f"a body of {len(body)} bytes cannot hold {count} lengths")
    return struct.unpack_from(f"<{count}I", body), start


def pack_results(indexes: Sequence[int], results: Sequence[bytes]) -> bytes:
    """A body of results: lengths (uint32), log indexes (uint64), then per result one code byte and its payload."""
    count = len(results)
    return struct.pack(f"<{count}I{count}Q", *map(len, results), *indexes) + b"".join(results)


def unpack_results(body: Frame, count: int) -> tuple[Sequence[int], list[bytes]]:
    """Indexes and results of a RESULTS body. Raises BadFrame."""
    lengths, position = _lengths(body, count)
    if len(body) < position + 8 * count:
        raise BadFrame(f"a body of {len(body)} bytes cannot hold {count} indexes")
    indexes = struct.unpack_from(f"<{count}Q", body, position)
    position += 8 * count
    data = bytes(body)
    results = []
    for length in lengths:
        if length == 0:
            raise BadFrame("a result has at least its code byte")
        end = position + length
        results.append(data[position:end])
        position = end
    if position != len(data):
        raise BadFrame(f"{count} results end at byte {position} of a body of {len(data)}")
    return indexes, results


# -- bundles between router and replica ------------------------------------------------------------

_BUNDLE = struct.Struct("<BBHI")
_ITEM = struct.Struct("<QII")
BUNDLE = 0xB0
BUNDLE_ITEMS_MAX = 4096


class Item(NamedTuple):
    """One message in a bundle.

    `route` is the router's number for the client it came from or goes to (0: the router itself).
    """

    route: int
    frames: Sequence[Frame]


def pack_bundle(items: Sequence[Item]) -> list[Frame]:
    """At most BUNDLE_ITEMS_MAX messages as one: directory and first frames in frame 0, separate body frames behind."""
    assert len(items) <= BUNDLE_ITEMS_MAX, f"{len(items)} messages in one bundle, at most {BUNDLE_ITEMS_MAX}"
    head: list[Frame] = [_BUNDLE.pack(VERSION, BUNDLE, len(items), 0)]
    extra: list[Frame] = []
    pack = _ITEM.pack
    for route, frames in items:
        head.append(pack(route, len(frames[0]), len(frames) - 1))
        if len(frames) > 1:
            extra.append(frames[1])
    head.extend([frames[0] for _, frames in items])
    return [b"".join(head), *extra]


def unpack_bundle(frames: Sequence[Frame]) -> list[Item]:
    """The messages of a bundle. Raises BadFrame."""
    if not frames or len(frames[0]) < _BUNDLE.size:
        raise BadFrame("a bundle begins with a header of 8 bytes")
    head = memoryview(frames[0])
    version, kind, count, _ = _BUNDLE.unpack_from(head)
    if version != VERSION or kind != BUNDLE:
        raise BadFrame(f"not a bundle of version {VERSION}: version {version}, kind {kind}")
    position = _BUNDLE.size + _ITEM.size * count
    if len(head) < position:
        raise BadFrame(f"a bundle of {len(head)} bytes cannot hold a directory of {count}")
    items = []
    following = 1
    for route, length, extra in _ITEM.iter_unpack(head[_BUNDLE.size : position]):
        end = position + length
        if extra > 1 or following + extra > len(frames) or end > len(head):
            raise BadFrame("a bundle's directory and its frames disagree")
        parts: list[Frame] = [head[position:end]]
        if extra:
            parts.append(frames[following])
            following += 1
        items.append(Item(route, parts))
        position = end
    if position != len(head) or following != len(frames):
        raise BadFrame("a bundle has bytes or frames that its directory does not name")
    return items
