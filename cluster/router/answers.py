"""What a router says itself: the welcome, refusals, leader notices, and the requests it makes of replicas.

Pure: every function returns the frames of one message.
"""

from __future__ import annotations

import msgpack

from ... import __version__
from ...client.protocol import frames
from ...client.protocol.frames import NO_LEADER_KNOWN, NO_SHARD, REPLY, REQUEST, VERSION, Frame
from .config import RouterConfig

RETRY_MS = 50


def welcome_body(config: RouterConfig) -> bytes:
    """What a client needs to know before its first operation: the cluster, and which shard serves which slots."""
    fields = {
        "version": VERSION,
        "server": __version__,
        "cluster_id": config.cluster_id,
        "shards": config.shards,
        "slots": [list(item) for item in config.slots],
    }
    return bytes(msgpack.packb(fields))


def answer(kind: int, request: int, body: bytes) -> list[Frame]:
    """An answer of the router about no shard in particular."""
    header = REPLY.pack(VERSION, kind, NO_SHARD, 0, 0, 0, request, 0, 0, 0, 0, 0, NO_LEADER_KNOWN, 0)
    return frames.request_frames(header, body)


def refusal(
    code: int,
    sentence: str,
    *,
    shard: int = NO_SHARD,
    request: int = 0,
    session: int = 0,
    first_sequence: int = 0,
    term: int = 0,
    retry_after_ms: int = 0,
) -> list[Frame]:
    """A refusal that spends nothing: the message went to no replica."""
    header = REPLY.pack(
        VERSION,
        frames.REFUSED,
        shard,
        code,
        0,
        0,
        request,
        session,
        first_sequence,
        0,
        0,
        term,
        NO_LEADER_KNOWN,
        retry_after_ms,
    )
    return [header + sentence.encode()]


def leader_notice(shard: int, term: int, leader: int) -> list[Frame]:
    """Who leads a shard now, told to every client so that it repeats at once what is unanswered."""
    return [REPLY.pack(VERSION, frames.LEADER, shard, 0, 0, 0, 0, 0, 0, 0, 0, term, leader, 0)]


def ask(kind: int, shard: int, request: int, body: bytes = b"") -> list[Frame]:
    """A request the router makes of a replica for itself: HELLO, STATUS or ADMIN."""
    return [REQUEST.pack(VERSION, kind, shard, 0, 0, 0, request, 0, frames.NO_KEY, 0, 0, 0, 0, 0) + body]
