"""Payloads in the order in which they came, each in its own live entry: what queues keep. Order is that of the indexes.

Whatever is put back goes where its index says, in front of all that came later. So the order follows from which entries
are live, and restoring them in index order restores it.
"""

from __future__ import annotations

from collections import OrderedDict


class Arrivals(OrderedDict[int, bytes]):
    """Payloads by the index of their entry, the lowest first.

    An OrderedDict, since its first item is found at once however many were taken before; a dict looks for it behind all of them.
    """

    def take_first(self) -> tuple[int, bytes]:
        """Take the first out. Raises KeyError when there is none."""
        return self.popitem(last=False)

    def put_back(self, index: int, payload: bytes) -> None:
        """Put what was taken out back to its place. Costs what stands in front of it."""
        before = []
        while self and next(iter(self)) < index:
            before.append(self.take_first())
        self[index] = payload
        self.move_to_end(index, last=False)
        for place, other in reversed(before):
            self[place] = other
            self.move_to_end(place, last=False)
