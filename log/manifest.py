"""The manifest: the only list of what counts. A segment that it does not name does not exist, whatever files there are.

Replaced whole, so a crash leaves the old one or the new one, both complete. Truncation is a manifest that says "counts up
to i - 1": the bytes stay as they were. Above the dense index D no entry is missing; at and below it segments may be sparse,
and ranges of indexes without any entry need no segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .envelope import unwrap, wrap
from .errors import Corruption
from .segment import SPARSE_VERSION_MIN, Segment

MAGIC = b"OCELOGMF"
VERSION = 2
NAME = "manifest"


class SegmentRecord(NamedTuple):
    """One segment: its first index, the generation in its file name, its version (how often it was rewritten), and the
    index up to which it counts (None for the open one: all that is valid in it counts)."""

    first_index: int
    generation: int
    version: int
    counts_to: int | None

    @property
    def file_name(self) -> str:
        """A name is never used twice, since the generation comes from a counter."""
        return f"{self.first_index}-{self.generation}.seg"


def record_of(segment: Segment, counts_to: int | None) -> SegmentRecord:
    """A segment as the manifest lists it."""
    return SegmentRecord(segment.first_index, segment.generation, segment.version, counts_to)


def snapshot_name(index: int, generation: int) -> str:
    """The file name of a snapshot, in the directory `snapshots`."""
    return f"{index}-{generation}.snap"


@dataclass(slots=True)
class Manifest:
    """`generation` is the highest ever given to a file. The other numbers are 0 as long as there is no snapshot."""

    generation: int = 0
    snapshot_index: int = 0
    snapshot_generation: int = 0
    dense_index: int = 0
    term_at_dense: int = 0
    segments: list[SegmentRecord] = field(default_factory=list)

    def encode(self) -> bytes:
        """The bytes of the manifest file."""
        snapshot = (self.snapshot_index, self.snapshot_generation)
        segments = [list(record) for record in self.segments]
        return wrap(MAGIC, VERSION, [self.generation, *snapshot, self.dense_index, self.term_at_dense, segments])

    @classmethod
    def decode(cls, path: str, data: bytes) -> Manifest:
        """Read a manifest file. Raises Corruption or UnknownFormat."""
        body = unwrap(path, data, MAGIC, VERSION)
        try:
            *numbers, records = body
            generation, index, snapshot_generation, dense_index, term = (_whole(number) for number in numbers)
            segments = [_record(record) for record in records]
        except (TypeError, ValueError) as error:
            raise Corruption(path, f"its body is not a manifest: {error}") from None
        manifest = cls(generation, index, snapshot_generation, dense_index, term, segments)
        manifest._check(path)
        return manifest

    @property
    def snapshot_name(self) -> str | None:
        """The file name of the snapshot, None without one."""
        return snapshot_name(self.snapshot_index, self.snapshot_generation) if self.snapshot_index else None

    def _check(self, path: str) -> None:
        """Segments ascend, nothing is missing above D, and only the last may be open."""
        if self.dense_index > self.snapshot_index:
            raise Corruption(path, f"its dense index {self.dense_index} is above its snapshot's {self.snapshot_index}")
        if self.snapshot_generation > self.generation:
            raise Corruption(path, f"its snapshot is of a generation above {self.generation}")
        last_index = 0
        for position, record in enumerate(self.segments):
            name = record.file_name
            if record.counts_to is None and position < len(self.segments) - 1:
                raise Corruption(path, f"segment {name} is open and not the last one")
            if record.first_index <= last_index:
                raise Corruption(path, f"segment {name} begins at or below {last_index}, where the one before it ends")
            if record.first_index - 1 > max(last_index, self.dense_index):
                raise Corruption(path, f"segment {name} leaves a gap behind {last_index}, above {self.dense_index}")
            if record.version >= SPARSE_VERSION_MIN and (record.counts_to or record.first_index) > self.dense_index:
                raise Corruption(path, f"segment {name} is sparse and not below the dense index {self.dense_index}")
            if record.generation > self.generation:
                raise Corruption(path, f"segment {name} is of a generation above {self.generation}")
            last_index = record.counts_to or record.first_index


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is not a number")
    return value


def _record(fields: object) -> SegmentRecord:
    if type(fields) is not list or len(fields) != 4:
        raise ValueError("a segment is [first index, generation, version, counts to]")
    counts_to = None if fields[3] is None else _whole(fields[3])
    record = SegmentRecord(_whole(fields[0]), _whole(fields[1]), _whole(fields[2]), counts_to)
    if record.first_index < 1 or (counts_to is not None and counts_to < record.first_index):
        raise ValueError(f"segment {record.file_name} counts from {record.first_index} to {counts_to}")
    if counts_to is None and record.version >= SPARSE_VERSION_MIN:
        raise ValueError(f"segment {record.file_name} is sparse and open")
    return record
