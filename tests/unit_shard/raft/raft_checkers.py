"""The safety properties of Raft (paper, figure 3), one checker each, run after every step on the member that moved."""

from __future__ import annotations

from ocelog.shard.raft import LEADER

from .raft_disk import Entry
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
    """An entry is missing only below the dense index, which a snapshot of what was committed covers."""

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
        for number, entry in enumerate(files.entries, 1):
            if entry is None:
                assert number <= files.dense_index, f"{member.member} misses {number}"
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
    """What is committed is on a majority of disks."""

    def __init__(self, committed: Committed, members: list[Member]) -> None:
        self.committed = committed
        self.members = members
        self.checked = 0

    def check(self, member: Member) -> None:
        for position in range(self.checked, len(self.committed.entries)):
            entry = self.committed.entries[position]
            holders = [other for other in self.members if other.disk.files.held(position + 1) == entry]
            assert 2 * len(holders) > len(self.members), f"entry {position + 1} is on {len(holders)} disks only"
        self.checked = len(self.committed.entries)


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
