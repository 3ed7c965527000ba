"""What each role makes of each message: the table by which the core dispatches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import changes, election, follower, install, probation, replication
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
    Join,
    Message,
    PreVote,
    PreVoteResponse,
    ProbationAnswer,
    ProbationQuery,
    Role,
    TimeoutNow,
    Vote,
    VoteResponse,
)
from .state import RaftState

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
_NOT_LEADER = ignored("only a leader can do that, and the sender hears of another one soon")
_LEADING = ignored("a leader has all that it could be told")

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
    (FOLLOWER, TimeoutNow): election.on_timeout_now,
    (FOLLOWER, Join): _NOT_LEADER,
    (FOLLOWER, ProbationQuery): _NOT_LEADER,
    (FOLLOWER, ProbationAnswer): probation.on_probation_answer,
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
    (PRE_CANDIDATE, TimeoutNow): election.on_timeout_now,
    (PRE_CANDIDATE, Join): _NOT_LEADER,
    (PRE_CANDIDATE, ProbationQuery): _NOT_LEADER,
    (PRE_CANDIDATE, ProbationAnswer): probation.on_probation_answer,
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
    (CANDIDATE, TimeoutNow): election.on_timeout_now,
    (CANDIDATE, Join): _NOT_LEADER,
    (CANDIDATE, ProbationQuery): _NOT_LEADER,
    (CANDIDATE, ProbationAnswer): probation.on_probation_answer,
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
    (LEADER, TimeoutNow): impossible,
    (LEADER, Join): changes.on_join,
    (LEADER, ProbationQuery): probation.on_probation_query,
    (LEADER, ProbationAnswer): _LEADING,
}
assert len(HANDLERS) == len(Role) * len(MESSAGE_TYPES), "a pair of role and message is missing"
