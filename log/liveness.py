"""Which entries are live at S, frozen between two loop turns and worked out beside the loop.

The freeze copies the released bits and nothing else; the arrays that say where entries are and which mode they have do not change
for the rows that were there, and how many those were is kept. What is released after the freeze belongs to the next snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .compaction import SegmentStats
from .entry import RELEASE
from .segment import Indexes, Segment

Part = tuple[Segment, npt.NDArray[np.bool_], bool]
"""A segment, the released bits of its rows up to S, and whether it is sealed and lies at or below S whole."""


class Frozen:
    """The released bits at S = `index`. Everything but `freeze` may run beside the loop."""

    def __init__(self, index: int, parts: list[Part]) -> None:
        self.index = index
        self._parts = parts

    @classmethod
    def freeze(cls, index: int, segments: Sequence[Segment], open_segment: Segment | None) -> Frozen:
        """Copy the released bits of the entries up to `index`."""
        parts: list[Part] = []
        for segment in segments:
            if segment.first_index > index:
                break
            whole = segment is not open_segment and segment.last_index <= index
            parts.append((segment.as_it_stands(), segment.released[: segment.rows_through(index)].copy(), whole))
        return cls(index, parts)

    def live(self) -> Indexes:
        """The live set: the entries of mode RELEASE that were not released, ascending."""
        found = [segment.indexes(np.flatnonzero(_live(segment, released))) for segment, released, _ in self._parts]
        return np.concatenate(found) if found else np.zeros(0, np.uint64)

    def live_bytes(self) -> int:
        """Bytes of the live entries, padding included."""
        parts = [(segment, np.flatnonzero(_live(segment, released))) for segment, released, _ in self._parts]
        return sum(int(segment.sizes(rows).sum(dtype=np.int64)) for segment, rows in parts)

    def stats(self) -> SegmentStats:
        """What a compaction is planned by: the segments that are sealed and at or below S whole."""
        parts = [(segment, _live(segment, released)) for segment, released, whole in self._parts if whole]
        rows = [
            (
                segment.first_index,
                segment.last_index,
                segment.generation,
                segment.version,
                segment.count,
                np.count_nonzero(live),
                int(segment.sizes().sum(dtype=np.int64)),
                int(segment.sizes()[live].sum(dtype=np.int64)),
            )
            for segment, live in parts
        ]
        first, last, generation, version, entries, live_entries, total, live_bytes = (
            np.array(rows, np.int64).reshape(-1, 8).T
        )
        return SegmentStats(
            first_index=first,
            last_index=last,
            generation=generation,
            version=version,
            entries=entries,
            live_entries=live_entries,
            bytes=total,
            live_bytes=live_bytes,
        )


def _live(segment: Segment, released: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    live: npt.NDArray[np.bool_] = ~released & (segment.mode[: len(released)] == RELEASE)
    return live
