"""What people and broken disks do to a group in a storm: change its members, hand over its leadership, lose its files.

Members that are added, and members that are renewed, are processes with an empty disk. Files are lost only as far as a
group survives that: a majority of every configuration that may still count must be left.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ocelog.shard.raft import LEADER
from ocelog.shard.raft.membership import Change, ChangeKind, Configuration, Refused
from ocelog.shard.raft.quorum import majority

from .raft_disk import Files
from .raft_member import Member

if TYPE_CHECKING:
    from .raft_storm import Storm

MEMBERS_MAX = 6


class Churn:
    """Operators and losses of one storm. `graves` holds what the disks of dead incarnations held."""

    def __init__(self, storm: Storm, rng: random.Random, *, much: bool) -> None:
        self.storm = storm
        self.rng = rng
        self.graves: dict[tuple[int, int], Files] = {}
        self.refused: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.floors: dict[tuple[int, int], int] = {}  # what was committed when a member lost its files
        bad = rng.random() < 0.6 or much
        self.faults: list[tuple[Callable[[], None], float]] = [
            (self.change, rng.choice([0.05, 0.2] if much else [0.0, 0.05, 0.3]) if bad else 0.0),
            (self.wipe, rng.choice([0.002, 0.01] if much else [0.0, 0.01, 0.05]) if bad else 0.0),
            (self.transfer, rng.choice([0.005, 0.02] if much else [0.0, 0.02, 0.1])),
        ]

    @property
    def members(self) -> list[Member]:
        return self.storm.members

    def files_of(self, member: int, incarnation: int) -> Files | None:
        """What is or was durable at one incarnation."""
        if member < len(self.members) and self.members[member].incarnation == incarnation:
            return self.members[member].disk.files
        return self.graves.get((member, incarnation))

    def lives(self, member: int, incarnation: int) -> bool:
        """Whether this incarnation is the one that runs."""
        return member < len(self.members) and self.members[member].incarnation == incarnation

    # -- changes -----------------------------------------------------------------------------------

    def change(self) -> None:
        """Somebody asks a leader for a change, perhaps with an old idea of the configuration."""
        leader = self._a_leader()
        if leader is None:
            return
        configuration = leader.core.configuration
        if not all(self.lives(member.member, member.incarnation) for member in configuration.members):
            return  # whoever lost its files comes back first, or the group may have to wait for it for ever
        change = self._some_change(configuration)
        version = configuration.index if self.rng.random() < 0.9 else self.rng.randint(0, configuration.index)
        try:
            payload = leader.core.propose(change, version)
        except Refused as refusal:
            self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
            return
        self.count(change.kind.value)
        leader.propose(payload)
        if change.kind in (ChangeKind.ADD, ChangeKind.RENEW):
            self._begin_again(change.member, change.incarnation)
        self.storm.end_turn(leader)

    def _some_change(self, configuration: Configuration) -> Change:
        kind = self.rng.choice(list(ChangeKind))
        member = self.rng.randrange(min(MEMBERS_MAX, len(self.members) + 1))
        if kind is ChangeKind.RENEW and self._may_lose(member):
            return Change(kind, member, self._next_incarnation(member))
        if kind is ChangeKind.ADD and member not in configuration.incarnations:
            return Change(kind, member, self._next_incarnation(member))
        return Change(kind if kind not in (ChangeKind.ADD, ChangeKind.RENEW) else ChangeKind.PROMOTE, member)

    def _next_incarnation(self, member: int) -> int:
        return self.members[member].incarnation + 1 if member < len(self.members) else 1

    def transfer(self) -> None:
        """Somebody asks a leader to hand over."""
        leader = self._a_leader()
        if leader is not None:
            try:
                leader.core.transfer(self.rng.randrange(len(self.members)))
                self.count("transfer")
            except Refused as refusal:
                self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
            self.storm.end_turn(leader)

    def _a_leader(self) -> Member | None:
        leaders = [member for member in self.members if member.core.role is LEADER]
        return self.rng.choice(leaders) if leaders else None

    # -- losses ------------------------------------------------------------------------------------

    def wipe(self) -> None:
        """A member's files are lost, if the group survives that."""
        member = self.rng.randrange(len(self.members))
        if self._may_lose(member):
            self.count("wipe")
            self._begin_again(member, self._next_incarnation(member))

    def _begin_again(self, member: int, incarnation: int) -> None:
        storm = self.storm
        if member < len(self.members):
            lost = self.members[member]
            self.graves[member, lost.incarnation] = lost.disk.files
        if incarnation > 1:
            self.floors[member, incarnation] = len(storm.committed.entries)
        fresh = Member(
            member,
            storm.founders,
            config=self.members[0].config,
            seed=incarnation,
            incarnation=incarnation,
            lease_ms=self.members[0].lease_ms,
        )
        if member < len(self.members):
            self.members[member] = fresh
        else:
            self.members.append(fresh)

    def _may_lose(self, member: int) -> bool:
        """Whether a majority is left of every configuration that may still count for anybody."""
        return all(
            sum(self.lives(voter, incarnation) and voter != member for voter, incarnation in voters)
            >= majority(len(voters))
            for voters in self._voters_that_count()
        )

    def _voters_that_count(self) -> Iterator[list[tuple[int, int]]]:
        for member in self.members:
            core = member.core
            committed = core.configuration_at(core.commit_index).index
            for configuration in core.configurations:
                if configuration.index >= committed:
                    yield [(voter, configuration.incarnations[voter]) for voter in configuration.voters]

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1
