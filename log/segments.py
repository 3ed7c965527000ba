"""The segments of a log in the order of their indexes, and all that is read across them.

Above the dense index D they follow each other without a gap; at and below it an entry that is dead in the snapshot may
be missing, and so may whole ranges. Nothing here loops over entries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from .checksums import EntryCopier
from .entry import CONFIGURATION, KIND_AT, MODE_AT, RELEASE, Entry
from .errors import Corruption
from .segment import ENTRIES_START, Indexes, Segment

Run = tuple[memoryview, list[int]]
"""A segment's buffer, and the offsets of entries in it, ascending."""


class Segments(Sequence[Segment]):
    """See the module. `path` is named where an entry is in none of them."""

    def __init__(self, path: str, segments: Iterable[Segment] = ()) -> None:
        self._path = path
        self._segments = list(segments)
        self._starts = [segment.first_index for segment in self._segments]
        self._copier = EntryCopier()

    def __len__(self) -> int:
        return len(self._segments)

    @overload
    def __getitem__(self, position: int) -> Segment: ...

    @overload
    def __getitem__(self, position: slice) -> list[Segment]: ...

    def __getitem__(self, position: int | slice) -> Segment | list[Segment]:
        return self._segments[position]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def append(self, segment: Segment) -> None:
        """Add one behind the others."""
        self._segments.append(segment)
        self._starts.append(segment.first_index)

    def pop(self) -> Segment:
        """Take the last one away."""
        self._starts.pop()
        return self._segments.pop()

    def replace(self, segments: Iterable[Segment]) -> None:
        """These instead of all that were there."""
        self._segments = list(segments)
        self._starts = [segment.first_index for segment in self._segments]

    def of(self, index: int) -> Segment:
        """The segment that the entry of `index` is in, if it is there at all. Raises Corruption where there is none."""
        position = len(self._starts) - 1
        if position < 0 or index < self._starts[position]:
            position = bisect_right(self._starts, index) - 1
        if position < 0 or index > self._segments[position].last_index:
            raise Corruption(self._path, "the entry is missing", index=index)
        return self._segments[position]

    def has(self, index: int) -> bool:
        """Whether the entry of `index` is in one of them."""
        try:
            self.of(index).row_of(index)
        except Corruption:
            return False
        return True

    def ends_below(self, index: int, open_segment: Segment | None) -> int:
        """Where the last segment ends that lies at or below `index` whole and is not open; 0 without one."""
        for segment in reversed(self._segments):
            if segment is not open_segment and segment.last_index <= index:
                return segment.last_index
        return 0

    def bytes_from(self, index: int) -> int:
        """Bytes of the entries from `index` on, which is in one of them."""
        position = bisect_right(self._starts, index) - 1
        first = self._segments[position]
        rest = sum(segment.end - ENTRIES_START for segment in self._segments[position + 1 :])
        return first.end - first.offset_of(index) + rest

    def split(self, indexes: Indexes) -> Iterator[tuple[Segment, int, int]]:
        """Which part [begin:end] of sorted indexes falls to which segment. Raises Corruption where one falls to none."""
        position = 0
        while position < len(indexes):
            segment = self.of(int(indexes[position]))
            end = int(np.searchsorted(indexes, np.uint64(segment.last_index), side="right"))
            yield segment, position, end
            position = end

    # -- the dense part ------------------------------------------------------------------------------

    def entry(self, index: int) -> Entry:
        """One entry, decoded and verified; at and below D too, if it is there. Raises Corruption."""
        segment = self.of(index)
        offset = segment.offset_of(index)
        try:
            return Entry.decode(segment.buffer, offset, segment.file.path)
        except Corruption as damage:
            raise Corruption(damage.path, damage.reason, offset=offset, index=index) from None

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        """The last one of the entries first..last that one read returns: at least `first`."""
        segment = self.of(first)
        last = min(last, segment.last_index)
        limit = segment.offset_of(first) + bytes_max
        if segment.end_of(last) <= limit:
            return last
        # Entry k ends where entry k + 1 begins: of the entries that begin within the limit, all but the last one fit.
        # The limit lies inside the segment here; as a Python int it would have numpy widen a copy of all the offsets.
        beginning = int(np.searchsorted(segment.offsets(first, last), np.uint32(limit), side="right"))
        return max(first, first + beginning - 2)

    def bytes_between(self, first: int, last: int) -> int:
        """Bytes of the entries first..last, which lie in one segment."""
        segment = self.of(first)
        return segment.end_of(last) - segment.offset_of(first)

    def runs(self, first: int, last: int) -> Iterator[Run]:
        """Per segment, its buffer and the offsets of the entries first..last in it, ascending."""
        while first <= last:
            segment = self.of(first)
            until = min(last, segment.last_index)
            yield segment.buffer, segment.offsets(first, until).tolist()
            first = until + 1

    def verify(self, first: int, last: int) -> None:
        """Verify the entries first..last, of which none is missing. Raises Corruption naming the first that is damaged."""
        while first <= last:
            segment = self.of(first)
            until = min(last, segment.last_index)
            self._copier.verify(segment, np.arange(segment.row_of(first), segment.row_of(until) + 1))
            first = until + 1

    def is_live(self, index: int) -> bool:
        """Whether an entry that is there contributes to a machine's state."""
        segment = self.of(index)
        row = segment.row_of(index)
        return bool(segment.mode[row] == RELEASE and not segment.released[row])

    def repair(self, index: int, data: bytes | memoryview) -> Segment | None:
        """Write an entry that was damaged again, in its place; None if it is of another length or mode than that.

        The one exception to never rewriting what was handed out: whoever was handed it got what no checksum fits.
        """
        segment = self.of(index)
        row = segment.row_of(index)
        if len(data) != int(segment.sizes(np.array([row]))[0]) or data[MODE_AT] != segment.mode[row]:
            return None
        start = int(segment.offset[row])
        segment.buffer[start : start + len(data)] = data
        return segment

    def of_kind(self, kind: int, first: int, last: int) -> list[int]:
        """Indexes of the entries of a kind among those present in first..last, ascending."""
        found: list[int] = []
        # From the segment on that `first` falls to: a follower asks this of every batch, and a log may have thousands.
        for segment in self._segments[max(0, bisect_right(self._starts, first) - 1) :]:
            if segment.first_index > last:
                break
            begin, end = segment.rows_through(first - 1), segment.rows_through(last)
            if end - begin == 1:  # most batches are of one entry, and numpy takes longer to set out than to look
                if segment.buffer[int(segment.offset[begin]) + KIND_AT] == kind:
                    found += segment.indexes(np.array([begin])).tolist()
                continue
            kinds = segment.bytes[segment.offset[begin:end].astype(np.int64) + KIND_AT]
            found += segment.indexes(np.flatnonzero(kinds == kind) + begin).tolist()
        return found

    def configuration_entries(self, first: int, last: int) -> list[int]:
        """Indexes of the configuration entries in first..last, ascending."""
        return self.of_kind(CONFIGURATION, first, last)

    # -- live and released ---------------------------------------------------------------------------

    @property
    def entry_bytes(self) -> int:
        """Bytes that entries take, headers of files included."""
        return sum(segment.end for segment in self._segments)

    @property
    def released_count(self) -> int:
        """How many of the entries present are released."""
        return sum(int(np.count_nonzero(segment.released[: segment.count])) for segment in self._segments)

    def live(self) -> Indexes:
        """Indexes of the entries present that are of mode RELEASE and not released, ascending."""
        parts = []
        for segment in self._segments:
            rows = slice(segment.count)
            parts.append(segment.indexes(np.flatnonzero(~segment.released[rows] & (segment.mode[rows] == RELEASE))))
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    def release(self, indexes: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
        """The entries at these indexes contribute to nothing any more.

        Returns those that are not there or were released before. The log needs nothing of them, and a machine that
        releases twice is wrong on every replica alike: no reason to stop all of them, and a reason to name it.
        """
        released = np.array(indexes, np.int64)
        released.sort()
        wrong: list[int] = released[1:][released[1:] == released[:-1]].tolist()
        position = 0
        while position < len(released):
            segment = self._covering(int(released[position]))
            end = position + 1 if segment is None else int(np.searchsorted(released, segment.last_index, side="right"))
            here = released[position:end]
            position = end
            if segment is None:
                wrong += here.tolist()
                continue
            if segment.index is None:
                rows = here - segment.first_index  # in a dense segment all that lie in its range are there
            else:
                rows, there = segment.find(here.view(np.uint64))
                wrong += here[~there].tolist()
                rows, here = rows[there], here[there]
            before = segment.released[rows]
            if before.any():
                wrong += here[before].tolist()
            segment.released[rows] = True
        return wrong

    def _covering(self, index: int) -> Segment | None:
        """The segment in whose range an index lies."""
        position = bisect_right(self._starts, index) - 1
        return self._segments[position] if position >= 0 and index <= self._segments[position].last_index else None

    def adopt_live_set(self, live: Indexes, snapshot_index: int) -> None:
        """Of the entries at and below S exactly the live set is not released. Raises Corruption if one of it is missing.

        In memory only: that is where the released bits are, since no file is trusted to know them.
        """
        for segment in self._segments:
            segment.released[: segment.rows_through(snapshot_index)] = True
        for segment, begin, end in self.split(live):
            rows = segment.rows_of(live[begin:end])
            wrong = segment.mode[rows] != RELEASE
            if wrong.any():
                index = int(live[begin + int(np.argmax(wrong))])
                raise Corruption(
                    segment.file.path, "the entry is live, and its mode says that it cannot be", index=index
                )
            segment.released[rows] = False

    def missing(self, live: Indexes, through: int) -> int | None:
        """The first one of the live set's entries up to `through` that is not there, None when all are."""
        try:
            for segment, begin, end in self.split(live[: np.searchsorted(live, np.uint64(through), side="right")]):
                segment.rows_of(live[begin:end])
        except Corruption as error:
            return error.index
        return None

    def live_runs(self, live: Indexes, after_index: int, count_max: int) -> tuple[list[Run], int]:
        """The next `count_max` entries of the live set above `after_index`, and the index of the last one.

        When there is none left: ([], after_index). Raises Corruption: each of them is verified.
        """
        begin = int(np.searchsorted(live, np.uint64(after_index), side="right"))
        wanted = live[begin : begin + count_max]
        found: list[Run] = []
        for segment, begin, end in self.split(wanted):
            rows = segment.rows_of(wanted[begin:end])
            self._copier.verify(segment, rows)
            found.append((segment.buffer, segment.offset[rows].tolist()))
        return found, int(wanted[-1]) if len(wanted) else after_index
