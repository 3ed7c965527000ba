"""The Raft core: a deterministic state machine of numbers, driven by ticks, messages and news from the disk.

A turn of its replica is: any number of `tick`, `receive`, `appended`, `persisted`, `stored`, `read` and `peer_gone`,
then one `take`, which returns everything that the turn asks for. It never sees a socket, a file, a clock or the bytes
of an entry.

Invariants: what is promised to others (votes, acknowledgements) is in `Output.messages_after_sync` until it is durable
here; what `receive` returns is carried out on the log before the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import election, follower, install, replication
from .messages import (
    CANDIDATE,
    FOLLOWER,
    LEADER,
    MESSAGE_TYPES,
    PRE_CANDIDATE,
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
    Role,
    Vote,
    VoteResponse,
)
from .progress import INSTALL
from .state import RaftState


class Raft(RaftState):
    """One member of one Raft group.

    `member`, `voters`: who we are and who votes. `log`: a LogView of the replica's log. `rng`: the only source of
    chance. `term`, `voted_for`: the hard state as last made durable. `persisted_index`: how far the log is durable, all
    of it by default. `commit_index`: known to be committed, the index of the snapshot that the log has below it.
    Readable at any time: `role`, `term`, `voted_for`, `leader`, `commit_index`, `persisted_index`, `installing`.
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
        if message.to != self.member or message.sender not in self.peers:
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

    @property
    def installs(self) -> dict[int, int]:
        """Leader: who cannot be caught up by Appends, and from which index on each needs to be installed."""
        return {peer: progress.install_from for peer, progress in self.progress.items() if progress.state is INSTALL}

    def begin_install(self, snapshot_index: int, snapshot_term: int) -> bool:
        """The staged snapshot is about to be published; false if it must not be, because it is not needed any more.

        From now on until `installed` (or `not_installed`) neither an Append nor an Install is taken.
        """
        return install.begin_install(self, snapshot_index, snapshot_term)

    def installed(self, index: int) -> None:
        """The publish is durable and the log has changed: last_index == dense_index == `index`."""
        install.installed(self, index)

    def not_installed(self) -> None:
        """The publish could not be carried out; the log is as it was."""
        self.installing = False

    def peer_gone(self, member: int) -> None:
        """The connection to `member` closed: a leader may be dead, and to a follower everything under way is lost.

        To be called after `receive` of what had arrived before, else an old message makes the leader look alive again.
        """
        if self.role is LEADER:
            if member in self.progress:
                self.progress[member].wait(self.ticks)
        elif member == self.leader:
            # No leader known means no stickiness: others may have our pre-vote at once.
            self.become(FOLLOWER, None, f"the connection to the leader {member} closed")
            self.shorten_timeout(self.draw_succession())

    @property
    def owes_notice(self) -> bool:
        """Whether a follower that could use it has not been told the commit index yet."""
        return self.role is LEADER and replication.owes_notice(self)

    def take(self, *, notify: bool = True) -> Output:
        """End of a turn: everything to send, store, serve and report, once.

        `notify=False` leaves out messages that would tell a new commit index and nothing else: the next Append or
        heartbeat tells it too. For a caller that expects to be back at once (see `owes_notice`).
        """
        if self.role is LEADER:
            replication.emit(self, notify)
        else:
            follower.emit(self)
        out = self.out
        if self.reported_hard_state != (self.term, self.voted_for):
            out.hard_state = self.reported_hard_state = (self.term, self.voted_for)
        self.out = Output()
        return out

    def _settle_term(self, message: Message) -> bool:
        """Bring our term and the message's together; false if that settles the message."""
        if message.term < self.term:
            return self._answer_earlier_term(message)
        if isinstance(message, PreVote) or (isinstance(message, PreVoteResponse) and message.granted):
            return True  # about a term that nobody is in yet
        if isinstance(message, Vote) and self.hears_leader:
            return False  # thesis 4.2.3: neither the vote nor the term, while a leader is heard
        leader = message.sender if isinstance(message, Append | Heartbeat | Install) else None
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


Handler = Callable[[RaftState, Any], Accepted | Install | InstallResponse | None]


def ignored(reason: str) -> Handler:
    """A handler for a pair of role and message that is not wanted, and why."""

    def handler(raft: RaftState, message: Message) -> None:
        return None

    handler.__doc__ = reason
    return handler


def impossible(raft: RaftState, message: Message) -> None:
    """Another leader in the same term: election safety (paper 5.2) is broken and nothing can be trusted."""
    raise AssertionError(f"{message.sender} leads term {message.term}, but so does {raft.member}")


_NOT_CAMPAIGNING = ignored("the vote was decided, or given up, before this answer came")
_NOT_LEADING = ignored("leadership ended before this answer came")

HANDLERS: dict[tuple[Role, type[Message]], Handler] = {
    (FOLLOWER, PreVote): election.on_pre_vote,
    (FOLLOWER, PreVoteResponse): _NOT_CAMPAIGNING,
    (FOLLOWER, Vote): election.on_vote,
    (FOLLOWER, VoteResponse): _NOT_CAMPAIGNING,
    (FOLLOWER, Append): follower.on_append,
    (FOLLOWER, AppendResponse): _NOT_LEADING,
    (FOLLOWER, Heartbeat): follower.on_heartbeat,
    (FOLLOWER, HeartbeatResponse): _NOT_LEADING,
    (FOLLOWER, Install): install.on_install,
    (FOLLOWER, InstallResponse): _NOT_LEADING,
    (PRE_CANDIDATE, PreVote): election.on_pre_vote,
    (PRE_CANDIDATE, PreVoteResponse): election.on_pre_vote_response,
    (PRE_CANDIDATE, Vote): election.on_vote,
    (PRE_CANDIDATE, VoteResponse): _NOT_CAMPAIGNING,
    (PRE_CANDIDATE, Append): follower.on_append,
    (PRE_CANDIDATE, AppendResponse): _NOT_LEADING,
    (PRE_CANDIDATE, Heartbeat): follower.on_heartbeat,
    (PRE_CANDIDATE, HeartbeatResponse): _NOT_LEADING,
    (PRE_CANDIDATE, Install): install.on_install,
    (PRE_CANDIDATE, InstallResponse): _NOT_LEADING,
    (CANDIDATE, PreVote): election.on_pre_vote,
    (CANDIDATE, PreVoteResponse): ignored("the pre-vote is won already"),
    (CANDIDATE, Vote): election.on_vote,
    (CANDIDATE, VoteResponse): election.on_vote_response,
    (CANDIDATE, Append): follower.on_append,
    (CANDIDATE, AppendResponse): _NOT_LEADING,
    (CANDIDATE, Heartbeat): follower.on_heartbeat,
    (CANDIDATE, HeartbeatResponse): _NOT_LEADING,
    (CANDIDATE, Install): install.on_install,
    (CANDIDATE, InstallResponse): _NOT_LEADING,
    (LEADER, PreVote): election.on_pre_vote,
    (LEADER, PreVoteResponse): _NOT_CAMPAIGNING,
    (LEADER, Vote): election.on_vote,
    (LEADER, VoteResponse): _NOT_CAMPAIGNING,
    (LEADER, Append): impossible,
    (LEADER, AppendResponse): replication.on_append_response,
    (LEADER, Heartbeat): impossible,
    (LEADER, HeartbeatResponse): replication.on_heartbeat_response,
    (LEADER, Install): impossible,
    (LEADER, InstallResponse): install.on_install_response,
}
assert len(HANDLERS) == len(Role) * len(MESSAGE_TYPES), "a pair of role and message is missing"
