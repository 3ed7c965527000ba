"""Targets on the wire: what a client, a router or a peer may be sent by anybody who reaches its socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import msgpack
from ocelog.client.protocol import admin, events, frames, operations, outcomes, values
from ocelog.client.protocol.errors import OcelogError
from ocelog.cluster.router import gather
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest, CompactionResult, GroupResult
from ocelog.log.manifest import SegmentRecord
from ocelog.shard import peers
from ocelog.shard.neighbours import DigestReport, EntryQuery
from ocelog.shard.raft import messages as raft

from tests.vectors.wire import unhexed

from .target import Target

VECTORS = Path(__file__).parent.parent / "vectors"

IDENTITY = peers.PeerIdentity(cluster_id="ab" * 16, shard=3, member=1, incarnation=1)
SENDER = peers.PeerIdentity(cluster_id="ab" * 16, shard=3, member=0, incarnation=1)


def vectors(name: str) -> list[list[bytes]]:
    """The frames of every line of a file of vectors."""
    lines = (VECTORS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [[unhexed(frame) for frame in json.loads(line)["frames"]] for line in lines]


def split(data: bytes, header_bytes: int) -> list[bytes]:
    """An input as frames: its first byte says whether header and body come apart. Malformed counts are for the unit tests."""
    if data[:1] == b"\xfe":
        return [data[1 : 1 + header_bytes], data[1 + header_bytes :]]
    return [data]


def joined(frames_of_one: list[bytes]) -> bytes:
    """The input that `split` makes these frames of."""
    return frames_of_one[0] if len(frames_of_one) == 1 else b"\xfe" + b"".join(frames_of_one)


def request(data: bytes) -> None:
    """A message to the cluster, and its body as each of those that read it would."""
    header, body = frames.parse_request(split(data, frames.REQUEST_BYTES))
    readers: dict[int, Callable[[], object]] = {
        frames.COMMAND: lambda: frames.unpack_parts(body, header.count),
        frames.QUERY: lambda: frames.unpack_parts(body, header.count),
        frames.KEEP_ALIVE: lambda: events.unpack_handled(body),
        frames.HANDLED: lambda: events.unpack_handled(body),
        frames.SETTLE: lambda: events.unpack_indexes(body, header.count),
        frames.OUTCOME: lambda: outcomes.unpack_outcome_query(body),
        frames.ADMIN: lambda: admin.unpack_admin(body),
        frames.ROUTES: lambda: events.unpack_routes(body, header.count),
        frames.GONE: lambda: events.unpack_routes(body, header.count),
    }
    readers.get(header.kind, lambda: None)()


def reply(data: bytes) -> None:
    """A message to a client, and its body."""
    header, body = frames.parse_reply(split(data, frames.REPLY_BYTES))
    if header.kind == frames.RESULTS:
        frames.unpack_results(body, header.count)
    elif header.kind == frames.ANSWERS:
        frames.unpack_parts(body, header.count)
    elif header.kind == frames.EVENTS:
        for payload in frames.unpack_results(body, header.count)[1]:
            events.unpack_batch(payload)
    elif header.kind == frames.SETTLED:
        events.unpack_indexes(body, header.count)
    elif header.kind == frames.OUTCOME_REPORT:
        outcomes.unpack_outcome(body)


def bundle(data: bytes) -> None:
    """What router and replica send each other; after a mark, the second byte is the length of a separate body."""
    body = data[1] if data[:1] == b"\xfe" and len(data) > 1 else 0
    parts = [data[2 : len(data) - body], data[len(data) - body :]] if body else [data]
    for item in frames.unpack_bundle(parts):
        assert item.frames


def operation(data: bytes) -> None:
    """An operation under the limits; one that is admitted is read the same way without them."""
    assert operations.decode(data) == operations.decode(data, None) or b"\xca" in data or b"\xcb" in data  # NaN


def value(data: bytes) -> None:
    """A value, as a client reads it from a machine."""
    values.decode(data)


def status(data: bytes) -> None:
    """What a replica reports of itself, merged with another's report."""
    report = gather.decoded(data)
    gather.merged("ab" * 16, 1, 2, {} if report is None else {0: report, 1: dict(report, role="leader", term=3)})


def peer(data: bytes) -> None:
    """A message from another replica of the shard."""
    peers.decode([data], IDENTITY)


def peer_repaired(data: bytes) -> bytes:
    """The same with a checksum that fits."""
    if len(data) < peers.HEADER_BYTES:
        return data
    head, rest = data[: peers.HEADER.size], data[peers.HEADER_BYTES :]
    return head + peers.CHECKSUM.pack(crc32(rest, crc32(head))) + rest


def peer_samples() -> list[bytes]:
    """A message of most kinds."""
    frame = {"term": 7, "sender": 0, "to": 1}
    made = [
        raft.PreVote(**frame, last_index=9, last_term=6),
        raft.Vote(**frame, last_index=9, last_term=6, transfer=True),
        raft.VoteResponse(**frame, granted=True),
        raft.Append(**frame, prev_index=4, prev_term=6, last_index=4, commit_index=4, runs=(), entries=None),
        raft.AppendResponse(
            **frame, match_index=4, rejected_index=0, hint_index=0, hint_term=0, last_index=4, success=True
        ),
        raft.Heartbeat(**frame, commit_index=4, round=3, sent_through=4),
        raft.HeartbeatResponse(**frame, round=3, last_index=4, lost=False, probation=False, reading=True),
        raft.InstallResponse(**frame, snapshot_index=9, from_index=0, position=64, restart=False),
        raft.TimeoutNow(**frame),
        DigestReport(**frame, index=512, digest=99),
        EntryQuery(**frame, index=4, agreed_index=9, agreed_term=6),
    ]
    carrying = peers.HEADER.pack(
        *(peers.VERSION, 5, 3, 0, 1, 1, IDENTITY.cluster, 7), *(4, 6, 6, 4, 0, 0), *(0, 1, 2, 96)
    )
    body = peers.RUN.pack(5, 7) + (48).to_bytes(4, "little") * 2 + bytes(96)
    return [b"".join(peers.encode(message, SENDER)) for message in made] + [
        peer_repaired(carrying + bytes(peers.CHECKSUM.size) + body)
    ]


def compaction_samples() -> list[bytes]:
    """A request to the compactor, and its answer."""
    group = CompactionGroup((SegmentRecord(1, 3, 1, 40), SegmentRecord(41, 4, 2, 80)), 9)
    asked = CompactionRequest(directory="/d", shard=0, snapshot_path="/d/snapshots/80-2.snap", groups=(group,))
    damaged = ("/d/log/1-3.seg", 64, None)
    told = CompactionResult(
        groups=(
            GroupResult(generation=9, entries=4, bytes=900, seconds=0.1),
            GroupResult(generation=10, damaged=damaged),
        )
    )
    return [asked.to_wire(), told.to_wire()]


def compaction(data: bytes) -> None:
    """What replica and compactor send each other."""
    for kind in (CompactionRequest, CompactionResult):
        try:
            kind.from_wire(data)
        except ValueError:
            continue


def bundle_samples() -> list[bytes]:
    """The bundles of the vectors, and one with a separate body."""
    apart = frames.pack_bundle([frames.Item(7, [b"head", b"body of its own"]), frames.Item(8, [b"x"])])
    body = bytes(apart[1])
    return [parts[0] for parts in vectors("bundles") if len(parts) == 1] + [
        b"\xfe" + bytes([len(body)]) + bytes(apart[0]) + body
    ]


def targets() -> list[Target]:
    """All of them."""
    messages = [joined(parts) for parts in vectors("messages") + vectors("malformed") if parts]
    decoders = [parts[0] for name in ("operations", "values") for parts in vectors(name)]
    report = msgpack.packb({"role": "follower", "term": 3, "commit_index": 9, "applied_index": 9})
    return [
        Target(name="request", run=request, samples=messages, accepted=(frames.BadFrame,)),
        Target(name="reply", run=reply, samples=messages, accepted=(frames.BadFrame,)),
        Target(name="bundle", run=bundle, samples=bundle_samples(), accepted=(frames.BadFrame,)),
        Target(name="operation", run=operation, samples=decoders, accepted=(operations.BadOperation,)),
        Target(name="value", run=value, samples=decoders, accepted=(OcelogError,)),
        Target(name="status", run=status, samples=[report], accepted=()),
        Target(name="peer", run=peer, samples=peer_samples(), accepted=(peers.BadFrame,), repaired=peer_repaired),
        Target(name="compaction", run=compaction, samples=compaction_samples(), accepted=(ValueError,)),
    ]
