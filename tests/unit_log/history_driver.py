"""Snapshots, compaction and installs as a replica goes about them, every step at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ocelog.log.compaction import plan
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest
from ocelog.log.compactor import rewrite
from ocelog.log.entry import RELEASE, encode
from ocelog.log.files import Disk
from ocelog.log.liveness import Frozen
from ocelog.log.log import Log, LogConfig
from ocelog.log.manifest import SegmentRecord
from ocelog.log.rewriting import Rewritten
from ocelog.log.segment import ENTRIES_START, Indexes, header, seal
from ocelog.log.snapshot import Snapshot, SnapshotHead, write_snapshot
from ocelog.log.staging import Staging

from .log_driver import TIME_MS, Held, record, sync

NEVER = 1 << 62
SHARD = 3


def indexes(values: Iterable[int]) -> Indexes:
    """Indexes as the log wants them."""
    return np.array(list(values), np.uint64)


def write(
    disk: Disk, log: Log, index: int, frozen: Frozen, pieces: Iterable[bytes] = (b"piece",)
) -> tuple[Snapshot, int]:
    """Write a snapshot at `index` beside the loop; nothing counts yet."""
    generation = log.new_generation()
    path = log.snapshot_path(index, generation)
    head = SnapshotHead(
        shard=SHARD,
        index=index,
        term=log.term_at(index),
        time=1_700_000_000_000 + index,
        digest=b"digest",
        configuration=b"configuration",
    )
    write_snapshot(disk, path, head, frozen.live(), pieces)
    return Snapshot.open(disk, path, SHARD), generation


def snapshot(disk: Disk, log: Log, index: int) -> Frozen:
    """Take a snapshot, everything up to `index` being applied, and publish it with the next sync."""
    frozen = log.freeze(index)
    log.publish_snapshot(*write(disk, log, index, frozen))
    return frozen


def planned(
    log: Log, frozen: Frozen, config: LogConfig, *, major: bool, threshold: float = 0.01
) -> list[CompactionGroup]:
    """What a compaction run would do."""
    stats = frozen.stats()
    groups = plan(
        stats,
        snapshot_index=frozen.index,
        needed_from=NEVER,
        threshold=threshold,
        segment_bytes_max=config.segment_bytes_max,
        segment_entries_max=config.segment_entries_max,
        major=major,
    )
    fields = (stats.first_index, stats.generation, stats.version, stats.last_index)
    records = [SegmentRecord(*map(int, row)) for row in zip(*fields, strict=True)]
    return [CompactionGroup(tuple(records[place] for place in group), log.new_generation()) for group in groups]


def rewritten(disk: Disk, directory: str, log: Log, groups: list[CompactionGroup]) -> list[Rewritten]:
    """Have the compactor do it, by the newest durable snapshot."""
    assert log.snapshot is not None
    request = CompactionRequest(directory=directory, shard=SHARD, snapshot_path=log.snapshot.path, groups=tuple(groups))
    done = rewrite(disk, request)
    assert [group.error for group in done.groups] == [None] * len(groups)
    return [
        Rewritten(tuple(source.generation for source in group.sources), group.target if result.entries else None)
        for group, result in zip(groups, done.groups, strict=True)
    ]


def compact(disk: Disk, directory: str, log: Log, frozen: Frozen, *, major: bool) -> int:
    """Plan, rewrite and swap; returns how many groups there were."""
    groups = planned(log, frozen, log.config, major=major)
    job = log.swap_job(rewritten(disk, directory, log, groups))
    job.run()
    assert job.error is None
    assert log.swap(job) == bool(groups)
    return len(groups)


def stage(disk: Disk, directory: str, target: Log, source: Log, from_index: int, *, chunk_bytes: int = 256) -> Staging:
    """Send a snapshot and the live entries above `from_index` from one log to another, and check them there."""
    whole = source.snapshot
    assert whole is not None
    pinned = source.pin(from_index, whole.live)
    staging = Staging(
        disk,
        directory,
        SHARD,
        target.config,
        target.new_generation,
        from_index=from_index,
        snapshot_index=whole.head.index,
        snapshot_bytes=whole.bytes,
    )
    for start in range(0, whole.bytes, chunk_bytes):
        staging.write_snapshot(start, bytes(whole.file.buffer[start : start + chunk_bytes]))
    position = 0
    while not pinned.at_end(position):
        data, sizes, position = pinned.read(position, chunk_bytes)
        staging.append(bytes(data), sizes)
    assert position == pinned.total_bytes
    staging.finish()
    return staging


def install(target: Log, staging: Staging) -> None:
    """Make it count."""
    job = target.install(staging)
    job.run()
    target.installed(job)


def present(log: Log) -> Held:
    """Every entry that is there, also at and below the dense index, read and verified."""
    found: Held = []
    for segment in log._segments:
        for index in segment.indexes().tolist():
            entry = log.entry(index)
            assert entry.index == index
            found.append((entry.index, entry.term, entry.payload))
    return found


def synced(disk: Disk, log: Log, index: int) -> Frozen:
    """Take a snapshot and make it count."""
    sync(log)
    frozen = snapshot(disk, log, index)
    sync(log)
    return frozen


def write_sparse(
    disk: Disk, path: str, present: list[int], *, first_index: int = 10, mode: int = RELEASE, extra_bytes: int = 0
) -> None:
    """A sparse segment's file, as a compactor (or, with room left in it, an install) makes it."""
    entries = [encode(index, 2, TIME_MS, [record(b"%d" % index * (index % 5), mode)]) for index in present]
    sizes = np.array([int(size[0]) for _, size in entries], np.int64)
    ends = np.cumsum(sizes) + ENTRIES_START
    count, end = len(present), int(ends[-1]) if present else ENTRIES_START
    sealed = seal(
        first_index,
        end,
        (ends - sizes).astype(np.uint32),
        np.full(count, mode, np.uint8),
        np.zeros(count, np.bool_),
        indexes(present),
    )
    head = header(shard=SHARD, first_index=first_index, version=2, created_ms=0)
    disk.write(path, [head, *(data for data, _ in entries), bytes(extra_bytes), sealed])
