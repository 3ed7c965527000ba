"""Members in one process and the messages between them, delivered when the test says so.

Disks are immediate unless `slow_disks` is set; then `sync(member)` finishes what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ocelog.shard.raft import LEADER, RaftConfig
from ocelog.shard.raft.membership import Change, ChangeKind
from ocelog.shard.raft.messages import Append, Message

from .raft_member import Member

DELIVERIES_MAX = 100_000


class Cluster:
    """`wire` holds the messages under way, oldest first; what `cut` says true of is dropped when it would be delivered."""

    def __init__(
        self,
        members: int = 3,
        *,
        config: RaftConfig | None = None,
        logs: dict[int, list[int]] | None = None,
        term: int | None = None,
        seed: int = 0,
        slow_disks: bool = False,
    ) -> None:
        self.config = config
        self.founders = list(range(members))
        self.members = [
            Member(member, self.founders, config=config, seed=seed, terms=(logs or {}).get(member), term=term)
            for member in self.founders
        ]
        self.wire: list[Message] = []
        self.slow_disks = slow_disks
        self.cut: Callable[[Message], bool] = lambda message: False

    def __getitem__(self, member: int) -> Member:
        return self.members[member]

    def turn(self, member: int) -> list[Message]:
        """End a member's turn; what leaves is put on the wire and returned."""
        subject = self.members[member]
        messages = subject.turn() if self.slow_disks else subject.settle()
        self.wire += messages
        return messages

    def sync(self, member: int) -> list[Message]:
        """A slow disk finishes what it was given."""
        messages = self.members[member].sync()
        messages += self.members[member].turn()
        self.wire += messages
        return messages

    def deliver(self, message: Message) -> list[Message]:
        """Deliver one message, unless it is cut; returns what the receiver's turn sent."""
        if self.cut(message):
            return []
        self.members[message.to].receive(message)
        return self.turn(message.to)

    def run(self) -> None:
        """Deliver in order until nothing is under way."""
        for _ in range(DELIVERIES_MAX):
            if not self.wire:
                return
            self.deliver(self.wire.pop(0))
        raise AssertionError(f"still talking after {DELIVERIES_MAX} deliveries, at last {self.wire[-1]}")

    def tick(self, members: Iterable[int] | None = None, ticks: int = 1) -> None:
        """Time passes for some members (all by default); messages are delivered after each tick."""
        for _ in range(ticks):
            for member in range(len(self.members)) if members is None else members:
                self.members[member].core.tick()
                self.turn(member)
            self.run()

    def time_out(self, member: int) -> None:
        """Let a member's election timeout run out."""
        core = self.members[member].core
        core.elapsed, core.pledged_until = core.timeout - 1, core.ticks
        core.tick()
        self.turn(member)

    def elect(self, member: int) -> Member:
        """Make a member the leader, with its noop committed everywhere it can be."""
        for other in self.members:
            other.core.elapsed = max(other.core.elapsed, other.core.config.election_ticks)
            other.core.pledged_until = other.core.ticks
            if other.core.timeout <= other.core.elapsed:
                other.core.timeout = other.core.elapsed + 1
        self.time_out(member)
        self.run()
        assert self.members[member].core.role is LEADER, f"{member} is {self.members[member].core.role.name}"
        return self.members[member]

    def change(self, leader: int, kind: ChangeKind, member: int, incarnation: int = 0) -> None:
        """A leader proposes a change of its own configuration, appends it and says so. Raises Refused."""
        subject = self.members[leader]
        version = subject.core.configuration.index
        subject.propose(subject.core.propose(Change(kind, member, incarnation), version))
        self.turn(leader)

    def begin(self, member: int, incarnation: int = 1) -> Member:
        """A process of `member` with an empty disk, in place of the one that there may be; the others see that end."""
        fresh = Member(member, self.founders, config=self.config, incarnation=incarnation)
        if member < len(self.members):
            self.members[member] = fresh
            for other in self.members:
                other.core.peer_gone(member)
                other.core.peer_died(member)
        else:
            assert member == len(self.members)
            self.members.append(fresh)
        return fresh

    def cut_off(self, *members: int) -> None:
        """Drop everything to and from these members, on the wire too; with none, drop nothing any more."""
        self.cut = lambda message: message.sender in members or message.to in members

    @property
    def leaders(self) -> list[int]:
        return [member.member for member in self.members if member.core.role is LEADER]


def commits(cluster: Cluster) -> list[int]:
    """Every member's commit index."""
    return [member.core.commit_index for member in cluster.members]


def appends(messages: Iterable[Message], to: int = 1) -> list[Append]:
    """The Appends to one member among `messages`."""
    return [message for message in messages if isinstance(message, Append) and message.to == to]
