"""A rolling digest over what a replica applied: each entry's index, result, released indexes and events.

Replicas compare theirs at equal index; a difference means that a machine is not deterministic, or that a replica holds
another log or another state. It depends on the entries alone and never on the batches they were applied in.

Three checksums over three streams, so that a batch costs a few calls and an entry almost nothing. One is of the results, each
with a mark behind it; an entry without a result has its mark too, so a result's position is its entry's index. Another
is of the releases: for every entry that released something, its index and those it released. The third is of the events:
for every batch the index that published it, the session, and a checksum of the payload.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from zlib import crc32

FORMAT = struct.Struct("<III")
"""The three checksums: of results, of releases, and of events."""

DIGEST_BYTES = FORMAT.size

BRIEF = struct.Struct("<II")
BRIEF_BYTES = BRIEF.size
"""What members tell each other."""

MARK = bytes.fromhex("c1fd5bf12e6d9ac1")
"""Behind each result. That a result holds these bytes can hide a difference and never makes one."""

TOGETHER_MAX = 64
"""So many results are copied together to be summed at once; more would be a large copy where results are large."""

assert array("Q").itemsize == 8


class Digest:
    """See the module. Begins at index 0."""

    __slots__ = ("_events", "_releases", "_results")

    def __init__(self) -> None:
        self._events = self._releases = self._results = 0

    def fold(self, results: Sequence[bytes], releases: Sequence[int], events: Sequence[int] = ()) -> None:
        """Take the next entries: a result (or nothing, empty) for each, their releases, and their events.

        `releases` are, for each entry that released something, its index and then those it released; as none of them
        is higher than the entry's own, that can be read in one way only.
        `events` are three numbers for each batch: index, session, and the checksum of its payload.
        """
        checksum = self._results
        for start in range(0, len(results), TOGETHER_MAX):
            checksum = crc32(MARK, crc32(MARK.join(results[start : start + TOGETHER_MAX]), checksum))
        self._results = checksum
        if releases:
            self._releases = crc32(array("Q", releases), self._releases)
        if events:
            self._events = crc32(array("Q", events), self._events)

    def value(self) -> bytes:
        """DIGEST_BYTES bytes."""
        return FORMAT.pack(self._results, self._releases, self._events)

    def brief(self) -> bytes:
        """BRIEF_BYTES bytes, which differ where `value` does, but for one chance in four thousand million."""
        return BRIEF.pack(self._results, self._releases ^ self._events)

    def adopt(self, value: bytes) -> None:
        """Go on from a digest that `value` returned. Raises ValueError for one of another length."""
        if len(value) != DIGEST_BYTES:
            raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(value)}")
        self._results, self._releases, self._events = FORMAT.unpack(value)
