"""Bodies of the messages about events: batches, acknowledgements, what is settled, and who is where.

Pure. A batch is what one log index published to one session: the msgpack array of its events, each `[resource, name,
value]`, the resource by the index that created it. Everything malformed raises BadFrame and nothing else.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from .frames import BadFrame, Frame
from .operations import no_extension

_unpack = functools.partial(msgpack.unpackb, raw=False, strict_map_key=False, max_ext_len=0, ext_hook=no_extension)
_HANDLED = struct.Struct("<QQ")
_ROUTE = struct.Struct("<QQI")

INDEXES_MAX = 1024
"""Indexes in one SETTLE; the same in every cluster, whatever its limits of operations are."""


class Event(NamedTuple):
    """One event of a machine, to one session."""

    resource: int
    name: str
    value: Any


class Route(NamedTuple):
    """Where a session is: the router's number for its client, and that client's number for its connection."""

    session: int
    route: int
    connection: int


def pack_handled(received: int, handled: int) -> bytes:
    """The body of a HANDLED, and of a KEEP_ALIVE: the indexes of the last batch received, and handled."""
    return _HANDLED.pack(received, handled)


def unpack_handled(body: Frame) -> tuple[int, int]:
    """Received and handled; an empty body is (0, 0). Raises BadFrame."""
    if not len(body):
        return 0, 0
    if len(body) != _HANDLED.size:
        raise BadFrame(f"received and handled take {_HANDLED.size} bytes, this body has {len(body)}")
    received, handled = _HANDLED.unpack(body)
    if handled > received:
        raise BadFrame(f"events up to {handled} handled, but received only up to {received}")
    return received, handled


def pack_indexes(indexes: Sequence[int]) -> bytes:
    """The body of a SETTLE or SETTLED."""
    return struct.pack(f"<{len(indexes)}Q", *indexes)


def unpack_indexes(body: Frame, count: int) -> Sequence[int]:
    """The log indexes in a body. Raises BadFrame."""
    if len(body) != 8 * count:
        raise BadFrame(f"{count} log indexes take {8 * count} bytes, this body has {len(body)}")
    return struct.unpack(f"<{count}Q", body)


def unpack_batch(payload: bytes) -> list[Event]:
    """The events of one batch. Raises BadFrame."""
    try:
        return [_event(*fields) for fields in _unpack(payload)]
    except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
        raise BadFrame(f"a batch of events cannot be read: {error}") from None


def _event(resource: int, name: str, value: Any) -> Event:
    if type(resource) is not int or type(name) is not str:
        raise ValueError(f"an event of resource {resource!r:.40} is called {name!r:.40}")
    return Event(resource, name, value)


def pack_routes(routes: Sequence[Route]) -> bytes:
    """The body of a ROUTES or GONE."""
    return b"".join([_ROUTE.pack(*route) for route in routes])


def unpack_routes(body: Frame, count: int) -> list[Route]:
    """The routes in a body. Raises BadFrame."""
    if len(body) != _ROUTE.size * count:
        raise BadFrame(f"{count} routes take {_ROUTE.size * count} bytes, this body has {len(body)}")
    return [Route(*fields) for fields in _ROUTE.iter_unpack(body)]
