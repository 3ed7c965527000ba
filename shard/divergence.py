"""Compares what the members of a shard computed: their rolling digests at agreed indexes.

Every member reports its digest to the leader at agreed indexes. Once a
majority of the voters has one digest for an index, whoever has another one is odd: its state cannot be trusted, and it
stops. Without such a majority the difference is shown and nobody is blamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from .raft.quorum import majority

V = TypeVar("V")

KEPT = 16
"""Indexes of which digests are remembered."""


class Diverged(Exception):
    """This replica computed something else than the majority did."""

    exit_code = 65


class Divergence:
    """The digests of one replica and, while it leads, those that it was told. `disagreeing` names members that differ.

    `compared` counts the digests told since the process began, `differing` the indexes at which not all were the same.
    """

    def __init__(self, shard: int, member: int) -> None:
        self.shard = shard
        self.member = member
        self.index = 0
        self.disagreeing: tuple[int, ...] = ()
        self.compared = self.differing = 0
        self._own: dict[int, bytes] = {}
        self._told: dict[int, dict[int, bytes]] = {}

    def note(self, index: int, digest: bytes) -> None:
        """This replica's state at `index` has this digest."""
        self.index = index
        self._own[index] = digest
        _forget(self._own)

    def told(self, member: int, index: int, digest: bytes, voters: Sequence[int]) -> list[tuple[int, bytes]]:
        """Leader: a member reports. Returns (member, digest of the majority) for everyone who is odd at this index.

        Raises Diverged when this replica is the odd one.
        """
        known = self._told.setdefault(index, {})
        differed = len(set(known.values())) > 1
        known[member] = digest
        _forget(self._told)
        self.compared += 1
        votes = Counter(known[voter] for voter in voters if voter in known)
        if len(set(known.values())) == 1:
            if votes.total() == len(voters):
                self.disagreeing = ()  # whoever was odd has come back with the state of the others
            return []
        self.differing += not differed
        winner, count = votes.most_common(1)[0]
        if count < majority(len(voters)):
            self.disagreeing = tuple(sorted(known))
            return []
        odd = [(each, winner) for each, value in sorted(known.items()) if value != winner]
        self.disagreeing = tuple(each for each, _ in odd)
        self.judged(index, winner)
        return [(each, value) for each, value in odd if each != self.member]

    def judged(self, index: int, digest: bytes) -> None:
        """The majority has this digest at `index`. Raises Diverged when this replica has another one."""
        own = self._own.get(index)
        if own is not None and own != digest:
            raise Diverged(
                f"shard {self.shard} replica {self.member}: its state differs from the majority's at entry {index} (digest "
                f"{own.hex()}, theirs {digest.hex()}); it stops serving. Keep its directory for analysis; to bring the "
                "replica back, remove the directory and start it again"
            )


def _forget(known: dict[int, V]) -> None:
    while len(known) > KEPT:
        del known[min(known)]
