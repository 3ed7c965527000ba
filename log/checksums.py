"""Verifies many entries at once: as strict as one by one, at the speed of one checksum over all of them.

A message that is followed by its own CRC leaves no remainder, and what leaves none still leaves none with others before and
behind it. So in a copy of the entries each checksum is moved from before its entry to behind it, and one CRC over the whole
copy tells whether all of them fit. Damage to any one entry is noticed exactly as its own checksum notices it; that of
several could cancel out once in 2^32.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .entry import HEADER_BYTES, KIND_AT, KINDS, MODE_AT, MODES, Sizes, damage, padded
from .errors import Corruption
from .segment import Indexes, Rows, Segment

PIECE_BYTES = 1 << 20
"""Entries that are gathered at once: what it takes to gather them stays in the processor's cache."""
SINGLY_MAX = 8
"""So few entries are checked one by one: setting out to check them together costs as much."""
_LENGTH_AND_INDEX = Struct("<IQ")
_ONES = np.uint32(0xFFFFFFFF)

Bytes = npt.NDArray[np.uint8]


def pieces(sizes: Sizes) -> list[slice]:
    """Cut entries of these sizes into pieces of about PIECE_BYTES, and at least one entry."""
    taken = np.cumsum(sizes, dtype=np.int64)
    begin, found = 0, []
    while begin < len(sizes):
        before = int(taken[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(taken, before + PIECE_BYTES, side="right")))
        found.append(slice(begin, end))
        begin = end
    return found


class EntryCopier:
    """Copies entries out of segments and verifies them. Keeps its working memory, and so is for one thread.

    Fresh memory for every piece would cost as much as the work: the system clears each page that it gives.
    """

    def __init__(self) -> None:
        self._moved = np.zeros(0, np.uint8)
        self._positions = np.zeros(0, np.int64)

    def copy(self, segment: Segment, rows: Rows) -> Bytes:
        """The entries in ascending rows, one behind the other: one numpy call, however they are strewn."""
        words = np.frombuffer(segment.buffer, np.uint64, segment.end // 8)
        first = segment.offset[rows].astype(np.int64) >> 3
        count = segment.sizes(rows).astype(np.int64) >> 3
        total = int(count.sum())
        if len(self._positions) < total:
            self._positions = np.zeros(total, np.int64)
        positions = self._positions[:total]
        # The words of an entry follow each other, and the first one is so far from the last one of the entry before it.
        positions[:] = 1
        step = first.copy()
        step[1:] -= first[:-1] + count[:-1] - 1
        positions[np.cumsum(count) - count] = step
        np.cumsum(positions, out=positions)
        copied = np.empty(total, np.uint64)
        np.take(words, positions, out=copied, mode="clip")  # with the default mode numpy would write to a copy first
        return copied.view(np.uint8)

    def intact(self, data: Bytes, sizes: Sizes, index: Indexes, mode: npt.NDArray[np.uint8]) -> bool:
        """Whether `data` is entries of these padded sizes, indexes and modes, one behind the other, with their checksums.

        False for bytes in the padding that are not zero, too.
        """
        total = len(data) + 8
        if len(self._moved) < total:
            self._moved = np.zeros(total, np.uint8)
        moved = self._moved[:total]
        moved[:-8] = data
        moved[-8:] = 0
        words = moved.view("<u4")
        size = sizes.astype(np.int64)
        start = np.cumsum(size) - size
        at = start >> 2
        length = words[at + 1].astype(np.int64)
        found = words[at + 2] | words[at + 3].astype(np.uint64) << np.uint64(32)
        sound = (HEADER_BYTES + length + 7 & ~7 == size) & (found == index) & (moved[start + MODE_AT] == mode)
        if not (sound & (moved[start + KIND_AT] < len(KINDS))).all():
            return False
        # zlib's CRC begins with ones and ends with a complement: the same as complementing the first four bytes and the
        # checksum, with a register that begins at zero. The ones that are passed here undo zlib's own.
        checksum = (words[at] ^ _ONES).view(np.uint8).reshape(-1, 4)
        words[at] = 0
        words[at + 1] ^= _ONES
        behind = start + HEADER_BYTES + length
        for place in range(4):
            moved[behind + place] ^= checksum[:, place]
        return crc32(moved.data, 0xFFFFFFFF) == 0xFFFFFFFF

    def are_entries(self, data: Bytes, sizes: Sizes, index: Indexes) -> bool:
        """Whether `data`, of which nothing is believed, is sound entries of these padded sizes and indexes.

        Whatever their padding holds: where they come from, that was nobody's loss either.
        """
        if len(sizes) > SINGLY_MAX:
            size = sizes.astype(np.int64)
            stop = np.cumsum(size)
            if (size < HEADER_BYTES).any() or (size % 8).any() or len(data) != stop[-1]:
                return False
            mode = data[stop - size + MODE_AT]
            if (mode < len(MODES)).all() and self.intact(data, sizes, index, mode):
                return True
        return _are_entries(data.data, sizes.tolist(), index.tolist())

    def verify(self, segment: Segment, rows: Rows) -> None:
        """Verify the entries in ascending rows. Raises Corruption naming the first that is not what was written."""
        for piece in pieces(segment.sizes(rows)):
            self.verify_copy(segment, rows[piece], self.copy(segment, rows[piece]))

    def verify_copy(self, segment: Segment, rows: Rows, data: Bytes) -> None:
        """Verify the bytes of the entries in these rows, as they were copied from the segment. Raises Corruption."""
        if not self.intact(data, segment.sizes(rows), segment.indexes(rows), segment.mode[rows]):
            _find_damage(segment, rows)


def _are_entries(buffer: memoryview, sizes: list[int], indexes: list[int]) -> bool:
    """The same one by one, without numpy: most batches are of one entry, and setting out costs more than that."""
    position = 0
    for size, wanted in zip(sizes, indexes, strict=True):
        end = position + size
        if size < HEADER_BYTES or size % 8 or end > len(buffer) or damage(buffer, position, end) is not None:
            return False
        length, found = _LENGTH_AND_INDEX.unpack_from(buffer, position + 4)
        if found != wanted or position + padded(length) != end:
            return False
        position = end
    return position == len(buffer)


def _find_damage(segment: Segment, rows: Rows) -> None:
    """Entry by entry; what only the padding holds is nobody's loss."""
    sizes, modes, indexes = segment.sizes(rows).tolist(), segment.mode[rows].tolist(), segment.indexes(rows).tolist()
    for row, size, mode, index in zip(rows.tolist(), sizes, modes, indexes, strict=True):
        offset = int(segment.offset[row])
        problem = damage(segment.buffer, offset, offset + size)
        if problem is None:
            found = int.from_bytes(segment.buffer[offset + 8 : offset + 16], "little")
            if found != index or segment.buffer[offset + MODE_AT] != mode:
                problem = f"it is entry {found} of mode {segment.buffer[offset + MODE_AT]}, not {index} of mode {mode}"
        if problem is not None:
            raise Corruption(segment.file.path, problem, offset=offset, index=index)
