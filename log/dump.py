"""Checks all files of a replica without changing any: every checksum, every index, every term.

Reads more than opening does, which maps sealed segments without looking at their entries. It writes nothing and maps
nothing, so it may run beside a replica; what that one appends meanwhile is seen as far as it got.

Invariant: one `Finding` per file, whatever its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import identity, manifest, meta
from .entry import HEADER
from .envelope import unwrap
from .errors import Corruption, LogError
from .files import Disk
from .identity import Identity
from .manifest import Manifest, SegmentRecord
from .recovery import OWN_FILE, scan
from .segment import ENTRIES_START, Segment

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
    yield Finding(path, True, f"{len(found.segments)} segments, generation {found.generation}")
    term = 0
    for record in found.segments:
        finding, term = _segment(disk, f"{directory}/log/{record.file_name}", record, shard, term)
        yield finding
    yield from _leftovers(disk, f"{directory}/log", {record.file_name for record in found.segments})


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


def _segment(disk: Disk, path: str, record: SegmentRecord, shard: int | None, term: int) -> tuple[Finding, int]:
    """Check one segment that begins behind an entry of `term`; returns the term of its last entry too."""
    try:
        file = _Bytes(path, disk.read(path))
        segment = Segment.map(
            file,
            shard=_shard_of(file) if shard is None else shard,
            first_index=record.first_index,
            generation=record.generation,
        )
        notes = _check_entries(segment, record)
        first_term = _term_at(segment, ENTRIES_START) if segment.count else term
        if first_term < term:
            raise Corruption(
                path, f"term {first_term} follows term {term}", offset=ENTRIES_START, index=record.first_index
            )
    except (LogError, FileNotFoundError) as error:
        return Finding(path, False, _reason(error)), term
    last_term = _term_at(segment, segment.offset_of(segment.last_index)) if segment.count else term
    extent = f"entries {segment.first_index}..{segment.last_index}" if segment.count else "no entries"
    text = f"{segment.count} entries, {extent}, {segment.end - ENTRIES_START} bytes"
    return Finding(path, True, ", ".join([text, *notes])), last_term


def _check_entries(segment: Segment, record: SegmentRecord) -> list[str]:
    """Verify every entry that counts; returns what else is worth saying. Raises Corruption."""
    problem = scan(segment, record.counts_to)
    must_hold = segment.synced_through() if record.counts_to is None else record.counts_to
    if segment.last_index < must_hold:
        raise Corruption(
            segment.file.path, problem or "the file ends", offset=segment.end, index=segment.last_index + 1
        )
    if record.counts_to is None:
        return _tail_notes(segment)
    _check_footer(segment)
    return []


def _tail_notes(segment: Segment) -> list[str]:
    tail = bytes(segment.buffer[segment.end :]).rstrip(b"\0")
    if not tail:
        return ["open"]
    return ["open", f"{len(tail)} bytes behind them that were never synced and will be cut"]


def _check_footer(segment: Segment) -> None:
    """The arrays of a sealed segment must agree with its entries. Without a footer opening scans, which is slow, not wrong."""
    sealed = Segment(segment.file, segment.first_index, segment.generation, segment.version)
    if sealed.load_rows() and not (
        np.array_equal(sealed.offset[: segment.count], segment.offset[: segment.count])
        and np.array_equal(sealed.mode[: segment.count], segment.mode[: segment.count])
    ):
        raise Corruption(segment.file.path, "its arrays do not agree with its entries", offset=segment.end)


def _leftovers(disk: Disk, directory: str, listed: set[str]) -> Iterator[Finding]:
    for name in disk.list(directory):
        if name not in listed:
            ours = OWN_FILE.fullmatch(name) is not None
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
