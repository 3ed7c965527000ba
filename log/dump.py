"""Checks all files of a replica without changing any: every checksum, every index, every term.

Reads more than opening does, which maps sealed segments without looking at their entries. It writes nothing and maps
nothing, so it may run beside a replica; what that one appends meanwhile is seen as far as it got.

Invariant: one `Finding` per file, whatever its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import NamedTuple

import numpy as np

from . import identity, manifest, meta
from .entry import HEADER
from .envelope import unwrap
from .errors import Corruption, LogError
from .files import Disk
from .identity import Identity
from .manifest import Manifest, SegmentRecord
from .recovery import OWN_FILE, OWN_SNAPSHOT, scan
from .reserve import NAME as RESERVE
from .segment import ENTRIES_START, Segment
from .segments import Segments
from .snapshot import Snapshot

REPLICA_NAME = re.compile(r"replica-\d+")
SHARD_NAME = re.compile(r"shard-\d+")


class Finding(NamedTuple):
    """What is to be said about one file."""

    path: str
    sound: bool
    text: str


class _Bytes:
    """A file read into memory: nothing can be written to it."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.size = len(data)
        self.buffer = memoryview(data)

    def sync(self) -> None:
        raise AssertionError(f"{self.path} is only read")


def replica_directories(disk: Disk, directory: str) -> list[str]:
    """The replica directories that `directory` is or holds: itself, its replica-*, or the replica-* of its shard-*."""
    names = disk.list(directory)
    if manifest.NAME in names or "log" in names:
        return [directory]
    found = [f"{directory}/{name}" for name in names if REPLICA_NAME.fullmatch(name)]
    for shard in filter(SHARD_NAME.fullmatch, names):
        found += [
            f"{directory}/{shard}/{name}" for name in disk.list(f"{directory}/{shard}") if REPLICA_NAME.fullmatch(name)
        ]
    return found


def check(disk: Disk, directory: str) -> Iterator[Finding]:
    """Check the files of one replica directory, in the order in which a replica opens them."""
    shard, finding = _identity(disk, f"{directory}/identity")
    yield finding
    for name in meta.COPIES:
        yield _meta(disk, f"{directory}/{name}")
    path = f"{directory}/{manifest.NAME}"
    try:
        found = Manifest.decode(path, disk.read(path))
    except (LogError, FileNotFoundError) as error:
        yield Finding(path, False, _reason(error))
        return
    yield Finding(path, True, _describe(found))
    checker = _SegmentChecker(disk, f"{directory}/log", shard, found.snapshot_index)
    yield from map(checker.check, found.segments)
    if found.snapshot_name is not None:
        path = f"{directory}/snapshots/{found.snapshot_name}"
        complete = len(checker.sound) == len(found.segments)
        yield _snapshot(disk, path, found.snapshot_index, shard, Segments(path, checker.sound) if complete else None)
    yield from _leftovers(disk, f"{directory}/log", {record.file_name for record in found.segments})
    yield from _leftovers(disk, f"{directory}/snapshots", {found.snapshot_name})


def _describe(found: Manifest) -> str:
    text = f"{len(found.segments)} segments, generation {found.generation}"
    if found.snapshot_index:
        text += f", snapshot at {found.snapshot_index}, dense from {found.dense_index + 1} on"
    return text


def _identity(disk: Disk, path: str) -> tuple[int | None, Finding]:
    """The shard, None if it cannot be told, and what is to be said."""
    try:
        found = Identity(**unwrap(path, disk.read(path), identity.MAGIC, identity.VERSION))
    except TypeError:
        return None, Finding(path, False, "its body is not an identity")
    except (LogError, FileNotFoundError) as error:
        return None, Finding(path, False, _reason(error))
    return found.shard, Finding(path, True, found.describe())


def _meta(disk: Disk, path: str) -> Finding:
    try:
        counter, term, voted_for, _ = unwrap(path, disk.read(path), meta.MAGIC, meta.VERSION)
    except (TypeError, ValueError):
        return Finding(path, False, "its body is not [counter, term, vote, configuration]")
    except (LogError, FileNotFoundError) as error:
        return Finding(path, False, _reason(error))
    vote = "no vote" if voted_for is None else f"vote for replica {voted_for}"
    return Finding(path, True, f"term {term}, {vote}, store {counter}")


class _SegmentChecker:
    """Checks segments in the order of the manifest; `sound` are those that passed."""

    def __init__(self, disk: Disk, directory: str, shard: int | None, snapshot_index: int) -> None:
        self._disk = disk
        self._directory = directory
        self._shard = shard
        self._snapshot_index = snapshot_index
        self._term = 0
        self.sound: list[Segment] = []

    def check(self, record: SegmentRecord) -> Finding:
        """Check one, which lies behind those before it."""
        path = f"{self._directory}/{record.file_name}"
        try:
            file = _Bytes(path, self._disk.read(path))
            shard = _shard_of(file) if self._shard is None else self._shard
            segment = Segment.map(file, shard=shard, first_index=record.first_index, generation=record.generation)
            if segment.version != record.version:
                raise Corruption(path, f"it is of segment version {segment.version}, not {record.version}", offset=20)
            if segment.index is not None:
                notes = _check_sparse(segment, record)
            else:
                notes = _check_dense(segment, record, self._snapshot_index)
            self._check_term(segment)
        except (LogError, FileNotFoundError) as error:
            return Finding(path, False, _reason(error))
        self.sound.append(segment)
        extent = f"entries {segment.first_index}..{segment.last_index}" if segment.count else "no entries"
        if segment.index is not None:
            extent = f"of {segment.first_index}..{segment.last_index}, version {segment.version}"
        text = f"{segment.count} entries, {extent}, {segment.end - ENTRIES_START} bytes"
        return Finding(path, True, ", ".join([text, *notes]))

    def _check_term(self, segment: Segment) -> None:
        """Terms never fall from one segment to the next; within one the scan has seen to it. Raises Corruption."""
        if segment.count:
            term = _term_at(segment, ENTRIES_START)
            if term < self._term:
                text = f"term {term} follows term {self._term}"
                raise Corruption(segment.file.path, text, offset=ENTRIES_START, index=int(segment.indexes()[0]))
            self._term = _term_at(segment, int(segment.offset[segment.count - 1]))


def _check_dense(segment: Segment, record: SegmentRecord, snapshot_index: int) -> list[str]:
    """Verify every entry that counts; returns what else is worth saying. Raises Corruption."""
    problem = scan(segment, record.counts_to)
    must_hold = max(segment.synced_through(), snapshot_index) if record.counts_to is None else record.counts_to
    if segment.last_index < must_hold:
        raise Corruption(
            segment.file.path, problem or "the file ends", offset=segment.end, index=segment.last_index + 1
        )
    if record.counts_to is None:
        return _tail_notes(segment)
    # Without a footer opening scans, which is slow, not wrong.
    sealed = _sealed(segment)
    if sealed is not None and not _agree(sealed, segment):
        raise Corruption(segment.file.path, "its arrays do not agree with its entries", offset=segment.end)
    return []


def _check_sparse(segment: Segment, record: SegmentRecord) -> list[str]:
    """Verify every entry that the arrays name. Raises Corruption."""
    assert record.counts_to is not None
    sealed = _sealed(segment)
    if sealed is None:
        raise Corruption(segment.file.path, "its arrays are damaged, and nothing else tells which entries it holds")
    sealed.cut(record.counts_to)
    problem = scan(segment, record.counts_to)
    segment.cut(record.counts_to)
    if segment.count < sealed.count:
        index, offset = int(sealed.indexes()[segment.count]), int(sealed.offset[segment.count])
        raise Corruption(segment.file.path, problem or "the entry is missing", offset=offset, index=index)
    if not _agree(sealed, segment) or not np.array_equal(sealed.indexes(), segment.indexes()):
        raise Corruption(segment.file.path, "its arrays do not agree with its entries", offset=segment.end)
    return []


def _sealed(segment: Segment) -> Segment | None:
    """The segment as its footer tells it, None when that is not valid."""
    sealed = Segment(segment.file, segment.first_index, segment.generation, segment.version)
    return sealed if sealed.load_rows() else None


def _agree(sealed: Segment, scanned: Segment) -> bool:
    rows = slice(scanned.count)
    return np.array_equal(sealed.offset[rows], scanned.offset[rows]) and np.array_equal(
        sealed.mode[rows], scanned.mode[rows]
    )


def _snapshot(disk: Disk, path: str, index: int, shard: int | None, segments: Segments | None) -> Finding:
    """Check the snapshot, and that every entry which is live in it is there (None: they cannot be told)."""
    try:
        found = Snapshot.parse(_Bytes(path, disk.read(path)), shard)
        if found.head.index != index:
            raise Corruption(path, f"it is of index {found.head.index}, and its name says otherwise")
        missing = None if segments is None else segments.missing(found.live, index)
        if missing is not None:
            raise Corruption(path, "the entry is live, and in no segment", index=missing)
    except (LogError, FileNotFoundError) as error:
        return Finding(path, False, _reason(error))
    text = f"at entry {index} of term {found.head.term}, {len(found.live)} live entries, {found.bytes} bytes"
    return Finding(path, True, text)


def _tail_notes(segment: Segment) -> list[str]:
    tail = bytes(segment.buffer[segment.end :]).rstrip(b"\0")
    if not tail:
        return ["open"]
    return ["open", f"{len(tail)} bytes behind them that were never synced and will be cut"]


def _leftovers(disk: Disk, directory: str, listed: Set[str | None]) -> Iterator[Finding]:
    for name in disk.list(directory) if disk.exists(directory) else []:
        if name == RESERVE:
            yield Finding(f"{directory}/{name}", True, "room kept in reserve")
        elif name not in listed:
            ours = OWN_FILE.fullmatch(name) is not None or OWN_SNAPSHOT.fullmatch(name) is not None
            text = "no part of the log; removed at the next start" if ours else "a foreign file; left alone"
            yield Finding(f"{directory}/{name}", True, text)


def _shard_of(file: _Bytes) -> int:
    """The shard a segment says it is of, when there is no identity to compare it with."""
    return int.from_bytes(file.buffer[16:20], "little")


def _term_at(segment: Segment, offset: int) -> int:
    term: int = HEADER.unpack_from(segment.buffer, offset)[3]
    return term


def _reason(error: LogError | FileNotFoundError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, Corruption):
        offset = "" if error.offset is None else f" at offset {error.offset}"
        index = "" if error.index is None else f", entry {error.index}"
        return f"{error.reason}{offset}{index}"
    return str(error)
