"""Who leads each shard, as far as a router was told. Numbers in, decisions out.

Invariants: the term of a shard never falls. A replica that was lost, or that said it does not lead, is believed to
lead that same term again only on its own word: the others go on naming it until they elect another.
"""

from __future__ import annotations

from ...client.protocol.frames import NO_LEADER_KNOWN


class Leaders:
    """The known leader of every shard; `targets[shard]` is its member number, or None."""

    def __init__(self, shards: int, replicas: int) -> None:
        self.replicas = replicas
        self.terms = [0] * shards
        self.targets: list[int | None] = [None] * shards

    def learn(self, by: int, term: int, leader: int) -> bool:
        """Member `by` says who leads its shard in `term` (`leader` is a replica of that shard, or NO_LEADER_KNOWN).

        Returns True when the shard's leader is another one now, leads another term, or is no longer known.
        """
        shard = by // self.replicas
        if leader >= self.replicas:
            return leader == NO_LEADER_KNOWN and term >= self.terms[shard] and self.lost(by)
        member = shard * self.replicas + leader
        restored = term == self.terms[shard] and self.targets[shard] is None and by == member
        if term <= self.terms[shard] and not restored:
            return False
        self.terms[shard] = term
        self.targets[shard] = member
        return True

    def lost(self, member: int) -> bool:
        """The member cannot be reached, or leads no more. Returns True when it was known to lead."""
        shard = member // self.replicas
        if self.targets[shard] != member:
            return False
        self.targets[shard] = None
        return True
