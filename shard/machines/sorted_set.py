"""The sorted set: values in order, each an integer, a text or a binary.

    names = client.sorted_set("names")
    names.add("bob")
    names.first()                         # or None
    names.higher("ada")                   # the first one behind "ada"
    list(names.range("a", "c"))           # from "a" on, before "c"
    names.poll_last()                     # taken out

What a set does, it does (`SetMachine`), with times to live and events; what has to do with order is that of `Sorted`. Both leave
their state in the same live entries, RELEASE, and who listens in the snapshot.
"""

from __future__ import annotations

from typing import ClassVar

from .base import Commit, query
from .set import SetMachine
from .sorting import Sorted


class SortedSetMachine(Sorted[int], SetMachine):
    """Keeps what a set keeps, and the values in order."""

    type_name: ClassVar[str] = "sorted_set"

    @query
    def values(self, commit: Commit) -> list[bytes]:
        """All values in order."""
        return list(self.in_order())
