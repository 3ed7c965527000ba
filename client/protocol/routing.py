"""Which shard a resource lives on: a checksum every language has, 16384 slots, and a table of ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from .limits import SLOTS


def slot_of(routing_key: bytes) -> int:
    """The slot of a routing key (a resource's name in UTF-8): zlib's CRC-32, its low 14 bits."""
    return crc32(routing_key) & (SLOTS - 1)


class SlotTable:
    """Slot to shard, made from ranges `(first slot, last slot, shard)` that cover every slot exactly once.

    Raises ValueError when they do not.
    """

    def __init__(self, ranges: Iterable[Sequence[int]]) -> None:
        self.ranges = sorted((int(first), int(last), int(shard)) for first, last, shard in ranges)
        shards: list[int] = []
        for first, last, shard in self.ranges:
            if first != len(shards) or not first <= last < SLOTS:
                raise ValueError(f"slots {first}..{last} do not follow slot {len(shards) - 1}")
            shards.extend([shard] * (last - first + 1))
        if len(shards) != SLOTS:
            raise ValueError(f"{len(shards)} of {SLOTS} slots are assigned")
        self._shard_of_slot = tuple(shards)

    def shard_of(self, routing_key: bytes) -> int:
        """The shard that serves the routing key."""
        return self._shard_of_slot[slot_of(routing_key)]
