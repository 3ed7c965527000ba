"""A seeded storm: a few members whose messages are lost, repeated and reordered, whose disks are slow and who crash.

Meanwhile they compact their logs, and members come, go, lose their files and hand over (raft_churn). Time goes in
moments. After the storm comes calm, in which a leader must be found and a new entry committed by everybody.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from ocelog.shard.raft import LEADER, RaftConfig
from ocelog.shard.raft.messages import Install, Message

from .raft_checkers import (
    Committed,
    ConfigurationOfTheLog,
    DurableMajority,
    ElectionSafety,
    LeaderCompleteness,
    LeaseAlone,
    LegalHoles,
    LinearizableReads,
    LogMatching,
    OneVoterAtATime,
    ProbationCatchesUp,
    QuietTransfer,
    SilentProbation,
    StateMachineSafety,
)
from .raft_churn import MEMBERS_MAX, Churn
from .raft_member import Member
from .raft_transfer import Staging

CONFIG = RaftConfig(
    heartbeat_ticks=1, election_ticks=6, append_bytes_max=300, inflight_messages_max=3, inflight_bytes_max=700
)

PATIENT = replace(CONFIG, election_ticks=20)

Link = tuple[int, int]


class Storm:
    """One run; `play` raises AssertionError if a property breaks. How bad the weather is depends on the seed, too.

    With `churn` there are fewer faults, so that leaders last and much happens under them: members come, go, lose their
    files, fall behind and hand over, and logs are compacted, whatever the seed. With `leases` clocks run evenly, pledges
    last as short as they may, and connections break all the time between members that live. Without, nobody has a lease,
    and no pledge outlives a connection or a crash: nothing else rests on them, so there is no harm but more elections.
    """

    def __init__(self, seed: int, *, churn: bool = False, leases: bool = False) -> None:
        self.rng = rng = random.Random(seed)
        self.founders = list(range(rng.choice([1, 2, 3, 3, 3, 3, 4, 5])))
        self.config = PATIENT if leases else CONFIG
        # In moments. A tick takes a moment or more, but the first after a member heard its leader may come at once.
        lease = self.config.election_ticks - 1 if leases else 0
        self.keeps_pledges = leases
        self.members = [
            Member(member, self.founders, config=self.config, seed=seed, lease_ms=lease) for member in self.founders
        ]
        self.leases = LeaseAlone(self.members)
        self.wire: list[Message] = []
        self.streams: dict[tuple[int, ...], dict[int, Install]] = {}  # every part that was ever sent
        self.cut: set[Link] = set()
        self.proposed = 0

        # Chances per moment, or per message.
        self.clock = [1.0 if leases else rng.choice([0.3, 0.5]) for _ in range(MEMBERS_MAX)]
        self.arrival = 0.9 if churn else rng.choice([0.5, 0.9])
        self.reordering = rng.random() < 0.5
        self.loss = rng.choice([0.0, 0.02, 0.1])
        self.repetition = rng.choice([0.0, 0.1])
        self.disk = [rng.choice([0.5, 1.0] if churn else [0.2, 0.5, 1.0]) for _ in range(MEMBERS_MAX)]
        if rng.random() < 0.5 and not leases:
            self.disk[rng.randrange(MEMBERS_MAX)] = 0.05
        self.proposal = rng.choice([0.1, 0.5])
        self.compaction = rng.choice([0.1, 0.3] if churn else [0.0, 0.02, 0.1, 0.3])
        self.refusal = rng.choice([0.0, 0.0, 0.3])
        self.insistence = 0.1
        self.publishing = rng.choice([0.05, 0.2, 1.0])  # what is published is much for a disk
        self.churn = Churn(self, rng, much=churn)
        self.faults: list[tuple[Callable[[], None], float]] = [
            (self.partition, rng.choice([0.01, 0.04] if churn else [0.0, 0.05, 0.15])),
            (self.crash, rng.choice([0.0, 0.02] if churn else [0.0, 0.05])),
            (self.lose_power, rng.choice([0.0, 0.002] if churn else [0.0, 0.02])),
            (self.lose_connection, 0.3 if leases else rng.choice([0.0, 0.02] if churn else [0.0, 0.05, 0.2])),
            (self.repeat_install, rng.choice([0.0, 0.05, 0.2])),
            *self.churn.faults,
        ]

        self.committed = committed = Committed()
        self.elections = ElectionSafety()
        self.reads = LinearizableReads(committed)
        self.checkers = [
            self.elections,
            LogMatching(),
            LegalHoles(committed),
            StateMachineSafety(committed),
            LeaderCompleteness(committed),
            DurableMajority(committed, self.churn.files_of),
            ConfigurationOfTheLog(),
            OneVoterAtATime(committed),
            ProbationCatchesUp(self.churn.floors),
            self.reads,
            self.leases,
        ]
        self.listeners = [QuietTransfer(), SilentProbation()]

    def play(self, moments: int) -> None:
        """The storm, then the calm."""
        for _ in range(moments):
            for fault, chance in self.faults:
                if self.rng.random() < chance:
                    fault()
            self.moment()
        self.calm()

    def moment(self) -> None:
        """Time passes, some messages arrive, some disks finish, and clients want something of whoever leads."""
        rng = self.rng
        self.leases.now += 1
        for member in self.members:
            member.now = self.leases.now
            if rng.random() < self.clock[member.member]:
                member.core.tick()
                self.end_turn(member)
        self.deliver_some()
        for member in self.members:
            speed = self.disk[member.member] * (self.publishing if member.publishing is not None else 1.0)
            if rng.random() < speed:
                self.sync(member)
            if rng.random() < self.compaction:
                self.compact(member)
            if rng.random() < self.insistence:
                self.send(member, member.repeat_parts())
            if self.takes_entries(member) and rng.random() < self.proposal:
                self.read(member, object())
                self.propose(member, rng.choice([1, 1, 2, 12]))
                self.end_turn(member)

    def takes_entries(self, member: Member) -> bool:
        """Whether a client may propose something here, as its replica would see it."""
        return member.core.role is LEADER and not member.core.transferring

    def end_turn(self, member: Member) -> None:
        """A member's turn, and every check."""
        self.send(member, member.turn())
        for checker in self.checkers:
            checker.check(member)

    def send(self, member: Member, messages: list[Message]) -> None:
        """What a member says, heard by those who check what is said."""
        self.wire += messages
        for message in messages:
            if isinstance(message, Install):
                stream = (message.to, *Staging.stream_of(message))
                self.streams.setdefault(stream, {})[message.position] = message
        for listener in self.listeners:
            listener.said(member, messages)

    def deliver_some(self) -> None:
        """Each message under way arrives in this moment, or later, or never; or now and once more later."""
        rng = self.rng
        under_way, self.wire = self.wire, []
        if self.reordering:
            rng.shuffle(under_way)
        for message in under_way:
            if rng.random() >= self.arrival or rng.random() < self.repetition:
                self.wire.append(message)
            if rng.random() < self.arrival and rng.random() >= self.loss:
                self.deliver(message)

    def deliver(self, message: Message) -> None:
        if (message.sender, message.to) not in self.cut:
            member = self.members[message.to]
            member.receive(message)
            if isinstance(message, Install) and self.rng.random() < self.refusal:
                member.refuse_stream()
            self.end_turn(member)

    def sync(self, member: Member) -> None:
        if member.job is not None:
            self.send(member, member.end_sync())
        elif member.must_sync:
            member.begin_sync()
        self.end_turn(member)

    def compact(self, member: Member) -> None:
        """A snapshot at the commit index, and some of what it covers goes, if all of it is durable."""
        rng, core = self.rng, member.core
        if core.installing or core.commit_index > core.persisted_index or not core.commit_index:
            return
        member.compact(rng.randint(0, core.commit_index), share=0.8)
        self.end_turn(member)

    def propose(self, member: Member, count: int) -> None:
        member.propose(*(f"v{self.proposed + number}" for number in range(count)))
        self.proposed += count

    def read(self, member: Member, read_id: object) -> None:
        assert member.core.read(read_id)
        self.reads.asked(read_id)

    # -- faults ------------------------------------------------------------------------------------

    def partition(self) -> None:
        """Cut a member off, or mute or deafen it, or cut some links in one direction each; or heal everything."""
        victim = self.rng.randrange(len(self.members))
        cuts: list[Callable[[Link], bool]] = [
            lambda link: False,
            lambda link: victim in link,
            lambda link: link[0] == victim,
            lambda link: link[1] == victim,
            lambda link: self.rng.random() < 0.4,
        ]
        cut = self.rng.choice(cuts)
        self.cut = {(a.member, b.member) for a in self.members for b in self.members if cut((a.member, b.member))}
        if self.rng.random() < 0.5:
            for sender, to in sorted(self.cut):
                self.notice_loss(sender, self.members[to])

    def crash(self) -> None:
        """Somebody crashes, best with something not yet durable."""
        unsynced = [member for member in self.members if member.must_sync or member.job]
        member = self.rng.choice(unsynced or self.members)
        self.crash_one(member)
        self.end_turn(member)
        if self.keeps_pledges and self.rng.random() < 0.5:
            for other in self.members:
                other.core.peer_died(member.member)
                self.notice_loss(member.member, other)

    def crash_one(self, member: Member) -> None:
        member.crash(self.rng)
        if not self.keeps_pledges:
            member.forget_pledge()

    def lose_power(self) -> None:
        """Everybody crashes at once."""
        for member in self.members:
            self.crash_one(member)
        for member in self.members:
            self.end_turn(member)

    def lose_connection(self) -> None:
        """What is under way from one member to another is lost, and the other notices."""
        sender, member = self.rng.randrange(len(self.members)), self.rng.choice(self.members)
        self.wire = [message for message in self.wire if (message.sender, message.to) != (sender, member.member)]
        self.notice_loss(sender, member)

    def repeat_install(self) -> None:
        """A whole install, or what was sent of it, arrives once more, however late."""
        if self.streams:
            parts = self.rng.choice(list(self.streams.values()))
            for position in sorted(parts):
                self.deliver(parts[position])

    def notice_loss(self, sender: int, member: Member) -> None:
        member.core.peer_gone(sender)
        if not self.keeps_pledges:
            member.core.peer_died(sender)
        self.end_turn(member)

    # -- liveness ----------------------------------------------------------------------------------

    def calm(self) -> None:
        """No more faults: soon there is a leader, and what it proposes is committed everywhere."""
        self.cut, self.loss, self.repetition, self.reordering = set(), 0.0, 0.0, False
        self.clock, self.disk, self.arrival = [1.0] * MEMBERS_MAX, [1.0] * MEMBERS_MAX, 1.0
        self.proposal = self.compaction = self.refusal = 0.0
        self.insistence = self.publishing = 1.0
        self.pass_time(20 * self.config.election_ticks)
        leaders = [member for member in self.members if member.core.role is LEADER]
        leader = max(leaders, key=lambda member: member.core.term, default=None)
        assert leader is not None, f"nobody leads: {[member.core.role.name for member in self.members]}"
        self.read(leader, "calm")
        last_index = leader.propose("calm")
        self.end_turn(leader)
        self.pass_time(4)
        configuration = leader.core.configuration
        assert not configuration.returning, f"not all that lost their files vote again: {configuration!r}"
        group = [self.members[member.member] for member in configuration.members]
        assert [member.incarnation for member in group] == [*configuration.incarnations.values()], "a dead one is left"
        assert not any(member.probation for member in group), "somebody is in probation still"
        behind = {member.member: member.core.commit_index for member in group}
        assert set(behind.values()) == {last_index}, f"not all have committed {last_index}: {behind}"
        assert "calm" not in self.reads.floors, "the read was not answered"

    def pass_time(self, ticks: int) -> None:
        """After each tick, everything that was said arrives and everything written is synced."""
        for _ in range(ticks):
            self.moment()
            for _ in range(10_000):
                busy = [member for member in self.members if member.must_sync or member.job]
                if not busy and not self.wire:
                    break
                for member in busy:
                    self.sync(member)
                self.deliver_some()
            else:
                raise AssertionError("they never stop talking")
