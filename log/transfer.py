"""The live entries that a member lacks, held for as long as it takes to send them.

A pin holds segments and their mappings: compaction may put other files in their place meanwhile, and these stay as
they were. The entries are one stream of bytes; positions in it lie between entries, and stay what they are for as long
as the pin lives.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from .checksums import EntryCopier
from .entry import Sizes
from .segment import Indexes, Rows, Segment
from .segments import Segments

SLICE_ENTRIES = 4096
"""Entries whose place in the stream is remembered together; within a slice it is worked out again."""


class PinnedEntries:
    """The entries `live`, ascending. Nothing is done for all of them at once, so that no call takes long."""

    def __init__(self, segments: Segments, live: Indexes) -> None:
        """Raises Corruption where there is no segment for an entry."""
        self._live = live
        self._slices = [
            (segment, start, min(start + SLICE_ENTRIES, end))
            for segment, begin, end in segments.split(live)
            for start in range(begin, end, SLICE_ENTRIES)
        ]
        self._starts = [0]
        """Where in the stream the slices begin, as far as they were looked at, and where the last one of these ends."""
        self._copier = EntryCopier()

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self._live)

    @property
    def total_bytes(self) -> int:
        """Bytes of the stream. Looks at all entries that were not looked at yet. Raises Corruption."""
        while self._look_further():
            pass
        return self._starts[-1]

    def measure(self, entries_max: int) -> bool:
        """Look at the next entries, so that `total_bytes` takes no time; True once all were. Raises Corruption."""
        for _ in range(max(1, entries_max // SLICE_ENTRIES)):
            if not self._look_further():
                return True
        return len(self._starts) - 1 == len(self._slices)

    def at_end(self, position: int) -> bool:
        """Whether nothing follows a position that `read` returned, or 0."""
        return position >= self._starts[-1] and not self._look_further()

    def _look_further(self) -> bool:
        """Find out where the next slice ends; False when there is none. Raises Corruption when an entry is missing."""
        number = len(self._starts) - 1
        if number == len(self._slices):
            return False
        segment, begin, end = self._slices[number]
        size = int(segment.sizes(segment.rows_of(self._live[begin:end])).sum(dtype=np.int64))
        self._starts.append(self._starts[-1] + size)
        return True

    def read(self, position: int, bytes_max: int) -> tuple[memoryview, Sizes, int]:
        """The next entries from `position` on: as many as fit, at least one unless it is the end.

        Returns their bytes, the size of each entry, and the position behind them. Raises Corruption: every one is verified.
        """
        assert position >= 0, f"position {position}"
        data: list[memoryview] = []
        sizes: list[Sizes] = [np.zeros(0, np.uint32)]
        left = bytes_max
        while left > 0 and not self.at_end(position):
            segment, rows, row_sizes = self._rows_from(position)
            fitting = int(np.searchsorted(np.cumsum(row_sizes, dtype=np.int64), left, side="right"))
            if fitting == 0 and data:
                break
            rows, row_sizes = rows[: fitting or 1], row_sizes[: fitting or 1]
            copied = self._copier.copy(segment, rows)
            self._copier.verify_copy(segment, rows, copied)
            data.append(copied.data)
            sizes.append(row_sizes)
            position += len(copied)
            left -= len(copied)
        return data[0] if len(data) == 1 else memoryview(b"".join(data)), np.concatenate(sizes), position

    def _rows_from(self, position: int) -> tuple[Segment, Rows, Sizes]:
        """The rest of a slice, from the entry at `position` on."""
        while position >= self._starts[-1]:
            assert self._look_further(), f"position {position} lies behind {self._starts[-1]}, the end"
        number = bisect_right(self._starts, position) - 1
        segment, begin, end = self._slices[number]
        rows = segment.rows_of(self._live[begin:end])
        sizes = segment.sizes(rows)
        starts = self._starts[number] + np.cumsum(sizes, dtype=np.int64) - sizes
        first = int(np.searchsorted(starts, position))
        assert first < len(starts) and starts[first] == position, f"position {position} lies within an entry"
        return segment, rows[first:], sizes[first:]
