"""What a replica's log holds and what compaction would find in it: read from the files alone, changing none.

It maps for reading only, so it may look on while a replica runs. What lives is told by the snapshot and so is known up to S;
about the entries above S only the running replica knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import identity, manifest, recovery
from .compaction import Mask, within
from .envelope import unwrap
from .errors import Corruption
from .files import Disk
from .manifest import Manifest, SegmentRecord
from .segment import Segment
from .snapshot import Snapshot

ATTEMPTS_MAX = 10
"""A compaction may take a file away between reading the manifest and opening it; then the manifest is another one."""


@dataclass(frozen=True, kw_only=True)
class SegmentReport:
    """One segment. `live` and `dead` are those of its entries at or below S, `newer` those above, `missing` the indexes that
    it covers and has no entry for. Bytes are those of entries, `file_bytes` those of the file."""

    file: str
    version: int
    open: bool
    first_index: int
    last_index: int
    entries: int
    live: int
    dead: int
    newer: int
    missing: int
    bytes: int
    live_bytes: int
    dead_bytes: int
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class LogReport:
    """One replica's log. The indexes are 0 as long as there is no snapshot."""

    directory: str
    shard: int
    snapshot_index: int
    dense_index: int
    last_index: int
    snapshot_bytes: int
    segments: list[SegmentReport]

    def total(self, field: str) -> int:
        """The sum of a field over the segments."""
        return sum(getattr(segment, field) for segment in self.segments)


class LogView:
    """The files of a replica as they were at one moment: `segments` and their records, `snapshot` or None."""

    def __init__(
        self, directory: str, shard: int, found: Manifest, segments: list[Segment], snapshot: Snapshot | None
    ) -> None:
        self.directory = directory
        self.shard = shard
        self.manifest = found
        self.segments = segments
        self.snapshot = snapshot

    @classmethod
    def open(cls, disk: Disk, directory: str) -> LogView:
        """Look at a replica directory. Raises Corruption, UnknownFormat."""
        shard = _shard(disk, directory)
        path = f"{directory}/{manifest.NAME}"
        for attempt in range(ATTEMPTS_MAX):
            data = _read(disk, path)
            found = Manifest.decode(path, data)
            try:
                segments = [_segment(disk, directory, shard, record) for record in found.segments]
                return cls(directory, shard, found, segments, recovery.open_snapshot(disk, directory, shard, found))
            except (Corruption, FileNotFoundError):
                if attempt == ATTEMPTS_MAX - 1 or data == _read(disk, path):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def live_rows(self, segment: Segment) -> Mask:
        """Which of the segment's entries are live at S; those above S are not among them."""
        live = np.zeros(segment.count, np.bool_)
        if self.snapshot is not None and segment.count:
            wanted = within(self.snapshot.live, segment.first_index, segment.last_index)
            live[segment.rows_of(wanted)] = True
        return live

    def newer_rows(self, segment: Segment) -> int:
        """How many of the segment's entries lie above S."""
        return segment.count - segment.rows_through(self.manifest.snapshot_index)

    def report(self) -> LogReport:
        """The numbers."""
        pairs = zip(self.segments, self.manifest.segments, strict=True)
        segments = [self._report(segment, record) for segment, record in pairs]
        return LogReport(
            directory=self.directory,
            shard=self.shard,
            snapshot_index=self.manifest.snapshot_index,
            dense_index=self.manifest.dense_index,
            last_index=max(self.segments[-1].last_index if self.segments else 0, self.manifest.snapshot_index),
            snapshot_bytes=0 if self.snapshot is None else self.snapshot.bytes,
            segments=segments,
        )

    def _report(self, segment: Segment, record: SegmentRecord) -> SegmentReport:
        live, newer = self.live_rows(segment), self.newer_rows(segment)
        sizes = segment.sizes().astype(np.int64)
        judged = segment.count - newer
        return SegmentReport(
            file=record.file_name,
            version=record.version,
            open=record.counts_to is None,
            first_index=segment.first_index,
            last_index=segment.last_index,
            entries=segment.count,
            live=int(np.count_nonzero(live)),
            dead=judged - int(np.count_nonzero(live)),
            newer=newer,
            missing=segment.last_index - segment.first_index + 1 - segment.count,
            bytes=int(sizes.sum()),
            live_bytes=int(sizes[live].sum()),
            dead_bytes=int(sizes[:judged][~live[:judged]].sum()),
            file_bytes=segment.file.size,
        )


def _shard(disk: Disk, directory: str) -> int:
    path = f"{directory}/identity"
    try:
        shard = unwrap(path, _read(disk, path), identity.MAGIC, identity.VERSION)["shard"]
    except (KeyError, TypeError):
        shard = None
    if type(shard) is not int:
        raise Corruption(path, "its body is not an identity")
    return shard


def _read(disk: Disk, path: str) -> bytes:
    try:
        return disk.read(path)
    except FileNotFoundError:
        raise Corruption(path, "it is missing") from None


def _segment(disk: Disk, directory: str, shard: int, record: SegmentRecord) -> Segment:
    if record.counts_to is not None:
        return recovery.open_closed(disk, directory, shard, record)
    path = f"{directory}/log/{record.file_name}"
    segment = Segment.map(disk.open(path), shard=shard, first_index=record.first_index, generation=record.generation)
    recovery.scan(segment, None)
    return segment
