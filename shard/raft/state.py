"""What one member of a Raft group is at a moment, and the transitions of role that every part of the core shares.

`election`, `follower` and `replication` decide; they are functions over this state, and `core` is its public face. No
sockets, files, clocks or randomness but the injected `rng`.

Invariants: the term never falls; one vote per term; the commit index never falls and never passes the log's end.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from .config import RaftConfig
from .lease import Lease
from .logview import LogView
from .membership import ACTIVE, Configuration, MemberRole
from .messages import CANDIDATE, FOLLOWER, LEADER, Message, Output, Role, RoleChange
from .progress import Progress
from .read_index import ReadIndex


class RaftState:
    """The fields of a member's core; see `Raft` for what may be done with them."""

    __slots__ = (
        "ack_due",
        "answer_due",
        "barred",
        "commit_index",
        "config",
        "configuration",
        "configurations",
        "elapsed",
        "has_known_leader",
        "has_queries",
        "heard_tick",
        "heartbeat_due",
        "heartbeat_elapsed",
        "incarnation",
        "incarnations",
        "installing",
        "introduced_tick",
        "is_voter",
        "joins",
        "leader",
        "leader_commit",
        "learning",
        "lease",
        "lease_ms",
        "log",
        "matched",
        "member",
        "nonce",
        "now",
        "other_voters",
        "out",
        "peers",
        "persisted_index",
        "pledged_to",
        "pledged_until",
        "probation",
        "probation_goal",
        "progress",
        "reading",
        "reading_told",
        "reads",
        "replicate_due",
        "reported_hard_state",
        "reported_role",
        "rng",
        "role",
        "stored_hard_state",
        "term",
        "term_start",
        "ticks",
        "timeout",
        "transfer_to",
        "transfer_told",
        "transfer_until",
        "transferring",
        "unless_appended",
        "voted_for",
        "votes",
        "voting",
    )

    def __init__(
        self,
        *,
        member: int,
        configuration: Configuration,
        config: RaftConfig,
        log: LogView,
        rng: random.Random,
        term: int = 0,
        voted_for: int | None = None,
        persisted_index: int | None = None,
        commit_index: int = 0,
        configurations: Iterable[tuple[int, bytes | memoryview]] = (),
        incarnation: int = 1,
        probation: bool = False,
        lease_ms: int = 0,
    ) -> None:
        self.member = member
        self.incarnation = incarnation
        # Those of the log in order, the first being older than any entry that may still be truncated.
        self.configurations = [configuration]
        self.configurations += [Configuration.decode(payload, index) for index, payload in configurations]
        self.follow_configuration()
        self.config = config
        self.log = log
        self.rng = rng
        self.lease_ms = lease_ms
        self.now: int | None = None  # in this turn, by the clock that leases go by; None without one
        self.out = Output()

        # Hard state: what was told to the replica, and what the replica says is durable.
        self.term = term
        self.voted_for = voted_for
        self.reported_hard_state = self.stored_hard_state = (term, voted_for)
        self._adopt_term_of_log()
        self.persisted_index = log.last_index if persisted_index is None else persisted_index
        self.commit_index = commit_index
        assert log.dense_index <= commit_index <= log.last_index, (
            f"the log is dense above {log.dense_index} and ends at {log.last_index}, but {commit_index} is committed"
        )

        # Of a member whose files were lost or replaced.
        self.probation = probation
        self.probation_goal: int | None = None  # what the log must have reached before it is over
        self.introduced_tick = -1  # when a leader was last told of us, and asked
        self.nonce = rng.getrandbits(64) if probation else 0  # of this process, for its queries

        # Said from outside: clients read here; a snapshot is being published in place of the log; see `Raft`.
        self.reading = self.installing = self.barred = False
        self.unless_appended = (0, False, 0)  # matched, ack_due, commit_index before the last Append was accepted

        # Every role. `elapsed` counts ticks since a leader was heard, a vote was granted or a campaign began.
        self.role: Role = FOLLOWER
        self.leader: int | None = None
        self.has_known_leader = False  # since this process started
        self.reported_role: tuple[Role, int | None, int] = (self.role, self.leader, self.term)
        self.ticks = self.elapsed = 0
        self._pledge_anew()
        self.timeout = self.draw_timeout()
        self._forget_role()

    def _pledge_anew(self) -> None:
        """Begin as if a leader had just been heard, by an earlier process of this member (see `pledged`).

        That one cannot have answered a leader if no term was ever made durable here, unless it has lost what it knew;
        and a group of one has no other leader.
        """
        alone = all(configuration.voters == (self.member,) for configuration in self.configurations)
        never = alone or (self.term == 0 and not self.probation)
        self.heard_tick: int | None = None  # when a leader was last heard, whatever became of it since
        self.pledged_to: int | None = None
        self.pledged_until = 0 if never else self.config.election_ticks

    def _forget_role(self) -> None:
        """The state of a member that has just changed its role, its leader or its term."""
        # Follower of one leader.
        self.matched = 0  # end of what this leader's Appends have matched or brought; durable or not
        self.leader_commit = 0  # the highest commit index this leader has told
        self.ack_due = False
        self.reading_told = False
        self.answer_due: tuple[int, bool] | None = None  # (round, lost) of the heartbeat to answer this turn

        # Candidate and pre-candidate.
        self.votes: dict[int, bool] = {}

        # Leader.
        self.term_start = 0  # index of the first entry of its own term
        self.progress: dict[int, Progress] = {}
        self.voting: tuple[Progress, ...] = ()  # of the others that vote
        self.learning: tuple[Progress, ...] = ()  # of those that do not
        self.joins: dict[int, int] = {}  # members that ask to come back, and their new incarnations
        self.reads = ReadIndex()
        self.lease = Lease(self.lease_ms)
        self.has_queries = False  # some of the reads are of members in probation
        self.transferring = False  # nothing may be appended
        self.transfer_to: int | None = None
        self.transfer_until = 0
        self.transfer_told = False
        self.replicate_due = False
        self.heartbeat_due = False
        self.heartbeat_elapsed = 0

    def _adopt_term_of_log(self) -> None:
        """A crash may keep an entry and lose the term that came with it, since one sync makes both durable.

        Its leader had that term, so it is safe to be in it. No vote of ours in it can have left: it waits for the sync.
        """
        last_term = self.log.term_at(self.log.last_index)
        if last_term > self.term:
            self.term = last_term
            self.voted_for = None

    # -- configuration -----------------------------------------------------------------------------

    def follow_configuration(self) -> None:
        """Take up the latest of `configurations`."""
        configuration = self.configuration = self.configurations[-1]
        member = self.member
        self.peers = configuration.others(member)
        self.incarnations = {peer: configuration.incarnations[peer] for peer in self.peers}
        self.other_voters = tuple([voter for voter in configuration.voters if voter != member])
        self.is_voter = configuration.role_of(member, self.incarnation) is ACTIVE

    def configuration_at(self, index: int) -> Configuration:
        """The configuration that counted when the log ended at `index`, which is not below the log's snapshot."""
        for configuration in reversed(self.configurations):
            if configuration.index <= index:
                return configuration
        raise AssertionError(f"no configuration is known that is as old as entry {index}")

    @property
    def membership(self) -> MemberRole | None:
        """What this incarnation is by the committed configuration: a promotion that is not may be lost, and its vote with it."""
        return self.configuration_at(self.commit_index).role_of(self.member, self.incarnation)

    @property
    def silent(self) -> list[int]:
        """As a leader: the members that it has not heard for an election timeout, whatever the reason."""
        if self.role is not LEADER:
            return []
        since = self.ticks - self.config.election_ticks
        return [peer for peer, progress in self.progress.items() if progress.heard_tick <= since]

    def may_campaign(self) -> bool:
        """Whether this member may stand for election: it votes, or did before a change that may never be committed.

        Thesis 4.2.2: it may be the only one that can be elected. Its own vote counts only if it votes.
        """
        if self.installing or self.probation or self.barred:
            return False
        if self.is_voter:
            return True
        committed = self.configuration_at(self.commit_index).index
        return any(
            configuration.index >= committed and configuration.role_of(self.member, self.incarnation) is ACTIVE
            for configuration in self.configurations
        )

    # -- sending -----------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send what promises nothing that a crash could take back."""
        self.out.messages.append(message)

    def promise(self, message: Message, *, through: int = 0) -> None:
        """Send what rests on the term, the vote and the entries through `through`: only once they are durable."""
        durable = self.stored_hard_state == (self.term, self.voted_for) and through <= self.persisted_index
        (self.out.messages if durable else self.out.messages_after_sync).append(message)

    # -- roles -------------------------------------------------------------------------------------

    def enter_term(self, term: int, voted_for: int | None) -> None:
        """Begin a later term, having voted for `voted_for` in it; the caller sets the role."""
        assert term > self.term, f"term {term} after term {self.term}"
        self.term = term
        self.voted_for = voted_for

    def become(self, role: Role, leader: int | None, reason: str) -> None:
        """Change role, leader or term, with a fresh timeout and none of the old role's state."""
        if (role, leader, self.term) != self.reported_role:
            self.reported_role = (role, leader, self.term)
            self.out.role_changes.append(
                RoleChange(role=role, term=self.term, leader=leader, previous_leader=self.leader, reason=reason)
            )
        self.role = role
        self.leader = leader
        self.has_known_leader = self.has_known_leader or leader is not None
        self.elapsed = 0
        self.timeout = self.draw_timeout()
        self._forget_role()
        if role is LEADER or role is CANDIDATE:
            assert self.voted_for == self.member, f"{role.name} in term {self.term}, but voted for {self.voted_for}"

    def hear_leader(self, leader: int) -> None:
        """A message of this term's leader arrived."""
        if self.leader != leader:
            assert self.leader is None, f"two leaders in term {self.term}: {self.leader} and {leader}"
            self.become(FOLLOWER, leader, f"heard the leader {leader}")
        self.elapsed = 0
        self.heard_tick = self.ticks
        self.pledged_to = leader
        self.pledged_until = self.ticks + self.config.election_ticks

    @property
    def pledged(self) -> bool:
        """Whether a leader was heard within the minimal election timeout: then nobody gets a vote (thesis 4.2.3).

        Nor do we stand for election. That leader may hold a lease which rests on it, and so nothing ends a pledge before
        its time but that leader's death, or its own word that another shall follow it: not a later term, and not a
        connection that closed. After a start nobody remembers whom this member heard last.
        """
        return self.role is LEADER or self.ticks < self.pledged_until

    @property
    def in_contact(self) -> bool:
        """Whether what is applied here is of late: this member leads, or heard a leader within an election timeout."""
        if self.role is LEADER:
            return True
        return self.heard_tick is not None and self.ticks - self.heard_tick < self.config.election_ticks

    def advance_commit_to(self, index: int) -> None:
        """Commit through `index` if that is news."""
        if index > self.commit_index:
            assert index <= self.log.last_index, f"commit index {index} is past the log's end {self.log.last_index}"
            self.commit_index = index

    # -- timeouts, in ticks ------------------------------------------------------------------------

    def draw_timeout(self) -> int:
        """The randomised election timeout (paper 5.2)."""
        if not self.has_known_leader:
            # After a start nobody is known to lead: there is no silence to wait out, but what we may have pledged.
            return self.pledge_left + self.draw_retry()
        return self.rng.randrange(self.config.election_ticks, 2 * self.config.election_ticks)

    def draw_retry(self) -> int:
        """How long to wait after a lost vote: long enough to let another win, much shorter than a timeout."""
        ticks = self.config.election_ticks
        return self.rng.randint(max(1, ticks // 10), max(1, ticks // 2))

    def draw_succession(self) -> int:
        """How long to wait when there is evidence that the leader died."""
        return self.rng.randint(1, max(1, self.config.election_ticks // 4))

    def shorten_timeout(self, ticks: int) -> None:
        """Let the election timeout run out in at most `ticks` from when we may stand for election."""
        self.timeout = min(self.timeout, self.elapsed + self.pledge_left + ticks)

    @property
    def pledge_left(self) -> int:
        """For how many ticks we are still pledged."""
        return max(0, self.pledged_until - self.ticks)
