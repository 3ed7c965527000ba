"""What the members of one Raft group say to each other, and what the core tells its replica.

Everything here is numbers: an Append names the entries it carries by index and term, and the replica attaches their
bytes on the way out and finds them on the way in. Messages are plain slots dataclasses, since a frozen one costs four
times as much to make; nobody changes a message after it was sent, except for the replica's `Append.entries`. A
replica that serves or receives an install makes `Install` and `InstallResponse` itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Role(IntEnum):
    """Part that a member plays; the paper's three, and the pre-candidate of the thesis, section 9.6."""

    FOLLOWER = 0
    PRE_CANDIDATE = 1
    CANDIDATE = 2
    LEADER = 3


FOLLOWER = Role.FOLLOWER
PRE_CANDIDATE = Role.PRE_CANDIDATE
CANDIDATE = Role.CANDIDATE
LEADER = Role.LEADER

TermRuns = tuple[tuple[int, int], ...]
"""((first index, term), ...), ascending: the terms of a range of entries, one pair for each change of term."""


@dataclass(slots=True, kw_only=True)
class Message:
    """Every message names its term, its sender and its receiver; the transport adds the sender's incarnation."""

    term: int
    sender: int
    to: int
    incarnation: int = 1


@dataclass(slots=True, kw_only=True)
class PreVote(Message):
    """Would you vote for me? `term` is the one the sender would campaign in, not yet its own (thesis 9.6)."""

    last_index: int
    last_term: int


@dataclass(slots=True, kw_only=True)
class PreVoteResponse(Message):
    """Answer to a PreVote: granted in the term asked for, or denied in the voter's own term. It promises nothing."""

    granted: bool


@dataclass(slots=True, kw_only=True)
class Vote(Message):
    """The paper's RequestVote, with the end of the candidate's log. Leaves once the candidate's own vote is durable.

    `transfer`: the leader asked for it, so that hearing the leader is no reason to refuse (thesis 3.10 and 4.2.3).
    """

    last_index: int
    last_term: int
    transfer: bool = False


@dataclass(slots=True, kw_only=True)
class VoteResponse(Message):
    """Answer to a Vote. A grant leaves once it is durable."""

    granted: bool


@dataclass(slots=True, kw_only=True)
class Append(Message):
    """The paper's AppendEntries: entries (prev_index, last_index] with their terms; none if last_index == prev_index.

    `entries` is opaque to the core: a batch of the log on the sender, what was decoded on the receiver.
    """

    prev_index: int
    prev_term: int
    last_index: int
    commit_index: int
    runs: TermRuns
    entries: Any = None


@dataclass(slots=True, kw_only=True)
class AppendResponse(Message):
    """Success: the follower holds, durably, this leader's log through match_index. Leaves once that is durable.

    Failure: the entry at rejected_index is missing or of another term. The follower's log may agree with the leader's
    no further than hint_index, whose term there is hint_term (paper 5.3: skipping a term at a time). It surely agrees
    through match_index, here the follower's commit index, of which nothing is said about its disk.
    """

    success: bool
    match_index: int = 0
    rejected_index: int = 0
    hint_index: int = 0
    hint_term: int = 0
    last_index: int = 0


@dataclass(slots=True, kw_only=True)
class Heartbeat(Message):
    """I still lead. `round` identifies the round for reads; 0 is a mere notice of commit_index, answered only if lost.

    commit_index is the leader's own; a follower takes it only as far as its log is known to match this leader's.
    sent_through is the last index that the leader believes it has sent here: transports may drop messages.
    """

    commit_index: int
    round: int
    sent_through: int


@dataclass(slots=True, kw_only=True)
class HeartbeatResponse(Message):
    """You do, as far as I know. `lost`: what the leader believes it has sent through `sent_through` did not arrive.

    `probation`: the sender must not vote yet. `reading`: clients read there, so a new commit index is wanted at once.
    """

    round: int = 0
    last_index: int = 0
    lost: bool = False
    probation: bool = False
    reading: bool = False


@dataclass(slots=True, kw_only=True)
class Install(Message):
    """The paper's InstallSnapshot: a part of a snapshot and of the live entries in (from_index, snapshot_index].

    For a member whose own log agrees through from_index, its commit index; 0 for one that has nothing. What travels is a
    stream: snapshot_bytes of the snapshot's file, then entry_bytes of entries; `position` is where this part begins in
    it. `entries` is opaque to the core: `data`, and the size of each entry in it, no sizes as long as the bytes are the
    file's.
    """

    snapshot_index: int
    snapshot_term: int
    from_index: int
    position: int
    snapshot_bytes: int
    entry_bytes: int
    entries: Any = None


@dataclass(slots=True, kw_only=True)
class InstallResponse(Message):
    """Of the stream named by (snapshot_index, from_index), everything before `position` has arrived.

    `restart`: what is below from_index here does not go with it; a stream from 0 is wanted.
    """

    snapshot_index: int
    from_index: int
    position: int
    restart: bool = False


@dataclass(slots=True, kw_only=True)
class TimeoutNow(Message):
    """The leader hands over: the receiver, whose log is as long, campaigns at once (thesis 3.10)."""


@dataclass(slots=True, kw_only=True)
class Join(Message):
    """To a leader: the sender's incarnation, the message's, is new; may it be a member again?"""


@dataclass(slots=True, kw_only=True)
class ProbationQuery(Message):
    """To a leader: what is committed by now? Answered as a read is. `nonce` is the asking process's own."""

    nonce: int


@dataclass(slots=True, kw_only=True)
class ProbationAnswer(Message):
    """`index` was committed after the query with this nonce was sent, by everybody's knowledge."""

    nonce: int
    index: int


MESSAGE_TYPES: tuple[type[Message], ...] = (
    PreVote,
    PreVoteResponse,
    Vote,
    VoteResponse,
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    TimeoutNow,
    Join,
    ProbationQuery,
    ProbationAnswer,
)

ANSWERS = (PreVoteResponse, VoteResponse, AppendResponse, HeartbeatResponse, InstallResponse)
"""What is counted for the member that says it, and so only if it is that very incarnation."""

OF_LEADER = (Append, Heartbeat, Install, TimeoutNow)
"""What only the leader of its term says."""


@dataclass(slots=True, kw_only=True)
class Accepted:
    """What a received Append changes in the log; the replica carries it out before it calls the core again.

    First drop the entries above truncate_to (if not None), then append the message's entries from first_new on.
    """

    truncate_to: int | None
    first_new: int
    message: Append


@dataclass(slots=True, kw_only=True)
class RoleChange:
    """The member's role, term or known leader changed; the reason is a sentence's middle, for the log."""

    role: Role
    term: int
    leader: int | None
    previous_leader: int | None
    reason: str


@dataclass(slots=True)
class Output:
    """What one turn asks of the replica.

    messages             may leave at once.
    messages_after_sync  rest on what must be durable first: `hard_state` and every entry accepted so far. The replica
                         drops them if the core's term is no longer the message's when the sync is done.
    hard_state           (term, voted_for) to be made durable, or None if unchanged since the last turn.
    reads                (read id, index): confirmed; may be served once applied_index has reached the index.
    role_changes         in order.
    probation_over       this member may vote from now on, and the replica has to remember it.
    """

    messages: list[Message] = field(default_factory=list)
    messages_after_sync: list[Message] = field(default_factory=list)
    hard_state: tuple[int, int | None] | None = None
    reads: list[tuple[Any, int]] = field(default_factory=list)
    role_changes: list[RoleChange] = field(default_factory=list)
    probation_over: bool = False
