"""How segments that a compaction rewrote take the place of their sources.

What takes time is done beside the loop: opening the new files, and finding which row of a source each of their rows was. The
sources are sealed, so that stays true; only their released bits move on, and those are copied on the loop, at the swap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import recovery
from .errors import Corruption, LogError
from .files import Disk
from .manifest import SegmentRecord
from .segment import Rows, Segment


class Rewritten(NamedTuple):
    """One group of a compaction: the generations of its sources, which are neighbours, ascending; and the segment that holds
    what stays of them and covers what they cover, None when nothing stays."""

    sources: tuple[int, ...]
    record: SegmentRecord | None


class Group:
    """A group whose sources are part of the log; `segment` is the rewritten one, once it was opened."""

    def __init__(self, sources: Sequence[Segment], record: SegmentRecord | None) -> None:
        self.sources = sources
        self.record = record
        self.segment: Segment | None = None
        self._rows: list[Rows] = []

    @property
    def last_index(self) -> int:
        """Up to where the group covers."""
        return self.sources[-1].last_index

    def open(self, disk: Disk, directory: str, shard: int) -> None:
        """Open the new file and find its rows in the sources. Raises Corruption, UnknownFormat."""
        record = self.record
        if record is None:
            return
        covered = (self.sources[0].first_index, self.last_index)
        assert (record.first_index, record.counts_to) == covered, f"{record} is not of the entries {covered}"
        segment = recovery.open_closed(disk, directory, shard, record)
        index, begin = segment.indexes(), 0
        for source in self.sources:
            end = segment.rows_through(source.last_index)
            self._rows.append(source.rows_of(index[begin:end]))
            begin = end
        modes = [source.mode[rows] for source, rows in zip(self.sources, self._rows, strict=True)]
        if not np.array_equal(segment.mode[: segment.count], np.concatenate(modes)):
            raise Corruption(segment.file.path, "its modes are not those of its sources")
        self.segment = segment

    def take_over(self) -> list[Segment]:
        """What comes in the place of the sources, with the released bits as they are now. On the loop."""
        if self.segment is None:
            return []
        bits = [source.released[rows] for source, rows in zip(self.sources, self._rows, strict=True)]
        self.segment.released = np.concatenate(bits)
        return [self.segment]


def find_groups(segments: Sequence[Segment], rewritten: Sequence[Rewritten]) -> list[Group]:
    """The groups with their sources; none at all when a source is not among the segments any more."""
    positions = {segment.generation: position for position, segment in enumerate(segments)}
    groups = []
    for sources, record in rewritten:
        found = [positions.get(generation) for generation in sources]
        if None in found:
            return []
        first = positions[sources[0]]
        assert found == list(range(first, first + len(found))), f"{sources} are no neighbours"
        groups.append(Group(segments[first : first + len(found)], record))
    return groups


class SwapJob:
    """`run` it beside the loop and hand it to `Log.swap`.

    `groups` is empty when a source is not part of the log any more; `error` says why a new file cannot be used.
    """

    def __init__(
        self, disk: Disk, directory: str, shard: int, rewritten: Sequence[Rewritten], groups: list[Group]
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._shard = shard
        self.rewritten = rewritten
        self.groups = groups
        self.error: LogError | None = None

    def run(self) -> None:
        """Open and check the new files. Raises nothing that is wrong with them: the log does without them."""
        try:
            for group in self.groups:
                group.open(self._disk, self._directory, self._shard)
        except LogError as error:
            self.error = error
