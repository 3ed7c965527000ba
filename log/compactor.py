"""Rewrites segments without what is dead at S: the work, over any disk. Its process is `compactor_process.py`.

It takes the live set from the snapshot file and nothing from the running replica, so what is released meanwhile belongs to the
next run. Sources are only read; a target is a new file, written whole and synced; nothing counts before the replica has put it
into its manifest. A group that cannot be rewritten leaves no file, and the others go on.

Loops are over long runs of neighbouring entries and over pieces of a MiB, never over entries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from .checksums import Bytes, EntryCopier, pieces
from .compaction import MissingEntry, Numbers, keep_mask, runs, within
from .compaction_request import TEXT_MAX, CompactionGroup, CompactionRequest, CompactionResult, GroupResult
from .errors import Corruption, LogError, NoSpace
from .files import EXTENT_BYTES_MIN, Disk, Extent, Part
from .manifest import SegmentRecord
from .recovery import open_closed
from .segment import ENTRIES_START, FOOTER, SPARSE_ROW_BYTES, Indexes, Rows, Segment, header, seal
from .snapshot import Snapshot

OFFSET_MAX = (1 << 32) - 1


class CompactionStopped(Exception):
    """The process is to end; nothing is left behind."""


class Kept(NamedTuple):
    """One source and the rows of it that stay."""

    segment: Segment
    rows: Rows
    starts: Numbers
    ends: Numbers


def rewrite(disk: Disk, request: CompactionRequest) -> CompactionResult:
    """Carry out a request; what fails is told in that group's result."""
    return CompactionResult(groups=tuple(rewrite_groups(disk, request)))


def rewrite_groups(
    disk: Disk, request: CompactionRequest, *, stopped: Callable[[], bool] = lambda: False, verify: bool = True
) -> Iterator[GroupResult]:
    """Carry out a request, a group with each step.

    Raises CompactionStopped soon after `stopped()` is true. `verify` is for measuring what verifying costs.
    """
    try:
        snapshot = Snapshot.open(disk, request.snapshot_path, request.shard)
    except (LogError, OSError) as error:
        yield from (_failed(group, error) for group in request.groups)
        return
    for group in request.groups:
        begun = time.perf_counter()
        try:
            entries, size = _rewrite_group(disk, request, group, snapshot, stopped, verify)
        except (LogError, OSError) as error:
            yield _failed(group, error)
        else:
            seconds = time.perf_counter() - begun
            yield GroupResult(generation=group.generation, entries=entries, bytes=size, seconds=seconds)


def _failed(group: CompactionGroup, error: LogError | OSError) -> GroupResult:
    damaged = (error.path, error.offset, error.index) if isinstance(error, Corruption) else None
    return GroupResult(
        generation=group.generation, error=str(error)[:TEXT_MAX], no_space=isinstance(error, NoSpace), damaged=damaged
    )


def _rewrite_group(
    disk: Disk,
    request: CompactionRequest,
    group: CompactionGroup,
    snapshot: Snapshot,
    stopped: Callable[[], bool],
    verify: bool,
) -> tuple[int, int]:
    """Write the segment that takes the group's place; returns its entries and the bytes of its file, 0 and 0 for none."""
    target = group.target
    if target.counts_to is None or target.counts_to > snapshot.head.index:
        raise LogError(f"segment {target.file_name} reaches to {target.counts_to}, above S {snapshot.head.index}")
    sources = [_kept(disk, request, record, snapshot) for record in group.sources]
    entries = sum(len(source.rows) for source in sources)
    if not entries:
        return 0, 0
    directory = f"{request.directory}/log"
    end = ENTRIES_START + sum(int((source.ends - source.starts).sum()) for source in sources)
    size = end + SPARSE_ROW_BYTES * entries + FOOTER.size
    if end > OFFSET_MAX:
        raise LogError(f"segment {target.file_name} would have {end} bytes of entries, more than an offset can tell")
    free = disk.free_bytes(directory)
    if size > free:
        raise NoSpace(f"{directory}/{target.file_name}: {size} bytes are needed and {free} are left")
    parts = _parts(sources, request.shard, target, disk.time_ms(), end, verify)
    written = disk.write(f"{directory}/{target.file_name}", _until(stopped, parts))
    assert written == size, f"{target.file_name} has {written} bytes instead of {size}"
    return entries, size


def _kept(disk: Disk, request: CompactionRequest, record: SegmentRecord, snapshot: Snapshot) -> Kept:
    """What stays of one source. Raises Corruption, and LogError for a source that is gone."""
    path = f"{request.directory}/log/{record.file_name}"
    if not disk.exists(path):
        raise LogError(f"{path} is gone: the log has changed since this was asked for")
    segment = open_closed(disk, request.directory, request.shard, record)
    live = within(snapshot.live, record.first_index, segment.last_index)
    try:
        keep = keep_mask(segment.indexes(), segment.mode[: segment.count], live, snapshot.head.index)
    except MissingEntry as error:
        raise Corruption(path, error.reason, index=error.index) from None
    starts, ends = runs(keep, segment.offset[: segment.count], segment.end)
    return Kept(segment, np.flatnonzero(keep), starts, ends)


def _until(stopped: Callable[[], bool], parts: Iterator[Part]) -> Iterator[Part]:
    for part in parts:
        if stopped():
            raise CompactionStopped
        yield part


def _parts(
    sources: list[Kept], shard: int, target: SegmentRecord, created_ms: int, end: int, verify: bool
) -> Iterator[Part]:
    """The file of the target: header, entries, arrays and footer."""
    yield header(shard=shard, first_index=target.first_index, version=target.version, created_ms=created_ms)
    writer = _Writer(verify=verify)
    for source in sources:
        yield from writer.entries(source)
    index: Indexes = np.concatenate([source.segment.indexes(source.rows) for source in sources])
    mode = np.concatenate([source.segment.mode[source.rows] for source in sources])
    sizes = np.concatenate([source.segment.sizes(source.rows) for source in sources]).astype(np.int64)
    offset = (ENTRIES_START + np.cumsum(sizes) - sizes).astype(np.uint32)
    # What is live at S is not released; what was released since then the replica has in memory.
    yield seal(target.first_index, end, offset, mode, np.zeros(len(index), np.bool_), index)


class _Writer:
    """Makes the parts of a target's file out of those of its sources."""

    def __init__(self, *, verify: bool) -> None:
        self._verify = verify
        self._copier = EntryCopier()

    def entries(self, source: Kept) -> Iterator[Part]:
        """The entries that stay: long runs as they lie in the file, all else copied; every piece verified before it is used."""
        segment, rows = source.segment, source.rows
        raw = np.frombuffer(segment.buffer, np.uint8)
        at = segment.offset[rows]
        begin = 0
        for position in np.flatnonzero(source.ends - source.starts >= EXTENT_BYTES_MIN).tolist():
            start, end = int(source.starts[position]), int(source.ends[position])
            first, last = np.searchsorted(at, np.array([start, end], np.uint32))
            yield from self._copied(segment, rows[begin:first])
            begin = int(last)
            if self._verify:
                yield from self._verified(segment, rows[first:last], raw[start:end])
            yield Extent(segment.file, start, end)
        yield from self._copied(segment, rows[begin:])

    def _copied(self, segment: Segment, rows: Rows) -> Iterator[Part]:
        for piece in pieces(segment.sizes(rows)):
            data = self._copier.copy(segment, rows[piece])
            if self._verify:
                self._copier.verify_copy(segment, rows[piece], data)
            yield data.data

    def _verified(self, segment: Segment, rows: Rows, data: Bytes) -> Iterator[Part]:
        """Nothing to write; an empty part after each piece, so that the process may be stopped in between."""
        position = 0
        sizes = segment.sizes(rows)
        for piece in pieces(sizes):
            end = position + int(sizes[piece].sum(dtype=np.int64))
            self._copier.verify_copy(segment, rows[piece], data[position:end])
            position = end
            yield b""
