"""The safety properties of Raft (paper, figure 3), one checker each, run after every step on the member that moved."""

from __future__ import annotations

from collections.abc import Callable

from ocelog.shard.raft import LEADER
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.raft.messages import Message, PreVote, PreVoteResponse, TimeoutNow, Vote, VoteResponse

from .raft_disk import Entry, Files
from .raft_member import Member


class Committed:
    """What anybody has ever committed: the common knowledge of the checkers that need it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.in_term: list[int] = []  # the term of the member that committed the entry first


class ElectionSafety:
    """At most one leader is elected in a term (5.2)."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}

    def check(self, member: Member) -> None:
        core = member.core
        if core.role is LEADER:
            leader = self.leaders.setdefault(core.term, core.member)
            assert leader == core.member, f"{leader} and {core.member} lead term {core.term}"


class LeaseAlone:
    """While a leader has a lease nobody else leads a later term (thesis 6.4.1); `now` is in moments.

    `held` counts how often a lease was looked at that lasted.
    """

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.now = 0
        self.held = 0

    def check(self, member: Member) -> None:
        leading = [other.core for other in self.members if other.core.role is LEADER]
        for core in leading:
            if core.has_lease(self.now):
                self.held += 1
                later = max(leading, key=lambda other: other.term)
                assert later.term <= core.term, (
                    f"{core.member} has a lease in term {core.term}, but {later.member} leads term {later.term}"
                )


class LogMatching:
    """If two logs hold an entry of the same index and term, what both hold through it is the same (5.3).

    By induction it is enough that an index and a term always come with the same value and the same term before; where
    a log has holes, the snapshot over them says what was there.
    """

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], tuple[int, str]] = {}
        self.checked: dict[int, list[Entry]] = {}

    def check(self, member: Member) -> None:
        files = member.log.files
        known = self.checked.setdefault(member.member, [])
        same = min(len(known), len(files.entries))
        while same and known[same - 1] != files.held(same):
            same -= 1
        del known[same:]
        for index in range(same + 1, len(files.entries) + 1):
            entry, before = files.held(index), files.held(index - 1) if index > 1 else (0, "")
            assert entry is not None and before is not None, f"{member.member} misses {index} above its dense index"
            fact = (before[0], entry[1])
            assert self.seen.setdefault((index, entry[0]), fact) == fact, f"two entries {index} of term {entry[0]}"
            known.append(entry)


class LegalHoles:
    """An entry is missing only below the dense index and dead at the snapshot, which is of what was committed."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.checked: dict[int, object] = {}

    def check(self, member: Member) -> None:
        files = member.log.files
        if self.checked.get(member.member) is files:
            return
        self.checked[member.member] = files
        index = len(files.snapshot)
        assert files.dense_index <= index <= len(files.entries), f"{member.member} has a snapshot at {index}"
        assert files.snapshot == self.committed.entries[:index], f"{member.member} has a snapshot of something else"
        live = files.live
        for number, entry in enumerate(files.entries, 1):
            if entry is None:
                assert number <= files.dense_index, f"{member.member} misses {number}"
                assert number not in live, f"{member.member} misses {number}, which is live at {index}"
            elif number <= index:
                assert entry == files.snapshot[number - 1], f"{member.member} holds another entry {number}"


class StateMachineSafety:
    """Nobody commits another entry at an index (5.4.3), and no commit index falls while its member runs."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.through: dict[int, tuple[object, int]] = {}

    def check(self, member: Member) -> None:
        core = member.core
        started, before = self.through.get(member.member, (core, 0))
        if started is not core:
            before = 0  # it has started again, and learns its commit index anew, but for its snapshot
        index = core.commit_index
        assert index >= before, f"the commit index of {member.member} fell from {before} to {index}"
        self.through[member.member] = (core, index)
        known = self.committed.entries
        for position in range(before, index):
            entry = member.log.files.held(position + 1)
            assert entry is not None
            if position < len(known):
                assert known[position] == entry, f"entry {position + 1} is {known[position]} here and {entry} there"
            else:
                known.append(entry)
                self.committed.in_term.append(core.term)


class LeaderCompleteness:
    """A leader holds every entry that was committed in an earlier term than its own (5.4.3)."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.checked: set[tuple[int, int]] = set()

    def check(self, member: Member) -> None:
        core = member.core
        if core.role is not LEADER or (core.member, core.term) in self.checked:
            return
        self.checked.add((core.member, core.term))
        for position, term in enumerate(self.committed.in_term):
            if term < core.term:
                held = member.log.files.held(position + 1)
                wanted = self.committed.entries[position]
                assert held == wanted, f"leader {core.member} of term {core.term} has {held}, not {wanted}"


class DurableMajority:
    """What is committed is, or was, on a majority of the disks of those who vote by the leader's configuration.

    `files_of` tells what an incarnation of a member has, or had, made durable.
    """

    def __init__(self, committed: Committed, files_of: Callable[[int, int], Files | None]) -> None:
        self.committed = committed
        self.files_of = files_of
        self.checked = 0

    def check(self, member: Member) -> None:
        for position in range(self.checked, len(self.committed.entries)):
            held = self._held(position, member.quorum)
            assert held, f"entry {position + 1} is not on a majority of the disks of {member.quorum!r}"
        self.checked = len(self.committed.entries)

    def _held(self, position: int, configuration: Configuration) -> bool:
        voters = configuration.voters
        disks = [self.files_of(voter, configuration.incarnations[voter]) for voter in voters]
        entry = self.committed.entries[position]
        return 2 * sum(files is not None and files.held(position + 1) == entry for files in disks) > len(voters)


class ConfigurationOfTheLog:
    """The configuration that counts is the latest in the log, whatever was appended and truncated (thesis 4.1)."""

    def __init__(self) -> None:
        self.checked: dict[int, tuple[object, int]] = {}

    def check(self, member: Member) -> None:
        core, files = member.core, member.log.files
        known = (files, len(files.entries), core.configuration)
        if self.checked.get(member.member) == known:
            return
        self.checked[member.member] = known
        entries = files.configurations()
        index, data = entries[-1] if entries else (None, files.configuration)
        latest = Configuration.decode(data, index)
        same = (core.configuration.index, core.configuration.members) == (latest.index, latest.members)
        assert same, f"{member.member} goes by {core.configuration!r}, but its log says {latest!r}"


class OneVoterAtATime:
    """From one committed configuration to the next at most one voter comes or goes (thesis 4.1)."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.checked = 0
        self.voters: set[tuple[int, int]] = set()

    def check(self, member: Member) -> None:
        for index in range(self.checked + 1, len(self.committed.entries) + 1):
            value = self.committed.entries[index - 1][1]
            if isinstance(value, bytes):
                configuration = Configuration.decode(value, index)
                voters = {(voter, configuration.incarnations[voter]) for voter in configuration.voters}
                assert not self.voters or len(voters ^ self.voters) <= 1, f"{self.voters} became {voters} at {index}"
                self.voters = voters
        self.checked = len(self.committed.entries)


class ProbationCatchesUp:
    """Probation is not over before the log holds all that was committed when the incarnation began.

    `floors` tells how much that was.
    """

    def __init__(self, floors: dict[tuple[int, int], int]) -> None:
        self.floors = floors

    def check(self, member: Member) -> None:
        floor = self.floors.get((member.member, member.incarnation))
        if floor is not None and not member.probation:
            held = member.core.commit_index
            assert held >= floor, f"{member.member} may vote again with {held} entries, {floor} were committed"
            del self.floors[member.member, member.incarnation]


class QuietTransfer:
    """A leader that told another to take over takes no entry any more, but if that came to nothing (thesis 3.10)."""

    def __init__(self) -> None:
        self.told: dict[int, tuple[int, int, int]] = {}  # of each leader: the term, the end of the log and the tick

    def said(self, member: Member, messages: list[Message]) -> None:
        core = member.core
        if core.role is not LEADER or self.told.get(core.member, (core.term,))[0] != core.term:
            self.told.pop(core.member, None)
        if core.member in self.told:
            _, last_index, tick = self.told[core.member]
            waiting = core.ticks - tick < core.config.election_ticks and core.transfer_to is not None
            if waiting:
                assert core.log.last_index == last_index, f"leader {core.member} took entries after its TimeoutNow"
            else:
                del self.told[core.member]
        if core.role is LEADER and any(isinstance(message, TimeoutNow) for message in messages):
            self.told[core.member] = (core.term, core.log.last_index, core.ticks)


class SilentProbation:
    """A member in probation promises no vote and asks for none."""

    def said(self, member: Member, messages: list[Message]) -> None:
        if member.probation:
            for message in messages:
                granted = isinstance(message, VoteResponse | PreVoteResponse) and message.granted
                assert not granted, f"{member.member} votes in probation: {message}"
                assert not isinstance(message, Vote | PreVote), f"{member.member} campaigns in probation: {message}"


class LinearizableReads:
    """A read is served no earlier than at what was committed when it was asked (section 8)."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.floors: dict[object, int] = {}
        self.answered = 0

    def asked(self, read_id: object) -> None:
        """A leader took this read."""
        self.floors[read_id] = len(self.committed.entries)

    def check(self, member: Member) -> None:
        for read_id, index in member.reads:
            floor = self.floors.pop(read_id)
            assert index >= floor, f"read {read_id} is served at {index}, but {floor} was committed before it"
            self.answered += 1
        member.reads.clear()
