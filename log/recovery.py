"""From files to segments, after a clean stop, a crash or a power loss.

Unsynced pages reach a disk in any order, so a valid entry may follow a torn one. What tells a torn tail, which was never
acknowledged, from corruption is the sync mark: damage at or below it or the snapshot's index (as far as the manifest counts) is
corruption and refused; above it the log is cut at the first bad entry. Closed segments were synced whole before the manifest
named their successor, so damage anywhere in them is corruption. What may be missing below the dense index is told by the live
set of the snapshot and by nothing else.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import numpy as np

from .entry import HEADER, MODE_AT, damage, padded
from .errors import Corruption
from .files import Disk
from .manifest import NAME, Manifest, SegmentRecord
from .reserve import NAME as RESERVE
from .segment import ENTRIES_START, FOOTER, ROW_BYTES, SPARSE_ROW_BYTES, Segment
from .snapshot import Snapshot
from .terms import TermRuns

logger = logging.getLogger(__name__)

TAIL_PIECE_BYTES = 1 << 20

OWN_FILE = re.compile(r"(?:\d+|spare)-(\d+)\.seg")
OWN_SNAPSHOT = re.compile(r"\d+-(\d+)\.snap")


def read_manifest(disk: Disk, directory: str) -> Manifest:
    """The manifest of a replica directory; a fresh directory gets an empty one. Raises Corruption, UnknownFormat."""
    path = f"{directory}/{NAME}"
    if disk.exists(path):
        return Manifest.decode(path, disk.read(path))
    if disk.list(f"{directory}/log"):
        raise Corruption(path, "it is missing, but there are segments")
    manifest = Manifest()
    disk.replace(path, manifest.encode())
    return manifest


def remove_leftovers(disk: Disk, directory: str, manifest: Manifest) -> int:
    """Remove segments and snapshots that the manifest does not name; returns the highest generation seen in any name."""
    generation = manifest.generation
    segments = {record.file_name for record in manifest.segments}
    for folder, pattern, wanted in (
        ("log", OWN_FILE, segments | {RESERVE}),
        ("snapshots", OWN_SNAPSHOT, {manifest.snapshot_name}),
    ):
        for name in disk.list(f"{directory}/{folder}"):
            match = pattern.fullmatch(name)
            if match is not None:
                generation = max(generation, int(match[1]))
            if name in wanted:
                continue
            if match is None:
                logger.warning("%s/%s/%s is not a file of this log; it is left alone", directory, folder, name)
            else:
                disk.remove(f"{directory}/{folder}/{name}")
    return generation


def open_snapshot(disk: Disk, directory: str, shard: int, manifest: Manifest) -> Snapshot | None:
    """The snapshot that the manifest names, whole and verified; None if it names none. Raises Corruption, UnknownFormat."""
    if manifest.snapshot_name is None:
        return None
    path = f"{directory}/snapshots/{manifest.snapshot_name}"
    if not disk.exists(path):
        raise Corruption(path, "the manifest names it and it is missing")
    snapshot = Snapshot.open(disk, path, shard)
    if snapshot.head.index != manifest.snapshot_index:
        raise Corruption(path, f"it is of index {snapshot.head.index}, and its name says otherwise")
    return snapshot


def open_segments(disk: Disk, directory: str, shard: int, manifest: Manifest) -> list[Segment]:
    """Map every segment that the manifest names and find its rows. Raises Corruption or UnknownFormat."""
    segments = []
    for record in manifest.segments:
        if record.counts_to is None:
            segment = _map(disk, directory, shard, record)
            _scan_open(segment, manifest.snapshot_index)
        else:
            segment = open_closed(disk, directory, shard, record)
        segments.append(segment)
    return segments


def open_closed(disk: Disk, directory: str, shard: int, record: SegmentRecord) -> Segment:
    """Map a segment that is not appended to, and take its rows up to where it counts. Raises Corruption, UnknownFormat."""
    segment = _map(disk, directory, shard, record)
    assert record.counts_to is not None, f"{record.file_name} is open"
    counts_to = record.counts_to
    if segment.index is not None:
        if not segment.load_rows():
            # Whether the scan found all that has to be there is told by the live set.
            problem = scan(segment, counts_to)
            logger.warning("%s: its arrays are damaged, the entries were read instead: %s", segment.file.path, problem)
    elif not (segment.load_rows() and segment.last_index >= counts_to):
        problem = scan(segment, counts_to)
        if problem is not None:
            raise Corruption(segment.file.path, problem, offset=segment.end, index=segment.last_index + 1)
    segment.cut(counts_to)
    return segment


def _map(disk: Disk, directory: str, shard: int, record: SegmentRecord) -> Segment:
    path = f"{directory}/log/{record.file_name}"
    if not disk.exists(path):
        raise Corruption(path, "the manifest names it and it is missing", index=record.first_index)
    segment = Segment.map(disk.open(path), shard=shard, first_index=record.first_index, generation=record.generation)
    if segment.version != record.version:
        text = f"it is of segment version {segment.version}, and the manifest says {record.version}"
        raise Corruption(path, text, offset=20)
    return segment


def _scan_open(segment: Segment, snapshot_index: int) -> None:
    """Find the entries of the open segment, and cut a torn tail."""
    # S was published when the log was synced through it, which may be later than what the mark says.
    mark = max(segment.synced_through(), snapshot_index)
    problem = scan(segment, None)
    if segment.last_index < mark:
        reason = problem or "the file ends"
        text = f"{reason}, but it was synced through entry {mark}"
        raise Corruption(segment.file.path, text, offset=segment.end, index=segment.last_index + 1)
    dropped = _clear_tail(segment)
    if dropped:
        logger.info(
            "%s: dropped %d bytes behind entry %d that were never acknowledged (%s)",
            segment.file.path,
            dropped,
            segment.last_index,
            problem,
        )


def _clear_tail(segment: Segment) -> int:
    """Zero what lies behind the last entry, so that no stale entry can ever follow a new one. Returns the bytes cleared.

    Nothing there was handed out by this process, so rewriting it disturbs no reader.
    """
    tail = np.frombuffer(segment.buffer, np.uint8)[segment.end :]
    extent = 0
    # In pieces, since the positions that flatnonzero returns take eight times the room of the bytes.
    for start in range(0, len(tail), TAIL_PIECE_BYTES):
        piece = tail[start : start + TAIL_PIECE_BYTES]
        used = np.flatnonzero(piece)
        if len(used):
            piece[:] = 0
            extent = start + int(used[-1]) + 1
    return extent


def scan(segment: Segment, counts_to: int | None) -> str | None:
    """Find the rows of a segment by reading its entries, up to `counts_to` or the first one that is not valid.

    Returns what is wrong with the entry behind the last row, or None when `counts_to` was reached or nothing follows. In a
    sparse segment whatever follows the entries cannot be told from a bad one, unless an entry of `counts_to` is there.
    """
    buffer, position, index = segment.buffer, ENTRIES_START, segment.first_index
    sparse = segment.index is not None
    row_bytes = SPARSE_ROW_BYTES if sparse else ROW_BYTES
    offsets: list[int] = []
    indexes: list[int] = []
    last_term = 0
    problem: str | None = None
    unpack = HEADER.unpack_from
    while counts_to is None or index <= counts_to:
        limit = segment.file.size - FOOTER.size - row_bytes * len(offsets)
        problem = damage(buffer, position, limit)
        if problem is not None:
            break
        _, length, found, term, *_ = unpack(buffer, position)
        if found < index or (found > index and not sparse) or term < last_term:
            problem = f"entry {found} of term {term} follows entry {index - 1} of term {last_term}"
            break
        if counts_to is not None and found > counts_to:
            break
        offsets.append(position)
        indexes.append(found)
        position += padded(length)
        index = found + 1
        last_term = term
    rows = np.array(offsets, np.uint32)
    modes = np.frombuffer(buffer, np.uint8)[rows.astype(np.int64) + MODE_AT]
    segment.adopt_rows(rows, modes, position, np.array(indexes, np.uint64) if sparse else None)
    return problem


def term_runs(segments: Iterable[Segment], dense_index: int, term_at_dense: int) -> TermRuns:
    """The terms of the entries above D, found by bisection over the headers: the cost is per change of term.

    Every entry that is looked at is verified: a wrong term would make Raft keep or drop the wrong ones. One that is damaged is
    of the term of its neighbours if they are of one term, since terms never fall; so a damaged entry alone keeps no log
    from opening, and is got back when it is read. Raises Corruption where its term could be another.
    """
    runs = TermRuns(dense_index, term_at_dense)
    unknown: Corruption | None = None
    for segment in segments:
        row = segment.rows_through(dense_index)
        while row < segment.count:
            try:
                term = _term_of(segment, row)
            except Corruption as problem:
                unknown, row = unknown or problem, row + 1
                continue
            if term < runs.last_term:
                reason = f"its term {term} is below {runs.last_term}, the one before it"
                raise Corruption(
                    segment.file.path, reason, offset=int(segment.offset[row]), index=segment.first_index + row
                )
            if unknown is not None and term != runs.last_term:
                raise unknown
            unknown = None
            runs.extend(segment.first_index + row, term)
            row = _last_of_term(segment, row, term) + 1
    if unknown is not None:
        raise unknown
    return runs


def _last_of_term(segment: Segment, row: int, term: int) -> int:
    """The last sound row from `row` on that is of its term, by bisection; those between two such rows are of that term too."""
    low, high = row, segment.count
    while high - low > 1:
        middle = (low + high) // 2
        # A damaged one tells nothing: the next sound one behind it is looked at, or the search goes on in front of it.
        sound = next(((at, found) for at in range(middle, high) if (found := _sound_term(segment, at))), None)
        if sound is not None and sound[1] <= term:
            low = sound[0]
        else:
            high = middle
    return low


def _sound_term(segment: Segment, row: int) -> int | None:
    try:
        return _term_of(segment, row)
    except Corruption:
        return None


def check_against_snapshot(path: str, last_index: int, terms: TermRuns, snapshot: Snapshot) -> None:
    """The log must reach S, and say of S what the snapshot says. Raises Corruption."""
    head = snapshot.head
    if last_index < head.index:
        # S is published only when the log is synced through it, so this is no torn tail.
        raise Corruption(path, f"the log ends at entry {last_index}, below its snapshot at {head.index}")
    term = terms.term_at(head.index)
    if term != head.term:
        text = f"entry {head.index} is of term {term}, and of term {head.term} in the snapshot"
        raise Corruption(path, text, index=head.index)


def _term_of(segment: Segment, row: int) -> int:
    offset, index = int(segment.offset[row]), segment.first_index + row
    problem = damage(segment.buffer, offset, segment.end)
    _, _, found, term, *_ = HEADER.unpack_from(segment.buffer, offset)
    if problem is None and found != index:
        problem = f"it is entry {found} in the place of {index}"
    if problem is not None:
        raise Corruption(segment.file.path, problem, offset=offset, index=index)
    return int(term)
