"""The Raft core: a deterministic state machine of numbers, driven by ticks, messages and news from the disk.

A turn of its replica is: any number of `tick`, `receive`, `appended`, `persisted`, `stored`, `read` and `peer_gone`,
then one `take`, which returns everything that the turn asks for. It never sees a socket, a file, a clock or the bytes
of an entry.

Invariants: what is promised to others (votes, acknowledgements) is in `Output.messages_after_sync` until it is durable
here; what `receive` returns is carried out on the log before the next call.
"""

from __future__ import annotations

from typing import Any

from . import changes, election, follower, install, probation, replication, transfer
from .handlers import HANDLERS
from .membership import Change
from .messages import (
    ANSWERS,
    FOLLOWER,
    LEADER,
    OF_LEADER,
    Accepted,
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    Message,
    Output,
    PreVote,
    PreVoteResponse,
    Vote,
)
from .progress import INSTALL
from .state import RaftState


class Raft(RaftState):
    """One member of one Raft group.

    `member`, `incarnation`: who we are. `configuration`: that of the log's snapshot, or of the beginning.
    `configurations`: the (index, payload) of every later configuration entry in the log, ascending. `log`: a LogView of
    the replica's log. `rng`: the only source of chance. `term`, `voted_for`: the hard state as last made durable.
    `persisted_index`: how far the log is durable, all of it by default. `commit_index`: known to be committed, the index
    of the log's snapshot. `probation`: our files were lost or replaced, so for now we do not vote. `barred`, set from outside:
    we vote and keep the log, and cannot lead, since what is committed cannot be applied here.
    Readable at any time: `role`, `term`, `voted_for`, `leader`, `commit_index`, `persisted_index`, `installing`,
    `transferring`, `configuration`, `is_voter`, `probation`, `in_contact`.
    """

    __slots__ = ()

    def tick(self) -> None:
        """One tick of time passed."""
        self.ticks += 1
        if self.role is LEADER:
            replication.tick(self)
        else:
            election.tick(self)

    def receive(self, message: Message) -> Accepted | Install | InstallResponse | None:
        """A message arrived. An Accepted must be carried out on the log before the next call into the core.

        An Install is to be staged and answered by the replica, an InstallResponse is an answer to one that it sends.
        """
        if message.to != self.member:
            return None
        if self.incarnations.get(message.sender) != message.incarnation and not self._is_welcome(message):
            return None
        if message.term != self.term and not self._settle_term(message):
            return None
        return HANDLERS[self.role, type(message)](self, message)

    def not_appended(self) -> None:
        """The entries of the last Accepted did not fit on the disk; to be called instead of appending them, at once.

        What it truncated stays truncated. The leader notices and offers the entries again.
        """
        follower.not_appended(self)

    def appended(self) -> None:
        """Leader: entries of this term were appended to the log; they go out with the next `take`."""
        assert not self.transferring, f"an entry was taken while leadership of term {self.term} is being transferred"
        self.replicate_due = True

    def persisted(self, index: int) -> None:
        """The log is durable through `index`."""
        assert index <= self.log.last_index, f"durable through {index}, but the log ends at {self.log.last_index}"
        self.persisted_index = max(self.persisted_index, index)
        if self.role is LEADER:
            replication.advance_commit(self)

    def stored(self, term: int, voted_for: int | None) -> None:
        """This hard state is durable."""
        self.stored_hard_state = (term, voted_for)
        election.own_vote_stored(self)

    def read(self, read_id: Any) -> bool:
        """Ask for a read index; it comes in `Output.reads`, or never if leadership ends. False if not leader."""
        if self.role is not LEADER:
            return False
        self.reads.add(read_id)
        return True

    def available_matches(self) -> list[int]:
        """Leader: how far each member is known to hold the log that Appends catch up and that was heard lately."""
        return [
            progress.match_index
            for progress in self.progress.values()
            if progress.state is not INSTALL and self.ticks - progress.heard_tick < self.config.election_ticks
        ]

    @property
    def installs(self) -> dict[int, int]:
        """Leader: who cannot be caught up by Appends, and from which index on each needs to be installed."""
        return {peer: progress.install_from for peer, progress in self.progress.items() if progress.state is INSTALL}

    def begin_install(self, snapshot_index: int, snapshot_term: int) -> bool:
        """The staged snapshot is about to be published; false if it must not be, because it is not needed any more.

        From now on until `installed` (or `not_installed`) neither an Append nor an Install is taken.
        """
        return install.begin_install(self, snapshot_index, snapshot_term)

    def installed(self, index: int, configuration: bytes | memoryview) -> None:
        """The publish is durable and the log has changed: last_index == dense_index == `index`.

        `configuration` is the snapshot's, as `Configuration.encode` made it.
        """
        install.installed(self, index, configuration)

    def not_installed(self) -> None:
        """The publish could not be carried out; the log is as it was."""
        self.installing = False

    def clients_read(self, reading: bool) -> None:
        """Whether clients read here, so that a leader elsewhere tells each new commit index at once; cheap to say."""
        self.reading = reading

    def peer_gone(self, member: int) -> None:
        """The connection to `member` closed: a leader may be dead, and to a follower everything under way is lost.

        To be called after `receive` of what had arrived before, else an old message makes the leader look alive again.
        A leader that lives goes on and may hold a lease: until `peer_died` says better, we stay pledged to it.
        """
        if self.role is LEADER:
            if member in self.progress:
                self.progress[member].wait(self.ticks)
            if member == self.transfer_to:
                transfer.end(self)
        elif member == self.leader:
            self._miss_leader(member)

    def peer_died(self, member: int) -> None:
        """The process of `member` that was connected to us has surely ended, so that it holds no lease any more.

        To be called after `receive` of what had arrived before, and beside `peer_gone`.
        """
        if self.role is not LEADER and member == self.pledged_to:
            self.pledged_until = self.ticks
            if member == self.leader:
                self._miss_leader(member)
            self.shorten_timeout(self.draw_succession())

    def _miss_leader(self, leader: int) -> None:
        self.become(FOLLOWER, None, f"the connection to the leader {leader} closed")
        self.shorten_timeout(self.draw_succession())

    def propose(self, change: Change, expected_version: int) -> bytes:
        """Leader: the payload of the CONFIGURATION entry that makes `change`, to be appended before anything else.

        `expected_version` is the `configuration.index` that whoever asks has seen. Raises Refused.
        """
        return changes.propose(self, change, expected_version)

    def due_change(self) -> bytes | None:
        """Leader: the payload of a CONFIGURATION entry that it should append by itself, if there is one; cheap to ask."""
        return changes.due(self) if self.role is LEADER else None

    def configuration_appended(self, index: int, payload: bytes | memoryview) -> None:
        """A CONFIGURATION entry was appended at `index`, by us as leader or from an Accepted. Raises BadConfiguration.

        To be called right after the append, in the order of the entries; a leader calls `appended` as well.
        """
        changes.appended(self, index, payload)

    def transfer(self, to: int) -> None:
        """Leader: hand leadership over to the voter `to`. Raises Refused.

        As long as `transferring` is true, nothing may be appended. It ends with the leadership, or in vain after
        election_ticks.
        """
        transfer.begin(self, to)

    @property
    def owes_notice(self) -> bool:
        """Whether a follower that could use it has not been told the commit index yet."""
        return self.role is LEADER and replication.owes_notice(self)

    def has_lease(self, now: int) -> bool:
        """Whether this leader may answer by itself what was asked before `now`, from what it has applied by then."""
        return self.role is LEADER and replication.has_lease(self, now)

    def take(self, *, notify: bool = True, now: int | None = None) -> Output:
        """End of a turn: everything to send, store, serve and report, once.

        `now` is a time before anything of this leaves, in ms of the clock that leases go by; without it a leader gets none.
        `notify=False` leaves out messages that would tell a new commit index and nothing else: the next Append or
        heartbeat tells it too. For a caller that expects to be back at once (see `owes_notice`).
        """
        self.now = now
        if self.role is LEADER:
            replication.emit(self, notify)
        else:
            follower.emit(self)
        if self.probation:
            probation.settle(self)
        out = self.out
        if self.reported_hard_state != (self.term, self.voted_for):
            out.hard_state = self.reported_hard_state = (self.term, self.voted_for)
        self.out = Output()
        return out

    def _is_welcome(self, message: Message) -> bool:
        """Whether to hear a sender that is not the incarnation that our configuration names.

        One that was renewed is dead, whatever still arrives of it. A later one, or a stranger, may be a member by a
        configuration that we do not have yet, so what it asks or leads counts (thesis 4.1); its answers do not count.
        """
        known = self.incarnations.get(message.sender)
        if message.sender == self.member or (known is not None and message.incarnation < known):
            return False
        if not isinstance(message, ANSWERS):
            return True
        if known is not None and message.term > self.term:
            self._settle_term(message)  # else we could never lead it
        return False

    def _settle_term(self, message: Message) -> bool:
        """Bring our term and the message's together; false if that settles the message."""
        if message.term < self.term:
            return self._answer_earlier_term(message)
        if isinstance(message, PreVote) or (isinstance(message, PreVoteResponse) and message.granted):
            return True  # about a term that nobody is in yet
        if isinstance(message, Vote) and self.pledged and not message.transfer:
            return False  # thesis 4.2.3: neither the vote nor the term, while a leader is heard
        leader = message.sender if isinstance(message, OF_LEADER) else None
        self.enter_term(message.term, None)
        self.become(FOLLOWER, leader, f"{message.sender} is in term {message.term}")
        return True

    def _answer_earlier_term(self, message: Message) -> bool:
        """Requests are answered, so that their sender learns our term; answers are stale."""
        if isinstance(message, Append | Install):
            self.send(AppendResponse(term=self.term, sender=self.member, to=message.sender, success=False))
        elif isinstance(message, Heartbeat):
            self.send(HeartbeatResponse(term=self.term, sender=self.member, to=message.sender))
        return isinstance(message, PreVote | Vote)
