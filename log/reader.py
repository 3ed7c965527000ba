"""What there is to be read of a log: entries above the dense index by index, those at and below it by a live set.

Everything is read in place, out of the mappings, and stays as it was read whatever becomes of the log.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .checksums import EntryCopier
from .entry import Entry, Sizes
from .liveness import Frozen
from .segment import Indexes, Segment
from .segments import Run, Segments
from .snapshot import Snapshot
from .terms import Runs, TermRuns
from .transfer import PinnedEntries


class Batch:
    """Entries first_index..last_index as they stand in one mapping: `data`, uncopied, and the padded size of each.

    `terms` are ((first index, term), ...), one pair per change of term.
    """

    __slots__ = ("data", "first_index", "last_index", "sizes", "terms")

    def __init__(self, first_index: int, last_index: int, data: memoryview, sizes: Sizes, terms: Runs) -> None:
        self.first_index = first_index
        self.last_index = last_index
        self.data = data
        self.sizes = sizes
        self.terms = terms


class LogReader:
    """See the module. `snapshot` is the newest durable one, None while there is none, and `snapshot_index` (S) its index.

    At and below `dense_index` (D) dead entries may be missing, and terms are known at D only. What lies up to
    `recovered_index` was found in files by this process, which has not written it.
    """

    def __init__(self, segments: Segments, terms: TermRuns, dense_index: int) -> None:
        self._segments = segments
        self._terms = terms
        self._open: Segment | None = None
        self.snapshot: Snapshot | None = None
        self.dense_index = dense_index
        self.last_index = max(dense_index, segments[-1].last_index) if segments else dense_index
        self.recovered_index = self.last_index
        # Looked up often, and through these names only.
        self.term_at, self.term_runs, self.fit = terms.term_at, terms.runs, segments.fit

    @property
    def first_index(self) -> int:
        """From here on no entry is missing."""
        return self.dense_index + 1

    @property
    def snapshot_index(self) -> int:
        """S, 0 without a snapshot."""
        return 0 if self.snapshot is None else self.snapshot.head.index

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 for an empty log."""
        return self._terms.last_term

    @property
    def log_bytes(self) -> int:
        """Bytes that entries take, over all segments."""
        return self._segments.entry_bytes

    @property
    def segment_count(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    @property
    def released_count(self) -> int:
        """How many of the entries that are there are released."""
        return self._segments.released_count

    def live_indexes(self) -> Indexes:
        """Indexes of the entries of mode RELEASE that are there and not released, ascending."""
        return self._segments.live()

    def last_time(self) -> int:
        """The time (ms) of the last entry, which need not be there if it is that of S; 0 for an empty log."""
        if self.last_index > self.dense_index:
            return self.entry(self.last_index).time
        return 0 if self.snapshot is None else self.snapshot.head.time

    def configuration_entries(self, first: int, last: int) -> list[int]:
        """Indexes of the configuration entries that are there in first..last, ascending."""
        return self._segments.configuration_entries(first, last)

    def entry(self, index: int) -> Entry:
        """One entry, decoded and verified; at and below D too, if it is there. Raises Corruption."""
        return self._segments.entry(index)

    def has(self, index: int) -> bool:
        """Whether the entry of `index` is there."""
        return self._segments.has(index)

    def sealed_segments(self) -> list[Segment]:
        """The segments that nothing is appended to any more, ascending."""
        return [segment for segment in self._segments if segment is not self._open]

    def sealed_through(self, index: int) -> int:
        """Where the last sealed segment ends that lies at or below `index` whole; 0 without one."""
        return self._segments.ends_below(index, self._open)

    def verify(self, first: int, last: int, *, sealed: bool = False, at_least: int = 0) -> None:
        """Verify the entries first..last, above D, but for those that this process wrote itself. Raises Corruption.

        With `sealed`, those it wrote into segments that are full by now too, and those up to `at_least`: for who sends
        them long after. They may have left its memory since and come back damaged, and no checksum of a message would tell.
        """
        written_from = max(self.recovered_index, at_least) + 1
        if sealed:
            written_from = max(written_from, self._open.first_index if self._open is not None else self.last_index + 1)
        self._segments.verify(first, min(last, written_from - 1))

    def is_needed(self, index: int) -> bool:
        """Whether anything rests on an entry: it is in the dense part, where none may be missing, or live."""
        return index > self.dense_index or (self.has(index) and self._segments.is_live(index))

    def entry_bytes(self, index: int) -> bytes:
        """The bytes of one entry that is there, padding included. Raises Corruption: it is verified."""
        segment = self._segments.of(index)
        row = segment.row_of(index)
        EntryCopier().verify(segment, np.array([row]))
        start = int(segment.offset[row])
        return bytes(segment.buffer[start : start + int(segment.sizes(np.array([row]))[0])])

    def bytes_from(self, index: int) -> int:
        """Bytes of the entries from `index` on, which is above D."""
        return self._segments.bytes_from(index) if index <= self.last_index else 0

    def bytes_between(self, first: int, last: int) -> int:
        """Bytes of the entries first..last, which lie in one segment."""
        return self._segments.bytes_between(first, last)

    def read(self, first: int, last: int, bytes_max: int) -> Batch:
        """Entries from `first` on, out of one segment and uncopied: as many as fit `bytes_max`, but at least one."""
        last = self.fit(first, last, bytes_max)
        segment = self._segments.of(first)
        start, end = segment.offset_of(first), segment.end_of(last)
        starts = segment.offsets(first, last)
        sizes = np.empty(len(starts), np.uint32)
        np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
        sizes[-1] = end - int(starts[-1])
        return Batch(first, last, segment.buffer[start:end], sizes, self.term_runs(first, last))

    def runs(self, first: int, last: int) -> Iterator[Run]:
        """Per segment, its buffer and the offsets of the entries first..last in it, ascending. `first` is above D."""
        return self._segments.runs(first, last)

    def live_runs(self, live: Indexes, after_index: int, count_max: int) -> tuple[list[Run], int]:
        """The next `count_max` entries of a live set above `after_index`, as `runs` gives them, and the last one's index.

        When there is none left: ([], after_index). Raises Corruption if one is missing.
        """
        return self._segments.live_runs(live, after_index, count_max)

    def pin(self, from_index: int, live: Indexes) -> PinnedEntries:
        """Hold the entries of a live set that lie above `from_index`, whatever compaction does. Raises Corruption."""
        return PinnedEntries(self._segments, live[np.searchsorted(live, np.uint64(from_index), side="right") :])

    def missing(self, live: Indexes, through: int) -> int | None:
        """The first entry of a live set up to `through` that is not there; None when all are."""
        return self._segments.missing(live, through)

    def freeze(self, index: int) -> Frozen:
        """The released bits as they are now, when everything up to `index` and nothing else is applied."""
        return Frozen.freeze(index, self._segments, self._open)
