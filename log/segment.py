"""One segment: a mapped file of entries, and numpy arrays that say where each one is and whether it lives.

Layout (docs/log.md): a 64-byte header with two sync-mark slots, then entries, each padded to 8 bytes; a sealed segment has its
arrays and a footer at the very end of the file. It knows nothing of other segments.

A segment that was never rewritten (version 1) is *dense*: row = index - first_index. A rewritten or installed one (version 2
and up) is *sparse*: it has rows only for the entries that are there, their sorted indexes beside them, and it covers a
range of indexes that it need not fill.

Invariants: offsets strictly increase; `end` is where the next entry goes; bytes that were handed out are never rewritten; the
file is never shortened.
"""

from __future__ import annotations

import struct
from copy import copy
from typing import TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .entry import MODE_AT, Sizes
from .errors import Corruption, UnknownFormat
from .files import MappedFile

MAGIC = b"OCELOGSG"
FORMAT_VERSION = 1
HEAD = struct.Struct("<8sIIIIQQ")
"""Magic, format version, crc of the header with this field 0, shard, segment version, first index, created (ms)."""
MARK = struct.Struct("<QI")
"""Index synced through, crc."""
MARK_OFFSETS = (40, 52)
ENTRIES_START = 64
FOOTER = struct.Struct("<8sIQQI")
"""Magic, entry count, first index, end of the entries, crc of the arrays and of the footer with this field 0."""
FOOTER_MAGIC = b"OCELOGFT"
ROW_BYTES = 6
"""A row of a dense segment's arrays on disk: offset uint32, released bool, mode uint8."""
SPARSE_FOOTER_MAGIC = b"OCELOGFS"
SPARSE_ROW_BYTES = 14
"""A row of a sparse segment's arrays on disk: index uint64, offset uint32, mode uint8, released bool."""
SPARSE_VERSION_MIN = 2
ROWS_AT_FIRST = 1024

Indexes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

assert HEAD.size == MARK_OFFSETS[0]
assert MARK_OFFSETS[0] + MARK.size == MARK_OFFSETS[1]
assert MARK_OFFSETS[1] + MARK.size == ENTRIES_START


class Segment:
    """See the module. `count` rows of the arrays are in use; `index` is None in a dense segment."""

    def __init__(self, file: MappedFile, first_index: int, generation: int, version: int) -> None:
        self.file = file
        self.buffer = file.buffer
        self.first_index = first_index
        self.generation = generation
        self.version = version
        self.count = 0
        self.end = ENTRIES_START
        self.index: Indexes | None = None if version < SPARSE_VERSION_MIN else np.zeros(ROWS_AT_FIRST, np.uint64)
        self._covers_to = first_index - 1
        self.offset: npt.NDArray[np.uint32] = np.zeros(ROWS_AT_FIRST, np.uint32)
        self.released: npt.NDArray[np.bool_] = np.zeros(ROWS_AT_FIRST, np.bool_)
        self.mode: npt.NDArray[np.uint8] = np.zeros(ROWS_AT_FIRST, np.uint8)
        self.bytes = np.frombuffer(file.buffer, np.uint8)
        self._next_mark = 0

    @property
    def last_index(self) -> int:
        """Where a dense segment ends: its last entry, first_index - 1 when there is none; and up to where a sparse one covers."""
        return self.first_index + self.count - 1 if self.index is None else self._covers_to

    @classmethod
    def create(
        cls, file: MappedFile, *, shard: int, first_index: int, generation: int, created_ms: int, version: int = 1
    ) -> Segment:
        """Begin a segment in a fresh file of zeros."""
        file.buffer[:ENTRIES_START] = header(
            shard=shard, first_index=first_index, version=version, created_ms=created_ms
        )
        return cls(file, first_index, generation, version)

    @classmethod
    def map(cls, file: MappedFile, *, shard: int, first_index: int, generation: int) -> Segment:
        """Map an existing file and check its header; the rows come from `load_rows` or a scan.

        Raises Corruption or UnknownFormat.
        """
        path = file.path
        if file.size < ENTRIES_START + FOOTER.size:
            raise Corruption(path, f"it has {file.size} bytes, fewer than the smallest segment")
        magic, format_version, checksum, in_shard, version, index, created = HEAD.unpack_from(file.buffer)
        if magic != MAGIC:
            raise Corruption(path, f"it begins with {magic!r} and not with {MAGIC!r}", offset=0)
        if crc32(HEAD.pack(magic, format_version, 0, in_shard, version, index, created)) != checksum:
            raise Corruption(path, "the checksum does not fit the header", offset=0)
        if format_version != FORMAT_VERSION:
            raise UnknownFormat(path, format_version, FORMAT_VERSION)
        if in_shard != shard or index != first_index:
            raise Corruption(
                path, f"it is of shard {in_shard} from entry {index} on, and its name says otherwise", offset=16
            )
        return cls(file, first_index, generation, version)

    # -- appending -----------------------------------------------------------------------------------

    def fitting(self, sizes: Sizes, data_bytes: int, entries_max: int) -> int:
        """How many of the next entries, of these padded sizes, fit; their rows and the footer are kept free."""
        row_bytes = ROW_BYTES if self.index is None else SPARSE_ROW_BYTES
        room = self.file.size - FOOTER.size - row_bytes * self.count - self.end
        entries = entries_max - self.count
        count = len(sizes)
        if count <= entries and data_bytes + row_bytes * count <= room:
            return count
        needed = np.cumsum(sizes, dtype=np.int64) + row_bytes * np.arange(1, count + 1)
        return max(0, min(int(np.searchsorted(needed, room, side="right")), entries))

    def append(self, data: memoryview | bytes, sizes: Sizes, indexes: Indexes | None = None) -> None:
        """Append encoded entries: one copy and one update of the arrays, whatever their number.

        A sparse segment needs their `indexes`, above all that it has; it covers up to the last of them then.
        """
        first_row, count = self.count, len(sizes)
        end = self.end + len(data)
        self.buffer[self.end : end] = data
        self._reserve(first_row + count)
        if count == 1:
            self.offset[first_row] = self.end
            self.mode[first_row] = self.buffer[self.end + MODE_AT]
        else:
            starts = np.cumsum(sizes, dtype=np.int64)
            assert int(starts[-1]) == len(data), f"sizes sum to {int(starts[-1])}, the data has {len(data)} bytes"
            starts += self.end
            starts -= sizes
            rows = slice(first_row, first_row + count)
            self.offset[rows] = starts
            self.mode[rows] = self.bytes[starts + MODE_AT]
        if self.index is not None and indexes is not None:
            self.index[first_row : first_row + count] = indexes
            self._covers_to = int(indexes[-1])
        self.count += count
        self.end = end

    def _reserve(self, rows: int) -> None:
        size = len(self.offset)
        if rows > size:
            grown = max(rows, 2 * size)
            self.offset = _grown(self.offset, self.count, grown)
            self.released = _grown(self.released, self.count, grown)
            self.mode = _grown(self.mode, self.count, grown)
            if self.index is not None:
                self.index = _grown(self.index, self.count, grown)

    def adopt_rows(
        self, offsets: npt.NDArray[np.uint32], modes: npt.NDArray[np.uint8], end: int, index: Indexes | None = None
    ) -> None:
        """Take the rows that a scan, the footer or a writer found; a sparse segment's with their indexes."""
        assert (index is None) == (self.index is None), f"{self.file.path} has version {self.version}"
        self.count = len(offsets)
        self.offset = offsets
        self.mode = modes
        self.index = index
        self.released = np.zeros(self.count, np.bool_)
        self.end = end

    def cut(self, last_index: int) -> None:
        """Entries above `last_index` do not count any more. The bytes stay, and nothing is appended behind them.

        It is also what tells a sparse segment up to where it covers.
        """
        count = self.rows_through(last_index)
        if self.index is not None:
            self._covers_to = last_index
        if count < self.count:
            self.end = int(self.offset[count])
            self.count = count

    def as_it_stands(self) -> Segment:
        """The same segment for a job beside the loop, for which it stays as long as it is now, whatever is cut or appended."""
        return copy(self)

    # -- reading -------------------------------------------------------------------------------------

    def row_of(self, index: int) -> int:
        """The row of an entry. Raises Corruption when it is not there."""
        if self.index is None:
            row = index - self.first_index
            if 0 <= row < self.count:
                return row
        else:
            # As a Python int it would have numpy widen a copy of all the indexes.
            row = int(np.searchsorted(self.index[: self.count], np.uint64(index)))
            if row < self.count and int(self.index[row]) == index:
                return row
        raise Corruption(self.file.path, "the entry is missing", index=index)

    def rows_of(self, indexes: Indexes) -> Rows:
        """The rows of entries, in the order of their indexes, ascending. Raises Corruption naming the first that is not there."""
        if self.index is None:
            # An index below the first one wraps around, which as a signed number is below zero.
            rows = (indexes - np.uint64(self.first_index)).view(np.int64)
            found = (rows >= 0) & (rows < self.count)
        elif len(indexes) == self.count and np.array_equal(self.index[: self.count], indexes):
            # All of them, as after a major compaction: no need to search.
            return np.arange(self.count)
        else:
            rows, found = self.find(indexes)
        if not found.all():
            raise Corruption(self.file.path, "the entry is missing", index=int(indexes[np.argmin(found)]))
        return rows

    def find(self, indexes: Indexes) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Of a sparse segment: the rows where these entries are, or would be, and whether each is there."""
        assert self.index is not None, "in a dense segment there is nothing to look for"
        present = self.index[: self.count]
        rows = np.searchsorted(present, indexes)
        found = rows < self.count
        found[found] = present[rows[found]] == indexes[found]
        return rows, found

    def rows_through(self, index: int) -> int:
        """How many rows are of entries up to `index`."""
        if self.index is None:
            return min(max(index - self.first_index + 1, 0), self.count)
        return int(np.searchsorted(self.index[: self.count], np.uint64(index), side="right"))

    def indexes(self, rows: Rows | None = None) -> Indexes:
        """The indexes of rows, of all by default."""
        if self.index is not None:
            return self.index[: self.count] if rows is None else self.index[rows]
        return ((np.arange(self.count) if rows is None else rows) + self.first_index).astype(np.uint64)

    def sizes(self, rows: Rows | None = None) -> Sizes:
        """Bytes of the entries of ascending rows, of all by default, padding included."""
        if rows is None:
            rows = np.arange(self.count)
        ends = self.offset[np.minimum(rows + 1, self.count - 1)]
        if len(rows) and rows[-1] == self.count - 1:
            ends[-1] = self.end
        return ends - self.offset[rows]

    def end_of(self, index: int) -> int:
        """Where the entry of `index` ends, padding included."""
        row = self.row_of(index) + 1
        return int(self.offset[row]) if row < self.count else self.end

    def offset_of(self, index: int) -> int:
        """Where the entry of `index` begins. Raises Corruption when it is not there."""
        return int(self.offset[self.row_of(index)])

    def offsets(self, first: int, last: int) -> npt.NDArray[np.uint32]:
        """Where the entries first..last of a dense segment begin."""
        assert self.index is None, f"{self.file.path} is sparse"
        return self.offset[first - self.first_index : last - self.first_index + 1]

    # -- durability ----------------------------------------------------------------------------------

    def mark_synced(self, index: int) -> None:
        """Write the sync mark. It is true already, since that sync is over, and durable with the next one."""
        MARK.pack_into(self.buffer, MARK_OFFSETS[self._next_mark], index, _mark_checksum(index))
        self._next_mark ^= 1

    def synced_through(self) -> int:
        """The higher one of the valid sync marks, 0 without one."""
        best = 0
        for slot, offset in enumerate(MARK_OFFSETS):
            index, checksum = MARK.unpack_from(self.buffer, offset)
            if index > best and checksum == _mark_checksum(index):
                best = index
                self._next_mark = slot ^ 1
        return best

    def seal_bytes(self) -> bytes:
        """The arrays and the footer, as they stand at the end of a sealed file."""
        rows = slice(self.count)
        index = None if self.index is None else self.index[rows]
        return seal(self.first_index, self.end, self.offset[rows], self.mode[rows], self.released[rows], index)

    def write_seal(self, sealed: bytes) -> None:
        """Put what `seal_bytes` returned behind the entries. Runs on the sync thread, before a sync of the file."""
        start = self.file.size - len(sealed)
        assert start >= self.end, f"{self.file.path}: entries end at {self.end}, the seal begins at {start}"
        self.buffer[start:] = sealed

    def load_rows(self) -> bool:
        """Take the rows from the footer; False when there is none that is valid, and the entries must be scanned.

        A sparse segment covers up to its last entry then; `cut` says what it really covers.
        """
        size = self.file.size
        magic, count, first_index, end, checksum = FOOTER.unpack_from(self.buffer, size - FOOTER.size)
        sparse = self.index is not None
        known_magic, row_bytes = (SPARSE_FOOTER_MAGIC, SPARSE_ROW_BYTES) if sparse else (FOOTER_MAGIC, ROW_BYTES)
        start = size - FOOTER.size - row_bytes * count
        if magic != known_magic or first_index != self.first_index or not ENTRIES_START <= end <= start:
            return False
        arrays = bytes(self.buffer[start : size - FOOTER.size])
        if crc32(FOOTER.pack(magic, count, first_index, end, 0), crc32(arrays)) != checksum:
            return False
        if sparse:
            index = np.frombuffer(arrays, np.uint64, count)
            offsets = np.frombuffer(arrays, np.uint32, count, offset=8 * count)
            modes = np.frombuffer(arrays, np.uint8, count, offset=12 * count)
            self.adopt_rows(offsets, modes, end, index)
            self._covers_to = int(index[-1]) if count else self.first_index - 1
        else:
            offsets = np.frombuffer(arrays, np.uint32, count)
            modes = np.frombuffer(arrays, np.uint8, count, offset=5 * count)
            self.adopt_rows(offsets, modes, end)
        return True


def header(*, shard: int, first_index: int, version: int, created_ms: int) -> bytes:
    """The first ENTRIES_START bytes of a segment's file, without a sync mark."""
    head = (MAGIC, FORMAT_VERSION, 0, shard, version, first_index, created_ms)
    checksum = crc32(HEAD.pack(*head))
    return HEAD.pack(*head[:2], checksum, *head[3:]).ljust(ENTRIES_START, b"\0")


def seal(
    first_index: int,
    end: int,
    offset: npt.NDArray[np.uint32],
    mode: npt.NDArray[np.uint8],
    released: npt.NDArray[np.bool_],
    index: Indexes | None = None,
) -> bytes:
    """The arrays and the footer of a segment whose entries end at `end`; with `index`, of a sparse one."""
    if index is None:
        arrays = offset.tobytes() + released.tobytes() + mode.tobytes()
    else:
        arrays = index.tobytes() + offset.tobytes() + mode.tobytes() + released.tobytes()
    footer = (FOOTER_MAGIC if index is None else SPARSE_FOOTER_MAGIC, len(offset), first_index, end)
    checksum = crc32(FOOTER.pack(*footer, 0), crc32(arrays))
    return arrays + FOOTER.pack(*footer, checksum)


Scalar = TypeVar("Scalar", bound=np.generic)


def _grown(array: npt.NDArray[Scalar], used: int, size: int) -> npt.NDArray[Scalar]:
    grown = np.zeros(size, array.dtype)
    grown[:used] = array[:used]
    return grown


def _mark_checksum(index: int) -> int:
    return crc32(index.to_bytes(8, "little"), 0x5EA1)
