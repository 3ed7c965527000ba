"""The snapshot file: what is fixed at index S, and which entries at or below S are live.

Knows the file and its live set; the pieces (sessions, resources, timers, machines) are opaque bytes that the shard room makes and
reads. Layout (docs/log.md): a header, then sections, each with kind, length and checksum and padded to 8 bytes; the last
one, the trailer, counts and checks all others, so that a file which was torn or put together from two is noticed.

Invariants: the live set is ascending, without repetition, above 0 and at or below S; read as hostile input: no length is
believed before it was checked against the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .errors import Corruption, UnknownFormat
from .files import Disk, MappedFile

MAGIC = b"OCELOGSN"
FORMAT_VERSION = 1
HEAD = struct.Struct("<8sIIIIQQ")
"""Magic, format version, crc of the header with this field 0, shard, term of S, S, time of S (ms). In every version."""
SECTION = struct.Struct("<IIQ")
"""Kind, crc of kind, length and data, length of the data."""
TRAILER = struct.Struct("<IIQ")
"""How many sections come before, crc of the header's and their checksums in order, bytes of the whole file."""
LIVE = struct.Struct("<QQI4x")
"""How many live entries, the first one's index, bytes of each of the differences that follow."""

CONFIGURATION, DIGEST, LIVE_SET, PIECE, END = range(1, 6)
_WIDTHS = (1, 2, 4, 8)
_CRC = struct.Struct("<I")

Indexes = npt.NDArray[np.uint64]

assert HEAD.size % 8 == SECTION.size % 8 == LIVE.size % 8 == 0


@dataclass(frozen=True, kw_only=True)
class SnapshotHead:
    """Of which shard, at which index S, that entry's term and time (ms), the rolling digest at S, the configuration at S."""

    shard: int
    index: int
    term: int
    time: int
    digest: bytes
    configuration: bytes


def write_snapshot(disk: Disk, path: str, head: SnapshotHead, live: Indexes, pieces: Iterable[bytes]) -> int:
    """Write a snapshot file whole and sync it; returns its bytes. Its name is not durable yet.

    Raises NoSpace or StorageFailed, and then there is no file.
    """
    return disk.write(path, parts(head, live, pieces))


def parts(head: SnapshotHead, live: Indexes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a snapshot file in parts, as many as there are pieces and a few."""
    fields = (head.shard, head.term, head.index, head.time)
    checksum = crc32(HEAD.pack(MAGIC, FORMAT_VERSION, 0, *fields))
    yield HEAD.pack(MAGIC, FORMAT_VERSION, checksum, *fields)
    total, count, checksums = HEAD.size, 0, crc32(_CRC.pack(checksum))
    for kind, data in _sections(head, live, pieces):
        checksum = _checksum(kind, data)
        yield SECTION.pack(kind, checksum, len(data))
        yield data
        yield bytes(-len(data) % 8)
        total += _taken(len(data))
        count += 1
        checksums = crc32(_CRC.pack(checksum), checksums)
    trailer = TRAILER.pack(count, checksums, total + _taken(TRAILER.size))
    yield SECTION.pack(END, _checksum(END, trailer), len(trailer)) + trailer


def _sections(head: SnapshotHead, live: Indexes, pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    yield CONFIGURATION, head.configuration
    yield DIGEST, head.digest
    yield LIVE_SET, encode_live(live, head.index)
    for piece in pieces:
        yield PIECE, piece


def _checksum(kind: int, data: bytes | memoryview) -> int:
    return crc32(data, crc32(SECTION.pack(kind, 0, len(data))))


def _taken(length: int) -> int:
    """Bytes that a section with this much data takes in the file."""
    return SECTION.size + length + -length % 8


def encode_live(live: Indexes, snapshot_index: int) -> bytes:
    """A live set as the first index and the differences, each as narrow as the widest of them allows."""
    if not len(live):
        return LIVE.pack(0, 0, _WIDTHS[0])
    assert live[0] >= 1 and live[-1] <= snapshot_index, f"live entries {live[0]}..{live[-1]}, S is {snapshot_index}"
    assert (live[1:] > live[:-1]).all(), "a live set ascends"
    differences = np.diff(live)
    widest = int(differences.max()) if len(differences) else 0
    width = next(width for width in _WIDTHS if widest < 1 << 8 * width)
    return LIVE.pack(len(live), int(live[0]), width) + differences.astype(f"<u{width}").tobytes()


def decode_live(data: memoryview, snapshot_index: int) -> Indexes:
    """The live set that `encode_live` encoded. Raises ValueError saying what is wrong."""
    if len(data) < LIVE.size:
        raise ValueError(f"the live set has {len(data)} bytes")
    count, first, width = LIVE.unpack_from(data)
    if width not in _WIDTHS or len(data) != LIVE.size + width * max(0, count - 1):
        raise ValueError(f"{count} live entries of {width} bytes each in {len(data)} bytes")
    live = np.empty(count, np.uint64)
    if count:
        live[0] = first
        live[1:] = np.frombuffer(data, f"<u{width}", offset=LIVE.size)
        np.cumsum(live, out=live)
        if first < 1 or int(live[-1]) > snapshot_index or not (live[1:] > live[:-1]).all():
            raise ValueError(f"the live entries do not ascend from 1 to {snapshot_index}")
    return live


class Snapshot:
    """A snapshot file that was read and found sound. Made by `open` or `parse`; its memory is the file's."""

    def __init__(self, file: MappedFile, head: SnapshotHead, live: Indexes, pieces: list[memoryview]) -> None:
        self.file = file
        self.head = head
        self.live = live
        self._pieces = pieces

    @property
    def path(self) -> str:
        """Where it is."""
        return self.file.path

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.file.size

    def pieces(self) -> Iterator[memoryview]:
        """What `write_snapshot` was given, in the same order, uncopied."""
        return iter(self._pieces)

    @classmethod
    def open(cls, disk: Disk, path: str, shard: int | None) -> Snapshot:
        """Map a snapshot and verify all of it. Raises Corruption, UnknownFormat, FileNotFoundError."""
        return cls.parse(disk.open(path), shard)

    @classmethod
    def parse(cls, file: MappedFile, shard: int | None) -> Snapshot:
        """Verify a snapshot in memory, of this shard (None: of any). Raises Corruption, UnknownFormat."""
        in_shard, term, index, time, checksum = _head(file, shard)
        sections = _read_sections(file, checksum)
        kinds = [kind for kind, _, _ in sections]
        if kinds != [CONFIGURATION, DIGEST, LIVE_SET] + [PIECE] * (len(kinds) - 3):
            raise Corruption(file.path, f"its sections are of the kinds {kinds[:5]}...", offset=HEAD.size)
        (_, _, configuration), (_, _, digest), (_, live_at, live_data), *rest = sections
        try:
            live = decode_live(live_data, index)
        except ValueError as error:
            raise Corruption(file.path, str(error), offset=live_at) from None
        head = SnapshotHead(
            shard=in_shard, index=index, term=term, time=time, digest=bytes(digest), configuration=bytes(configuration)
        )
        return cls(file, head, live, [data for _, _, data in rest])


def _head(file: MappedFile, shard: int | None) -> tuple[int, int, int, int, int]:
    path = file.path
    if file.size < HEAD.size:
        raise Corruption(path, f"it has {file.size} bytes, fewer than its header's {HEAD.size}")
    magic, version, checksum, in_shard, term, index, time = HEAD.unpack_from(file.buffer)
    if magic != MAGIC:
        raise Corruption(path, f"it begins with {magic!r} and not with {MAGIC!r}", offset=0)
    if crc32(HEAD.pack(magic, version, 0, in_shard, term, index, time)) != checksum:
        raise Corruption(path, "the checksum does not fit the header", offset=0)
    if version != FORMAT_VERSION:
        raise UnknownFormat(path, version, FORMAT_VERSION)
    if shard is not None and in_shard != shard:
        raise Corruption(path, f"it is of shard {in_shard} and should be of shard {shard}", offset=16)
    return in_shard, term, index, time, checksum


def _read_sections(file: MappedFile, header_checksum: int) -> list[tuple[int, int, memoryview]]:
    """Kind, offset and data of every section before the trailer. Raises Corruption."""
    position, checksums = HEAD.size, crc32(_CRC.pack(header_checksum))
    found: list[tuple[int, int, memoryview]] = []
    while True:
        kind, checksum, data = _read_section(file, position)
        if kind == END:
            break
        found.append((kind, position, data))
        checksums = crc32(_CRC.pack(checksum), checksums)
        position += _taken(len(data))
    whole = TRAILER.pack(len(found), checksums, file.size)
    if data != whole:
        raise Corruption(file.path, "its trailer does not fit what comes before it", offset=position)
    return found


def _read_section(file: MappedFile, position: int) -> tuple[int, int, memoryview]:
    """Kind, checksum and data of the section at `position`. Raises Corruption."""
    left = file.size - position - SECTION.size
    if left < 0:
        raise Corruption(file.path, "it ends without a trailer", offset=position)
    kind, checksum, length = SECTION.unpack_from(file.buffer, position)
    padding = -length % 8
    if length + padding > left:
        raise Corruption(file.path, f"a section of {length} bytes does not fit into {left}", offset=position)
    start = position + SECTION.size
    data = file.buffer[start : start + length]
    if _checksum(kind, data) != checksum or any(file.buffer[start + length : start + length + padding]):
        raise Corruption(file.path, "the checksum does not fit the section", offset=position)
    return kind, checksum, data
