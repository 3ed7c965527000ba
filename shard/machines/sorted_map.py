"""The sorted map: a map whose keys are in order, opaque values.

    scores = client.sorted_map("scores")
    scores.put(17, "ada")
    scores.first()                        # (17, "ada"), or None
    scores.ceiling(10)                    # the first entry whose key is 10 or more
    list(scores.range(10, 20))            # from 10 on, before 20
    scores.poll_first()                   # taken out

What a map does, it does (`MapMachine`), with versions, conditions, times to live and events; what has to do with order is that of
`Sorted`. Both leave their state in the same live entries, RELEASE, and who listens in the snapshot.
"""

from __future__ import annotations

from typing import ClassVar

from .base import Commit, query
from .map import MapMachine
from .sorting import Sorted


class SortedMapMachine(Sorted[tuple[int, bytes]], MapMachine):
    """Keeps what a map keeps, and the keys in order."""

    type_name: ClassVar[str] = "sorted_map"

    def write_last(self, key: bytes, held: tuple[int, bytes]) -> tuple[int, bytes] | None:
        """Have this under the key, behind all others; the key stays at its place in order."""
        return self.live.write_last(key, held)

    @query
    def keys(self, commit: Commit) -> list[bytes]:
        """All keys in order."""
        return list(self.in_order())

    @query
    def values(self, commit: Commit) -> list[bytes]:
        """The values of all keys, in the order of the keys."""
        return [self.live[key][1] for key in self.in_order()]

    @query
    def entries(self, commit: Commit) -> list[list[bytes]]:
        """All keys in order, with their values."""
        return [[key, self.live[key][1]] for key in self.in_order()]
