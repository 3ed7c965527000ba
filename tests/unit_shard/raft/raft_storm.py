"""A seeded storm: a few members whose messages are lost, repeated and reordered, whose disks are slow and who crash.

After the storm comes calm, in which a leader must be found and a new entry committed by everybody.
"""

from __future__ import annotations

import random

from ocelog.shard.raft import LEADER, RaftConfig
from ocelog.shard.raft.messages import Message

from .raft_checkers import (
    Committed,
    DurableMajority,
    ElectionSafety,
    LeaderCompleteness,
    LinearizableReads,
    LogMatching,
    StateMachineSafety,
)
from .raft_member import Member

CONFIG = RaftConfig(
    heartbeat_ticks=1, election_ticks=6, append_bytes_max=300, inflight_messages_max=3, inflight_bytes_max=700
)
WIRE_MAX = 200


class Storm:
    """One run; `play` raises AssertionError if a property breaks."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        voters = list(range(self.rng.choice([1, 2, 3, 3, 3, 4, 5])))
        self.members = [Member(member, voters, config=CONFIG, seed=seed) for member in voters]
        self.wire: list[Message] = []
        self.reordering = self.rng.choice([0.0, 0.1, 1.0])
        self.loss = self.rng.choice([0.0, 0.02, 0.2])
        self.cut: set[tuple[int, int]] = set()
        self.proposed = 0
        committed = Committed()
        self.committed = committed
        self.reads = LinearizableReads(committed)
        self.checkers = [
            ElectionSafety(),
            LogMatching(),
            StateMachineSafety(committed),
            LeaderCompleteness(committed),
            DurableMajority(committed, self.members),
            self.reads,
        ]
        self.actions = {
            self.tick: 25,
            self.deliver: 60,
            self.sync: 20,
            self.propose: 8,
            self.read: 4,
            self.lose_connection: 0.5,
            self.partition: 0.5,
            self.crash: self.rng.choice([0.0, 0.3, 1.0]),
        }

    def play(self, steps: int) -> None:
        """The storm, then the calm."""
        actions, weights = list(self.actions), list(self.actions.values())
        for action in self.rng.choices(actions, weights, k=steps):
            self.step(action)
        self.calm()

    def step(self, action) -> None:
        """One action on one member, its turn, and every check."""
        member = action(self.rng.choice(self.members))
        if member is not None:
            self.wire += member.turn()
            del self.wire[:-WIRE_MAX]
            for checker in self.checkers:
                checker.check(member)

    # -- actions: each returns the member that moved -----------------------------------------------

    def tick(self, member: Member) -> Member:
        member.core.tick()
        return member

    def deliver(self, _: Member) -> Member | None:
        if not self.wire:
            return None
        position = self.rng.randrange(len(self.wire)) if self.rng.random() < self.reordering else 0
        message = self.wire[position] if self.rng.random() < self.loss else self.wire.pop(position)
        if (message.sender, message.to) in self.cut or self.rng.random() < self.loss:
            return None
        self.members[message.to].receive(message)
        return self.members[message.to]

    def sync(self, member: Member) -> Member:
        if member.job is not None:
            self.wire += member.end_sync()
        elif member.must_sync:
            member.begin_sync()
        return member

    def propose(self, member: Member) -> Member | None:
        if member.core.role is not LEADER:
            return None
        count = self.rng.randint(1, 12)
        member.propose(*(f"v{self.proposed + number}" for number in range(count)))
        self.proposed += count
        return member

    def read(self, member: Member) -> Member | None:
        read_id = object()
        if not member.core.read(read_id):
            return None
        self.reads.asked(read_id)
        return member

    def lose_connection(self, member: Member) -> Member:
        other = self.rng.randrange(len(self.members))
        self.wire = [message for message in self.wire if (message.sender, message.to) != (other, member.member)]
        member.core.peer_gone(other)
        return member

    def partition(self, _: Member) -> None:
        """Cut some links, each in one direction, or none."""
        links = [(a.member, b.member) for a in self.members for b in self.members]
        self.cut = {link for link in links if self.rng.random() < self.rng.choice([0.0, 0.0, 0.3, 0.6])}

    def crash(self, member: Member) -> Member:
        member.crash(self.rng)
        return member

    # -- liveness ----------------------------------------------------------------------------------

    def calm(self) -> None:
        """No more faults: soon there is a leader, and what it proposes is committed everywhere."""
        self.cut, self.loss, self.reordering = set(), 0.0, 0.0
        self._pass_time(20 * CONFIG.election_ticks)
        leaders = [member for member in self.members if member.core.role is LEADER]
        leader = max(leaders, key=lambda member: member.core.term, default=None)
        assert leader is not None, f"nobody leads: {[member.core.role.name for member in self.members]}"
        last_index = leader.propose("calm")
        self.reads.asked("calm")
        assert leader.core.read("calm")
        self._pass_time(4)
        behind = {member.member: member.core.commit_index for member in self.members}
        assert set(behind.values()) == {last_index}, f"not all have committed {last_index}: {behind}"
        assert "calm" not in self.reads.floors, "the read was not answered"

    def _pass_time(self, ticks: int) -> None:
        for _ in range(ticks):
            for member in self.members:
                self.step(lambda _, member=member: self.tick(member))
            for _ in range(10_000):
                if not (self.wire or any(member.must_sync or member.job for member in self.members)):
                    break
                self.step(self.deliver)
                for member in self.members:
                    if member.must_sync or member.job:
                        self.step(lambda _, member=member: self.sync(member))
            else:
                raise AssertionError("they never stop talking")
