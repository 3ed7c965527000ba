"""What compaction decides, as functions of numbers: which segments are worth rewriting, and which bytes of one stay.

Knows no files and no log. An entry at or below S may go if and only if it is dead in the live set at S: that one rule is
`keep_mask`, and nothing else here decides about an entry. Everything per entry is vectorised; loops are over segments.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .entry import RELEASE
from .segment import ENTRIES_START, FOOTER, SPARSE_ROW_BYTES, Indexes

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VERSIONS_MAX = 4
"""From this version on a segment counts as no older: without a bound one dead entry in a hundred would have a segment
that was rewritten fifty times rewritten again, and so every minute."""


@dataclass(frozen=True, kw_only=True)
class SegmentStats:
    """The segments that may be compacted, ascending: one number per segment in each array.

    `bytes` and `live_bytes` are those of the entries present and of the live ones, padding included.
    """

    first_index: Numbers
    last_index: Numbers
    generation: Numbers
    version: Numbers
    entries: Numbers
    live_entries: Numbers
    bytes: Numbers
    live_bytes: Numbers

    def __post_init__(self) -> None:
        counts = {len(getattr(self, field.name)) for field in fields(self)}
        assert len(counts) == 1, f"arrays of {sorted(counts)} segments"

    def __len__(self) -> int:
        return len(self.first_index)


def plan(
    stats: SegmentStats,
    *,
    snapshot_index: int,
    needed_from: int,
    threshold: float,
    segment_bytes_max: int,
    segment_entries_max: int,
    major: bool,
) -> list[Numbers]:
    """Groups of positions in `stats`; the segments of a group are neighbours and become one segment, or none.

    Minor: every segment with dead fraction x version >= `threshold`, each a group of its own, those that win most for
    what they cost first. Major: all that hold something dead or fit together with a neighbour, ascending. A segment that
    reaches above S, or to `needed_from` or above it, is left alone.
    """
    allowed = (stats.last_index <= snapshot_index) & (stats.last_index < needed_from)
    dead_bytes = stats.bytes - stats.live_bytes
    if major:
        return _combined(stats, np.flatnonzero(allowed), segment_bytes_max, segment_entries_max)
    fraction = dead_bytes / np.maximum(stats.bytes, 1)
    worth = fraction * np.minimum(stats.version, VERSIONS_MAX) >= threshold
    chosen = np.flatnonzero(allowed & worth & (dead_bytes > 0))
    chosen = chosen[np.argsort(-fraction[chosen], kind="stable")]
    return [chosen[position : position + 1] for position in range(len(chosen))]


def _combined(stats: SegmentStats, allowed: Numbers, bytes_max: int, entries_max: int) -> list[Numbers]:
    """Neighbours together as long as the result fits one segment. What is whole and alone stays as it is."""
    groups = []
    size = np.concatenate(([0], np.cumsum(stats.live_bytes[allowed] + SPARSE_ROW_BYTES * stats.live_entries[allowed])))
    count = np.concatenate(([0], np.cumsum(stats.live_entries[allowed])))
    room = bytes_max - ENTRIES_START - FOOTER.size
    # Where segments are left out in between, what lies on either side are no neighbours.
    breaks = np.append(np.flatnonzero(np.diff(allowed) != 1) + 1, len(allowed))
    begin = 0
    while begin < len(allowed):
        fitting = np.searchsorted(size, size[begin] + room, side="right") - 1
        countable = np.searchsorted(count, count[begin] + entries_max, side="right") - 1
        neighbours = breaks[np.searchsorted(breaks, begin, side="right")]
        # One that fits nowhere, since its rows take more room now, is rewritten alone all the same.
        end = max(begin + 1, int(min(fitting, countable, neighbours)))
        group = allowed[begin:end]
        if len(group) > 1 or (stats.live_entries[group] < stats.entries[group]).any():
            groups.append(group)
        begin = end
    return groups


def within(live: Indexes, first_index: int, last_index: int) -> Indexes:
    """The part of a live set that lies in first_index..last_index."""
    begin = np.searchsorted(live, np.uint64(first_index))
    return live[begin : np.searchsorted(live, np.uint64(last_index), side="right")]


def keep_mask(index: Indexes, mode: npt.NDArray[np.uint8], live: Indexes, snapshot_index: int) -> Mask:
    """Which entries of a segment stay: those that are live at S, and those above S. `index` and `live` ascend.

    `live` is the live set `within` what the segment covers. Raises MissingEntry if one of it is not in the segment, or
    is there and cannot be live.
    """
    keep = np.zeros(len(index), np.bool_)
    rows = _rows(index, live)
    missing = np.flatnonzero(index[rows] != live) if len(index) else np.arange(len(live))
    if len(missing):
        raise MissingEntry(int(live[missing[0]]), "it is live in the snapshot and missing in the segment")
    keep[rows] = True
    wrong = np.flatnonzero(mode[rows] != RELEASE)
    if len(wrong):
        raise MissingEntry(int(live[wrong[0]]), "it is live in the snapshot and its mode says that it cannot be")
    keep[np.searchsorted(index, np.uint64(snapshot_index), side="right") :] = True
    return keep


def _rows(index: Indexes, live: Indexes) -> Numbers:
    """Where each live entry is, or would be, in `index`; some row where it would be behind the last one."""
    if not len(index) or not len(live):
        return np.zeros(0, np.int64)
    first, last = int(index[0]), int(index[-1])
    if last - first + 1 == len(index) and live[0] >= first and live[-1] <= last:
        return (live - np.uint64(first)).astype(np.int64)
    return np.minimum(np.searchsorted(index, live), len(index) - 1)


class MissingEntry(Exception):
    """The live set and a segment contradict each other at entry `index`."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"entry {index}: {reason}")


def runs(keep: Mask, offset: npt.NDArray[np.uint32], end: int) -> tuple[Numbers, Numbers]:
    """Where the runs of neighbouring entries that stay begin and end in the file, ascending.

    `offset` says where each entry begins, `end` where the last one ends.
    """
    if not len(keep):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    edges = np.flatnonzero(keep[1:] != keep[:-1]) + 1
    # The runs begin at every other edge; the first and the last row are edges where they stay.
    if keep[0]:
        edges = np.concatenate(([0], edges))
    begins, stops = edges[0::2], edges[1::2]
    starts = offset[begins].astype(np.int64)
    if len(stops) < len(begins):
        ends = np.append(offset[stops].astype(np.int64), end)
    else:
        ends = offset[stops].astype(np.int64)
    return starts, ends


def live_bytes(keep: Mask, offset: npt.NDArray[np.uint32], end: int) -> int:
    """Bytes of the entries that stay."""
    starts, ends = runs(keep, offset, end)
    return int(ends.sum() - starts.sum())
