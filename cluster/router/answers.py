"""What a router says itself: the welcome, refusals, leader notices, and the requests it makes of replicas.

Pure: every function returns the frames of one message.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from ... import __version__
from ...client.protocol import frames
from ...client.protocol.events import Route, pack_routes
from ...client.protocol.frames import NO_LEADER_KNOWN, NO_SHARD, REPLY, REQUEST, VERSION, Frame
from .config import RouterConfig

RETRY_MS = 50


def welcome_body(config: RouterConfig, routers: Sequence[str]) -> bytes:
    """What a client needs to know before its first operation: the cluster, where its routers are, which shard serves
    which slots.
    """
    fields = {
        "version": VERSION,
        "server": __version__,
        "cluster_id": config.cluster_id,
        "shards": config.shards,
        "slots": [list(item) for item in config.slots],
        "routers": list(routers),
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


def ask(kind: int, shard: int, request: int, body: bytes = b"", count: int = 0) -> list[Frame]:
    """What the router says to a replica for itself: HELLO, STATUS, ADMIN, ROUTES or GONE."""
    return [REQUEST.pack(VERSION, kind, shard, 0, 0, count, request, 0, frames.NO_KEY, 0, 0, 0, 0, 0) + body]


def routes(kind: int, shard: int, some: Sequence[Route]) -> list[Frame]:
    """Where sessions of a shard are (ROUTES), or are no more (GONE)."""
    return ask(kind, shard, 0, pack_routes(some), len(some))
