"""The invariants of Raft and of its disk, one class each, checked after every turn of every replica.

Names and numbers are the paper's (Ongaro and Ousterhout, 2014, figure 3).
"""

from __future__ import annotations

from ocelog.shard.raft.messages import LEADER, Append, AppendResponse, Heartbeat, Vote, VoteResponse
from ocelog.shard.replica import Turn

from .host import Host
from .model import digest_of
from .observer import Checker, Observer, Stamp


class ElectionSafety(Checker):
    """At most one leader per term, over all time (5.2)."""

    reads_messages = True

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self.leaders: dict[int, int] = {}

    def turned(self, host: Host, turn: Turn) -> None:
        core = host.replica.core
        if core.role is LEADER:
            self._leads(core.term, host.member)
        for message in turn.messages:
            if isinstance(message, Append | Heartbeat):
                self._leads(message.term, message.sender)

    def _leads(self, term: int, member: int) -> None:
        known = self.leaders.setdefault(term, member)
        self.check(known == member, f"term {term} is led by {known} and by {member}")


class LeaderAppendOnly(Checker):
    """A leader never overwrites or removes entries of its log (5.3)."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._led: dict[int, tuple[int, int, list[Stamp]]] = {}

    def turned(self, host: Host, turn: Turn) -> None:
        core = host.replica.core
        if core.role is not LEADER:
            self._led.pop(host.member, None)
            return
        mirror = self.observer.mirrors[host.member]
        term, length, last = self._led.get(host.member, (core.term, 0, []))
        if term == core.term:
            kept = len(mirror) >= length and mirror[length - 1 : length] == last
            if not kept:
                self.check(False, f"{host.name} led term {term} with {length} entries and now has {len(mirror)}")
        self._led[host.member] = (core.term, len(mirror), mirror[-1:])


class LogMatching(Checker):
    """Two logs that hold an entry of the same index and term are equal up to it (5.3).

    By induction it is enough that such entries are equal and follow entries of equal term.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._known: dict[tuple[int, int], tuple[int, int]] = {}

    def started(self, host: Host) -> None:
        self._compare(host, 1)

    def turned(self, host: Host, turn: Turn) -> None:
        self._compare(host, host.changed_from)

    def _compare(self, host: Host, first: int) -> None:
        mirror = self.observer.mirrors[host.member]
        for index in range(first, len(mirror) + 1):
            term, checksum = mirror[index - 1]
            entry = (checksum, mirror[index - 2][0] if index > 1 else 0)
            known = self._known.setdefault((index, term), entry)
            self.check(known == entry, f"entry {index} of term {term} on {host.name} differs from another replica's")


class LeaderCompleteness(Checker):
    """Every committed entry is in the log of every leader of a later term (5.4)."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._elected: dict[int, tuple[int, list[Stamp]]] = {}

    def turned(self, host: Host, turn: Turn) -> None:
        core = host.replica.core
        if core.role is not LEADER or core.term in self._elected:
            return
        log = list(self.observer.mirrors[host.member])
        self._elected[core.term] = (host.member, log)
        for index, stamp in enumerate(self.observer.committed, 1):
            if stamp[0] < core.term:
                self._has(core.term, index, stamp)

    def committed(self, host: Host, first: int) -> None:
        """A leader of a later term may have been elected before this replica learned of the commit."""
        for index, stamp in enumerate(self.observer.committed[first - 1 :], first):
            for term in self._elected:
                if term > host.replica.core.term:
                    self._has(term, index, stamp)

    def _has(self, term: int, index: int, stamp: Stamp) -> None:
        member, log = self._elected[term]
        held = log[index - 1] if index <= len(log) else None
        self.check(held == stamp, f"leader {member} of term {term} holds {held} at {index}, but {stamp} is committed")


class CommittedStays(Checker):
    """What is committed is the same on every replica and never changes (state-machine safety, 5.4.3)."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._checked: dict[int, int] = {}

    def started(self, host: Host) -> None:
        self._checked[host.member] = 0

    def turned(self, host: Host, turn: Turn) -> None:
        last = host.replica.core.commit_index
        before = min(self._checked[host.member], host.changed_from - 1)
        if before == last:
            self._checked[host.member] = last
            return
        mine = self.observer.mirrors[host.member][before:last]
        same = mine == self.observer.committed[before:last]
        self.check(same, f"{host.name} holds other entries in ({before}, {last}] than were committed")
        self._checked[host.member] = last


class CommitsOwnTerm(Checker):
    """A leader commits by counting only what is of its own term; older entries with it (5.4.2, figure 8)."""

    def committed(self, host: Host, first: int) -> None:
        core, last = host.replica.core, len(self.observer.committed)
        own = core.role is not LEADER or self.observer.committed[-1][0] == core.term
        self.check(own, f"leader {host.member} of term {core.term} commits entry {last} of another term")


class CommittedIsDurable(Checker):
    """What is committed is durable on a majority, the leader counting itself only when its own sync is done."""

    def committed(self, host: Host, first: int) -> None:
        last = len(self.observer.committed)
        stamp = self.observer.committed[-1]
        # It counted before or after what it logged in this turn, which may have been another configuration.
        for configuration in (host.configuration, host.replica.core.configuration):
            voters = configuration.voters
            holders = [member for member in voters if self.observer.holds(member, last, stamp)]
            if 2 * len(holders) > len(voters):
                return
        self.check(False, f"entry {last} is committed, but of {sorted(voters)} durable on {holders} only")


class SyncedSurvives(Checker):
    """After any crash the log begins with everything that was durable, and term and vote are not older."""

    def started(self, host: Host) -> None:
        durable, mirror = self.observer.durable[host.member], self.observer.mirrors[host.member]
        same = mirror[: len(durable)] == durable
        published = self.observer.publishing[host.member]
        if not same and published is not None:
            same = mirror == published
        self.check(same, f"{host.name} had synced {len(durable)} entries; {len(mirror)} came back, or other ones")
        stored, meta = self.observer.hard_states[host.member], host.replica.meta
        # A job that was cut off may have stored a later term, or a vote where none was.
        kept = meta.term > stored[0] or (meta.term == stored[0] and stored[1] in (None, meta.voted_for))
        self.check(kept, f"{host.name} had stored {stored} and read back {(meta.term, meta.voted_for)}")


class PromisesAreDurable(Checker):
    """Votes and acknowledgements leave only when what they promise is durable (5.2, 5.3; figure 2).

    And what the core takes for durable, to promise it later, is.
    """

    reads_messages = True

    def turned(self, host: Host, turn: Turn) -> None:
        stored = self.observer.hard_states[host.member]
        believed, durable = host.replica.core.persisted_index, len(self.observer.durable[host.member])
        # While an install is published the core still speaks of the old log, and promises nothing.
        if believed > durable and not host.replica.core.installing:
            self.check(False, f"{host.name} believes {believed} entries to be durable, {durable} are")
        for message in turn.messages:
            if isinstance(message, Vote):
                self.check(stored == (message.term, host.member), f"{host.name} stored {stored}, sends {message}")
            elif isinstance(message, VoteResponse) and message.granted:
                self.check(stored == (message.term, message.to), f"{host.name} stored {stored}, sends {message}")
            elif isinstance(message, AppendResponse) and message.success:
                kept = stored[0] >= message.term and durable >= message.match_index
                self.check(kept, f"{host.name} stored {stored} and {durable} entries, sends {message}")


class OneVotePerTerm(Checker):
    """A member votes for one candidate in a term, over all time (5.2). One that lost its files is another member."""

    reads_messages = True

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._votes: dict[tuple[int, int, int], int] = {}

    def turned(self, host: Host, turn: Turn) -> None:
        for message in turn.messages:
            if isinstance(message, Vote):
                self._votes_for(host, message.term, host.member)
            elif isinstance(message, VoteResponse) and message.granted:
                self._votes_for(host, message.term, message.to)

    def _votes_for(self, host: Host, term: int, candidate: int) -> None:
        voter = (term, host.member, host.replica.core.incarnation)
        known = self._votes.setdefault(voter, candidate)
        self.check(known == candidate, f"{host.name} voted for {known} and for {candidate} in term {term}")


class Monotonic(Checker):
    """Term, commit index and applied index never fall while a replica runs; applied <= committed <= last index."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._seen: dict[int, tuple[int, int, int]] = {}

    def started(self, host: Host) -> None:
        stored, term = self.observer.hard_states[host.member][0], host.replica.core.term
        self.check(term >= stored, f"{host.name} had stored term {stored} and starts in term {term}")
        self._seen[host.member] = (term, 0, 0)

    def turned(self, host: Host, turn: Turn) -> None:
        replica = host.replica
        seen = self._seen[host.member]
        # While it rebuilds its state, a replica has applied nothing; afterwards all that is in the snapshot.
        applied = seen[2] if replica.rebuilding else replica.executor.applied_index
        now = (replica.core.term, replica.core.commit_index, applied)
        if now == seen and applied <= now[1] <= replica.log.last_index:
            return  # as after most turns
        rises = all(before <= after for before, after in zip(seen, now, strict=True))
        self.check(rises, f"(term, commit index, applied index) of {host.name} went from {seen} to {now}")
        ordered = now[2] <= now[1] <= replica.log.last_index
        self.check(ordered, f"{host.name}: applied {now[2]}, committed {now[1]}, last {replica.log.last_index}")
        self._seen[host.member] = now


class EqualStates(Checker):
    """Session table and machines are what the model says they are at the replica's applied index, rebuilt or not."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._checked: dict[int, int] = {}
        self._rebuilding: set[int] = set()

    def started(self, host: Host) -> None:
        self._checked[host.member] = 0

    def turned(self, host: Host, turn: Turn) -> None:
        executor = host.replica.executor
        applied = executor.applied_index
        if host.replica.rebuilding:
            self._rebuilding.add(host.member)
            return
        if host.member in self._rebuilding:
            self._rebuilding.discard(host.member)
            self.observer.counts["rebuilds"] += 1
            self._checked[host.member] = 0
        if applied != self._checked[host.member]:
            self._checked[host.member] = applied
            same = digest_of(executor) == self.observer.model.digests[applied]
            self.check(same, f"the state of {host.name} after entry {applied} is not what the log means")


RAFT_CHECKERS: tuple[type[Checker], ...] = (
    ElectionSafety,
    LeaderAppendOnly,
    LogMatching,
    LeaderCompleteness,
    CommittedStays,
    CommitsOwnTerm,
    CommittedIsDurable,
    SyncedSurvives,
    PromisesAreDurable,
    OneVotePerTerm,
    Monotonic,
    EqualStates,
)
