"""What the members of a shard tell each other beside Raft: digests of what they computed, and entries that were damaged.

No term and no leader decides about these; each says what it is about, and a wrong or late one changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from .raft.messages import Message


@dataclass(slots=True, kw_only=True)
class DigestReport(Message):
    """To the leader: my digest when exactly the entries through `index` were applied, as a number."""

    index: int
    digest: int


@dataclass(slots=True, kw_only=True)
class DigestVerdict(Message):
    """From the leader: a majority of the voters has this digest at `index`."""

    index: int
    digest: int
