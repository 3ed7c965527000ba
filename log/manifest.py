"""The manifest: the only list of what counts. A segment that it does not name does not exist, whatever files there are.

Replaced whole, so a crash leaves the old one or the new one, both complete. Truncation is a manifest that says "counts up
to i - 1": the bytes stay as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .envelope import unwrap, wrap
from .errors import Corruption

MAGIC = b"OCELOGMF"
VERSION = 1
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


@dataclass(slots=True)
class Manifest:
    """`generation` is the highest ever given to a file. S, D and the term at D are 0 as long as nothing was compacted."""

    generation: int = 0
    snapshot_index: int = 0
    dense_index: int = 0
    term_at_dense: int = 0
    segments: list[SegmentRecord] = field(default_factory=list)

    def encode(self) -> bytes:
        """The bytes of the manifest file."""
        numbers = [self.generation, self.snapshot_index, self.dense_index, self.term_at_dense]
        return wrap(MAGIC, VERSION, [*numbers, [list(record) for record in self.segments]])

    @classmethod
    def decode(cls, path: str, data: bytes) -> Manifest:
        """Read a manifest file. Raises Corruption or UnknownFormat."""
        body = unwrap(path, data, MAGIC, VERSION)
        try:
            *numbers, records = body
            generation, snapshot_index, dense_index, term_at_dense = (_whole(number) for number in numbers)
            segments = [_record(record) for record in records]
        except (TypeError, ValueError) as error:
            raise Corruption(path, f"its body is not a manifest: {error}") from None
        manifest = cls(generation, snapshot_index, dense_index, term_at_dense, segments)
        manifest._check(path)
        return manifest

    def _check(self, path: str) -> None:
        """Segments follow each other without a gap, and only the last may be open."""
        for position, record in enumerate(self.segments):
            last = position == len(self.segments) - 1
            if record.counts_to is None and not last:
                raise Corruption(path, f"segment {record.file_name} is open and not the last one")
            if not last and self.segments[position + 1].first_index != (record.counts_to or 0) + 1:
                raise Corruption(path, f"the segment behind {record.file_name} does not follow it")
            if record.generation > self.generation:
                raise Corruption(path, f"segment {record.file_name} is of a generation above {self.generation}")


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
    return record
