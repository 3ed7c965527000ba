"""Logs with something to compact: closed segments, a snapshot with a given live set, and what a rewritten file holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest, GroupResult
from ocelog.log.entry import COMMAND, RELEASE, Entry, Record
from ocelog.log.files import Disk
from ocelog.log.log import LogConfig
from ocelog.log.manifest import Manifest, SegmentRecord
from ocelog.log.recovery import open_closed
from ocelog.log.segment import Segment
from ocelog.log.snapshot import SnapshotHead, write_snapshot

from .log_driver import TIME_MS, open_log, sync

SHARD = 3
SMALL = LogConfig(segment_bytes_max=1 << 16, segment_entries_max=20)


def released(payload: bytes) -> Record:
    """A command whose state is its live entry."""
    return (COMMAND, RELEASE, 3, 11, 22, payload)


def write_log(
    disk: Disk, directory: str, payloads: Sequence[bytes], config: LogConfig = SMALL
) -> tuple[SegmentRecord, ...]:
    """A log of these commands, from index 1 on, and closed; returns the records of its closed segments."""
    log = open_log(disk, directory, config)
    for payload in payloads:
        log.append(1, TIME_MS, [released(payload)])
    sync(log)
    log.close()
    records = Manifest.decode("manifest", disk.read(f"{directory}/manifest")).segments
    return tuple(record for record in records if record.counts_to is not None)


def write_live_set(disk: Disk, directory: str, snapshot_index: int, live: Sequence[int], generation: int = 77) -> str:
    """A snapshot with nothing in it but a live set; returns its path."""
    head = SnapshotHead(shard=SHARD, index=snapshot_index, term=1, time=TIME_MS, digest=b"", configuration=b"")
    path = f"{directory}/snapshots/{snapshot_index}-{generation}.snap"
    disk.make_directory(f"{directory}/snapshots")
    write_snapshot(disk, path, head, np.array(live, np.uint64), [])
    return path


def request(directory: str, snapshot_path: str, *groups: tuple[Sequence[SegmentRecord], int]) -> CompactionRequest:
    """A request for groups of (sources, generation)."""
    return CompactionRequest(
        directory=directory,
        shard=SHARD,
        snapshot_path=snapshot_path,
        groups=tuple(CompactionGroup(tuple(sources), generation) for sources, generation in groups),
    )


def rewritten(disk: Disk, directory: str, record: SegmentRecord) -> Segment:
    """The segment that a group became."""
    return open_closed(disk, directory, SHARD, record)


def entries_of(segment: Segment) -> dict[int, bytes]:
    """Payload by index, each entry verified."""
    found = {}
    for row, index in enumerate(segment.indexes().tolist()):
        entry = Entry.decode(segment.buffer, int(segment.offset[row]))
        assert (entry.index, entry.mode) == (index, int(segment.mode[row]))
        found[index] = entry.payload
    assert segment.end == int(segment.sizes().sum()) + 64
    return found


def told(result: GroupResult) -> str:
    """Why a group failed."""
    assert result.error is not None, result
    assert (result.entries, result.bytes) == (0, 0)
    return result.error
