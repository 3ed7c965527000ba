"""Which shard serves which slot: 16384 slots in equal ranges, fixed when a cluster is first started.

Pure arithmetic. The slot of a key is defined by the client protocol, because every client computes it too:
`crc32(routing key) & 0x3FFF`.
"""

from __future__ import annotations

from ..client.protocol.limits import SLOTS
from ..client.protocol.routing import SlotTable, slot_of

__all__ = ["SLOTS", "SlotRange", "SlotTable", "equal_ranges", "slot_of"]

SlotRange = tuple[int, int, int]
"""First slot, last slot (inclusive), shard."""


def equal_ranges(shards: int) -> list[SlotRange]:
    """All slots in `shards` ranges whose sizes differ by at most one. Raises ValueError for a number without sense."""
    if not 1 <= shards <= SLOTS:
        raise ValueError(f"{shards} shards cannot share {SLOTS} slots")
    edges = [shard * SLOTS // shards for shard in range(shards + 1)]
    return [(edges[shard], edges[shard + 1] - 1, shard) for shard in range(shards)]
