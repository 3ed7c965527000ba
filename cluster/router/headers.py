"""What a router reads of a message without taking it apart: single fields of its header, at their fixed places."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ...client.protocol import errors
from ...client.protocol.frames import REPLY_BYTES, REQUEST_BYTES, Frame

_SESSION = struct.Struct("<16xQ")
_CONNECTION = struct.Struct("<64xI")


def request_id(header: Frame) -> int:
    """The request's id, at bytes 8 to 16 in every version of the protocol; 0 when the header ends before."""
    return int.from_bytes(header[8:16], "little") if len(header) >= 16 else 0


def session_of(header: Frame) -> int:
    """The session, at the same place in a request and in an answer."""
    session: int = _SESSION.unpack_from(header)[0]
    return session


def connection_of(header: Frame) -> int:
    """The number of the client's connection, in a request."""
    connection: int = _CONNECTION.unpack_from(header)[0]
    return connection


def reply_body(parts: Sequence[Frame]) -> Frame:
    """The body of an answer."""
    return parts[1] if len(parts) > 1 else parts[0][REPLY_BYTES:]


def sentence(parts: Sequence[Frame]) -> str:
    """What a refusal says, or at least its name."""
    return bytes(reply_body(parts)).decode("utf-8", "replace") or errors.name_of(parts[0][4])


def size_of_two(parts: Sequence[Frame]) -> int:
    """Bytes of a request's header and separate body; 0 when these are not the frames of one."""
    if len(parts) != 2 or len(parts[0]) != REQUEST_BYTES:
        return 0
    return REQUEST_BYTES + len(parts[1])
