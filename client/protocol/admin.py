"""The body of an ADMIN message: what an operator asks of replicas, beside their work.

Pure. Client, router and replica use the same two functions, so what one asks the other understands.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from .frames import BadFrame, Frame

COMPACT = "compact"
SNAPSHOT = "snapshot"
ACTIONS = (COMPACT, SNAPSHOT)

BODY_BYTES_MAX = 1024


class AdminRequest(NamedTuple):
    """`what` is one of ACTIONS; `major` asks for a major compaction and means nothing for a snapshot."""

    what: str
    major: bool = False


def pack_admin(request: AdminRequest) -> bytes:
    """The body that stands for a request."""
    return bytes(msgpack.packb({"what": request.what, "major": request.major}))


def unpack_admin(body: Frame) -> AdminRequest:
    """The request in a body; entries that are not known here are ignored. Raises BadFrame."""
    if len(body) > BODY_BYTES_MAX:
        raise BadFrame(f"the body of an ADMIN message has at most {BODY_BYTES_MAX} bytes, this one {len(body)}")
    try:
        fields = msgpack.unpackb(body, raw=False, max_ext_len=0)
    except Exception:  # msgpack raises a dozen unrelated types on bad bytes
        raise BadFrame("the body of an ADMIN message is msgpack, and this one is not") from None
    if not isinstance(fields, dict):
        raise BadFrame("the body of an ADMIN message is a map, and this one is not")
    what, major = fields.get("what"), fields.get("major", False)
    if what not in ACTIONS:
        raise BadFrame(f"an ADMIN message asks for {' or '.join(ACTIONS)}, not for {what!r:.40}")
    if type(major) is not bool:
        raise BadFrame(f"'major' is true or false, not {major!r:.40}")
    return AdminRequest(what, major)
