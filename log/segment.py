"""One segment: a preallocated, mapped file of entries, and numpy arrays that say where each one is and whether it lives.

Layout (docs/log.md): a 64-byte header with two sync-mark slots, then entries, each padded to 8 bytes; a sealed segment has its
arrays and a footer at the very end of the file. It knows nothing of other segments.

Invariants: row = index - first_index (a segment that was never rewritten is dense); offsets strictly increase; `end` is where
the next entry goes; bytes that were handed out are never rewritten; the file is never shortened.
"""

from __future__ import annotations

import struct
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
"""A row of the arrays on disk: offset uint32, released bool, mode uint8."""
ROWS_AT_FIRST = 1024

assert HEAD.size == MARK_OFFSETS[0]
assert MARK_OFFSETS[0] + MARK.size == MARK_OFFSETS[1]
assert MARK_OFFSETS[1] + MARK.size == ENTRIES_START


class Segment:
    """See the module. `count` rows of the arrays are in use."""

    def __init__(self, file: MappedFile, first_index: int, generation: int, version: int) -> None:
        self.file = file
        self.buffer = file.buffer
        self.first_index = first_index
        self.generation = generation
        self.version = version
        self.count = 0
        self.end = ENTRIES_START
        self.offset: npt.NDArray[np.uint32] = np.zeros(ROWS_AT_FIRST, np.uint32)
        self.released: npt.NDArray[np.bool_] = np.zeros(ROWS_AT_FIRST, np.bool_)
        self.mode: npt.NDArray[np.uint8] = np.zeros(ROWS_AT_FIRST, np.uint8)
        self._bytes = np.frombuffer(file.buffer, np.uint8)
        self._next_mark = 0

    @property
    def last_index(self) -> int:
        """Index of the last entry; first_index - 1 when there is none."""
        return self.first_index + self.count - 1

    @classmethod
    def create(
        cls, file: MappedFile, *, shard: int, first_index: int, generation: int, created_ms: int, version: int = 1
    ) -> Segment:
        """Begin a segment in a fresh file of zeros."""
        head = (MAGIC, FORMAT_VERSION, 0, shard, version, first_index, created_ms)
        checksum = crc32(HEAD.pack(*head))
        HEAD.pack_into(file.buffer, 0, *head[:2], checksum, *head[3:])
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
        room = self.file.size - FOOTER.size - ROW_BYTES * self.count - self.end
        entries = entries_max - self.count
        count = len(sizes)
        if count <= entries and data_bytes + ROW_BYTES * count <= room:
            return count
        needed = np.cumsum(sizes, dtype=np.int64) + ROW_BYTES * np.arange(1, count + 1)
        return max(0, min(int(np.searchsorted(needed, room, side="right")), entries))

    def append(self, data: memoryview | bytes, sizes: Sizes) -> None:
        """Append encoded entries: one copy and one update of the arrays, whatever their number."""
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
            self.mode[rows] = self._bytes[starts + MODE_AT]
        self.count += count
        self.end = end

    def _reserve(self, rows: int) -> None:
        size = len(self.offset)
        if rows > size:
            grown = max(rows, 2 * size)
            self.offset = _grown(self.offset, self.count, grown)
            self.released = _grown(self.released, self.count, grown)
            self.mode = _grown(self.mode, self.count, grown)

    def adopt_rows(self, offsets: npt.NDArray[np.uint32], modes: npt.NDArray[np.uint8], end: int) -> None:
        """Take the rows that a scan or the footer found."""
        self.count = len(offsets)
        self.offset = offsets
        self.mode = modes
        self.released = np.zeros(self.count, np.bool_)
        self.end = end

    def cut(self, last_index: int) -> None:
        """Entries above `last_index` do not count any more. The bytes stay, and nothing is appended behind them."""
        count = last_index - self.first_index + 1
        if count < self.count:
            self.end = int(self.offset[count])
            self.count = count

    # -- reading -------------------------------------------------------------------------------------

    def end_of(self, index: int) -> int:
        """Where the entry of `index` ends, padding included."""
        row = index - self.first_index + 1
        return int(self.offset[row]) if row < self.count else self.end

    def offset_of(self, index: int) -> int:
        """Where the entry of `index` begins."""
        return int(self.offset[index - self.first_index])

    def offsets(self, first: int, last: int) -> npt.NDArray[np.uint32]:
        """Where the entries first..last begin."""
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
        count = self.count
        arrays = self.offset[:count].tobytes() + self.released[:count].tobytes() + self.mode[:count].tobytes()
        footer = (FOOTER_MAGIC, count, self.first_index, self.end)
        checksum = crc32(FOOTER.pack(*footer, 0), crc32(arrays))
        return arrays + FOOTER.pack(*footer, checksum)

    def write_seal(self, sealed: bytes) -> None:
        """Put what `seal_bytes` returned behind the entries. Runs on the sync thread, before a sync of the file."""
        start = self.file.size - len(sealed)
        assert start >= self.end, f"{self.file.path}: entries end at {self.end}, the seal begins at {start}"
        self.buffer[start:] = sealed

    def load_rows(self) -> bool:
        """Take the rows from the footer; False when there is none that is valid, and the entries must be scanned."""
        size = self.file.size
        magic, count, first_index, end, checksum = FOOTER.unpack_from(self.buffer, size - FOOTER.size)
        start = size - FOOTER.size - ROW_BYTES * count
        if magic != FOOTER_MAGIC or first_index != self.first_index or not ENTRIES_START <= end <= start:
            return False
        arrays = bytes(self.buffer[start : size - FOOTER.size])
        if crc32(FOOTER.pack(magic, count, first_index, end, 0), crc32(arrays)) != checksum:
            return False
        offsets = np.frombuffer(arrays, np.uint32, count)
        modes = np.frombuffer(arrays, np.uint8, count, offset=5 * count)
        self.adopt_rows(offsets, modes, end)
        return True


Scalar = TypeVar("Scalar", bound=np.generic)


def _grown(array: npt.NDArray[Scalar], used: int, size: int) -> npt.NDArray[Scalar]:
    grown = np.zeros(size, array.dtype)
    grown[:used] = array[:used]
    return grown


def _mark_checksum(index: int) -> int:
    return crc32(index.to_bytes(8, "little"), 0x5EA1)
