"""The messages of the Raft core as frames between the replicas of one shard.

A message is one frame: a fixed header, then for an Append its term runs, the size of each entry and the entries'
bytes. An Install has sizes and bytes too, or, as long as the bytes belong to the snapshot's file, bytes alone. Bytes of
`UNCOPIED_BYTES_MIN` and more travel as a second frame, uncopied, straight from the mapping. All numbers are little-endian:

    B   format version                    Q   term
    B   message type, see KINDS           6Q  the message's numbers, see KINDS; unused ones are 0
    H   shard                             I   the message's booleans, see KINDS: a bit each
    I   sender                            I   term runs: (first index Q, term Q) each
    I   receiver                          I   entries: size in bytes (I) each, padding included
    I   sender's incarnation              Q   bytes behind the sizes
    8s  first half of the cluster id      I   CRC-32 of all of the message but this field

It must never know what a message means. Invariant: whatever the bytes, `decode` returns a message whose numbers agree
with each other and with its entries, or raises BadFrame.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ..client.protocol.limits import UNCOPIED_BYTES_MIN
from . import neighbours
from .raft import messages as raft
from .raft.messages import Append, Install, Message, TermRuns

VERSION = 3

HEADER = struct.Struct("<BBHIII8sQ6QIIIQ")
CHECKSUM = struct.Struct("<I")
RUN = struct.Struct("<QQ")
HEADER_BYTES = HEADER.size + CHECKSUM.size
assert HEADER_BYTES == 104, "the layout in the module docstring; runs and sizes stay aligned behind it"

NUMBERS_MAX = 6

Frame = bytes | memoryview


class Kind(NamedTuple):
    """How one type of message fills the header: its code, its numbers and booleans in order, and if it has `entries`."""

    code: int
    type: type[Message]
    numbers: tuple[str, ...]
    flags: tuple[str, ...] = ()
    carries: bool = False


KINDS = (
    Kind(1, raft.PreVote, ("last_index", "last_term")),
    Kind(2, raft.PreVoteResponse, (), ("granted",)),
    Kind(3, raft.Vote, ("last_index", "last_term"), ("transfer",)),
    Kind(4, raft.VoteResponse, (), ("granted",)),
    Kind(5, raft.Append, ("prev_index", "prev_term", "last_index", "commit_index"), carries=True),
    Kind(
        6,
        raft.AppendResponse,
        ("match_index", "rejected_index", "hint_index", "hint_term", "last_index"),
        ("success",),
    ),
    Kind(7, raft.Heartbeat, ("commit_index", "round", "sent_through")),
    Kind(8, raft.HeartbeatResponse, ("round", "last_index"), ("lost", "probation", "reading")),
    Kind(
        9,
        raft.Install,
        ("snapshot_index", "snapshot_term", "from_index", "position", "snapshot_bytes", "entry_bytes"),
        carries=True,
    ),
    Kind(10, raft.InstallResponse, ("snapshot_index", "from_index", "position"), ("restart",)),
    Kind(11, raft.TimeoutNow, ()),
    Kind(12, raft.Join, ()),
    Kind(13, raft.ProbationQuery, ("nonce",)),
    Kind(14, raft.ProbationAnswer, ("nonce", "index")),
    Kind(20, neighbours.DigestReport, ("index", "digest")),
    Kind(21, neighbours.DigestVerdict, ("index", "digest")),
    Kind(22, neighbours.EntryQuery, ("index", "agreed_index", "agreed_term")),
    Kind(23, neighbours.EntryAnswer, ("index",), carries=True),
)
_BY_CODE = {kind.code: kind for kind in KINDS}
_BY_TYPE = {kind.type: kind for kind in KINDS}
_NO_NUMBERS = (0,) * NUMBERS_MAX


class BadFrame(ValueError):
    """A message that cannot be taken. `reason` is one word, for counting; the text says what was expected and found.

    Reasons: frames, length, version, checksum, cluster, shard, receiver, sender, type, header, entries, install.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class PeerIdentity:
    """Who encodes or decodes. `cluster_id` is 32 hex digits, of which the wire carries the first 16.

    The incarnation that encodes travels with each message; what it is worth is for the receiver's core to say.
    """

    cluster_id: str
    shard: int
    member: int
    incarnation: int
    cluster: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cluster = bytes.fromhex(self.cluster_id)[:8]
        if len(cluster) != 8:
            raise ValueError(f"cluster_id is {self.cluster_id!r}, but needs at least 16 hex digits")
        object.__setattr__(self, "cluster", cluster)


class Entries:
    """What a received Append or Install carries: bytes, and the size of each entry in them (uint32, padded)."""

    __slots__ = ("data", "sizes")

    def __init__(self, data: memoryview, sizes: npt.NDArray[np.uint32]) -> None:
        self.data = data
        self.sizes = sizes


def encode(message: Message, identity: PeerIdentity) -> list[Frame]:
    """The frames of `message`. What it carries is `entries` with .data (buffer) and .sizes (uint32 array), or None."""
    kind = _BY_TYPE[type(message)]
    runs = sizes = b""
    data: Frame = b""
    count = 0
    entries = getattr(message, "entries") if kind.carries else None  # noqa: B009  (not all messages have it)
    if entries is not None:
        sizes, data = entries.sizes.astype("<u4", copy=False).tobytes(), entries.data
        count = len(entries.sizes)
        if type(message) is Append:
            runs = b"".join([RUN.pack(first, term) for first, term in message.runs])
            assert count == message.last_index - message.prev_index, (
                f"{count} entries attached to an Append of ({message.prev_index}, {message.last_index}]"
            )
    values = [getattr(message, name) for name in kind.numbers]
    flags = 0
    if kind.flags:
        for position, name in enumerate(kind.flags):
            flags |= getattr(message, name) << position
    header = HEADER.pack(
        VERSION,
        kind.code,
        identity.shard,
        message.sender,
        message.to,
        identity.incarnation,
        identity.cluster,
        message.term,
        *values,
        *_NO_NUMBERS[len(values) :],
        flags,
        len(runs) // RUN.size,
        count,
        len(data),
    )
    checksum = CHECKSUM.pack(crc32(data, crc32(sizes, crc32(runs, crc32(header)))))
    if len(data) >= UNCOPIED_BYTES_MIN:
        return [b"".join((header, checksum, runs, sizes)), data]
    return [b"".join((header, checksum, runs, sizes, data))]


def decode(frames: Sequence[Frame], identity: PeerIdentity) -> Message:
    """The message that `frames` hold, for `identity` to receive. Raises BadFrame.

    `entries` are `Entries` over the memory of the frames, or None if the message carries no bytes.
    """
    if not 1 <= len(frames) <= 2:
        raise BadFrame("frames", f"a message has one or two frames, this one has {len(frames)}")
    frame = memoryview(frames[0])
    if len(frame) < HEADER_BYTES:
        raise BadFrame("length", f"a header has {HEADER_BYTES} bytes, this frame {len(frame)}")
    if frame[0] != VERSION:
        raise BadFrame("version", f"format version {frame[0]} is not known here, {VERSION} is")
    _, code, shard, sender, to, incarnation, cluster, term, *values, flags, runs, count, size = HEADER.unpack_from(
        frame
    )
    data = _entry_bytes(frame, frames, runs, count, size)
    _check_sum(frame, frames)
    _check_identity(identity, cluster, shard, sender, to)
    kind = _BY_CODE.get(code)
    if kind is None:
        raise BadFrame("type", f"message type {code} is not known here")
    fields = _fields(kind, values, flags)
    if not kind.carries:
        if runs or count or size:
            raise BadFrame("header", f"a {kind.type.__name__} carries no entries")
        return kind.type(term=term, sender=sender, to=to, incarnation=incarnation, **fields)
    if kind.type is Append:
        fields["runs"] = tuple(RUN.iter_unpack(frame[HEADER_BYTES : HEADER_BYTES + runs * RUN.size]))
        _check_append(term, fields, count)
        if size and not count:
            raise BadFrame("entries", f"{size} bytes for no entries")
    elif kind.type is Install:
        _check_install(term, fields, runs, count, size)
    elif runs or count != 1:
        raise BadFrame("entries", f"a {kind.type.__name__} carries one entry, this one {count} of {runs} terms")
    if count or size:
        sizes = np.frombuffer(frame, "<u4", count, HEADER_BYTES + runs * RUN.size)
        if count:
            _check_sizes(sizes, size)
        fields["entries"] = Entries(data, sizes)
    return kind.type(term=term, sender=sender, to=to, incarnation=incarnation, **fields)


def _entry_bytes(frame: memoryview, frames: Sequence[Frame], runs: int, count: int, size: int) -> memoryview:
    """The entries' bytes, after checking every length that the header tells against the frames."""
    start = HEADER_BYTES + runs * RUN.size + count * 4
    if len(frames) == 1:
        if len(frame) != start + size:
            raise BadFrame("length", f"the header tells {start + size} bytes, the frame has {len(frame)}")
        return frame[start:]
    data = memoryview(frames[1])
    if (len(frame), len(data)) != (start, size):
        raise BadFrame("length", f"the header tells {start} + {size} bytes, the frames have {len(frame)} + {len(data)}")
    return data


def _check_sum(frame: memoryview, frames: Sequence[Frame]) -> None:
    checksum = crc32(frame[HEADER_BYTES:], crc32(frame[: HEADER.size]))
    if len(frames) == 2:
        checksum = crc32(frames[1], checksum)
    if checksum != CHECKSUM.unpack_from(frame, HEADER.size)[0]:
        raise BadFrame("checksum", "the message was damaged on its way")


def _check_identity(identity: PeerIdentity, cluster: bytes, shard: int, sender: int, to: int) -> None:
    if cluster != identity.cluster:
        raise BadFrame("cluster", f"replica {sender} is of cluster {cluster.hex()}, we are of {identity.cluster.hex()}")
    if shard != identity.shard:
        raise BadFrame("shard", f"replica {sender} is of shard {shard}, we are of shard {identity.shard}")
    if to != identity.member:
        raise BadFrame("receiver", f"a message for replica {to} reached replica {identity.member}")
    if sender == identity.member:
        raise BadFrame("sender", f"somebody else says to be replica {sender}")


def _fields(kind: Kind, values: Sequence[int], flags: int) -> dict[str, Any]:
    """The numbers and the booleans of a message by name; what its type does not use must be 0."""
    names = kind.flags
    if any(values[len(kind.numbers) :]) or flags >> len(names):
        raise BadFrame("header", f"a {kind.type.__name__} does not use a field that is not 0")
    fields: dict[str, Any] = dict(zip(kind.numbers, values))  # noqa: B905  (what is left over is 0, and asking costs)
    if names:
        for position, name in enumerate(names):
            fields[name] = bool(flags >> position & 1)
    return fields


def _check_append(term: int, fields: dict[str, Any], count: int) -> None:
    """The entries are (prev_index, last_index], their terms rise from prev_term to at most the leader's."""
    prev_index, prev_term, last_index = fields["prev_index"], fields["prev_term"], fields["last_index"]
    runs: TermRuns = fields["runs"]
    if last_index - prev_index != count or bool(runs) != bool(count):
        raise BadFrame("entries", f"({prev_index}, {last_index}] is not {count} entries in {len(runs)} terms")
    if (prev_index == 0 and prev_term != 0) or prev_term > term:
        raise BadFrame("entries", f"entry {prev_index} cannot be of term {prev_term} in term {term}")
    if not runs:
        return
    rising = all(first < next_first and old < new for (first, old), (next_first, new) in pairwise(runs))
    within = runs[0][0] == prev_index + 1 and runs[-1][0] <= last_index and prev_term <= runs[0][1]
    if not (rising and within and runs[0][1] >= 1 and runs[-1][1] <= term):
        raise BadFrame("entries", f"the terms {runs[:3]}... do not fit ({prev_index}, {last_index}] in term {term}")


def _check_install(term: int, fields: dict[str, Any], runs: int, count: int, size: int) -> None:
    """The stream is the snapshot's file, then entries of (from_index, snapshot_index]; a part is of one or the other."""
    first, last, last_term = fields["from_index"], fields["snapshot_index"], fields["snapshot_term"]
    position, snapshot_bytes = fields["position"], fields["snapshot_bytes"]
    total = snapshot_bytes + fields["entry_bytes"]
    if runs:
        raise BadFrame("header", "an Install has no term runs")
    if not (first < last and 1 <= last_term <= term and snapshot_bytes > 0):
        raise BadFrame("install", f"no snapshot of {snapshot_bytes} bytes, ({first}, {last}] in term {last_term}")
    if count:
        fits = position >= snapshot_bytes and count <= last - first
    else:
        fits = not size or position + size <= snapshot_bytes
    if not fits or position + size > total:
        raise BadFrame(
            "install", f"{size} bytes, {count} entries at {position}, do not fit {snapshot_bytes} of {total}"
        )


def _check_sizes(sizes: npt.NDArray[np.uint32], size: int) -> None:
    if len(sizes) == 1:  # as most are, and numpy takes longer to set out than to add
        total, empty = int(sizes[0]), not size
    else:
        total, empty = int(np.add.reduce(sizes, dtype=np.uint64)), np.count_nonzero(sizes) != len(sizes)
    if total != size or empty:
        raise BadFrame("entries", f"{len(sizes)} entries of {total} bytes in all cannot fill {size} bytes")
