"""A member whose files were lost or replaced: what it must have seen before it may vote again.

It may have voted and acknowledged what it no longer knows. It is in *probation* until its log has durably reached an
index that was committed when its leader was confirmed by a round begun after this process asked, and the committed
configuration names its incarnation. Until then it follows and acknowledges, but gives no vote and stands for none.
"""

from __future__ import annotations

from typing import Any

from .messages import Heartbeat, Join, ProbationAnswer, ProbationQuery
from .state import RaftState


def introduce(raft: RaftState, message: Heartbeat) -> None:
    """A leader was heard that may not know this incarnation, or has not told yet what we must have reached.

    Once per tick: a question begins a round, and each round is the occasion for a question. The configuration that is
    committed counts here: a later one that names us may be lost, and a leader without it believes none of our answers.
    """
    if raft.introduced_tick == raft.ticks:
        return
    raft.introduced_tick = raft.ticks
    if raft.configuration_at(raft.commit_index).role_of(raft.member, raft.incarnation) is None:
        raft.send(Join(term=raft.term, sender=raft.member, to=message.sender))
    if raft.probation and raft.probation_goal is None:
        raft.send(ProbationQuery(term=raft.term, sender=raft.member, to=message.sender, nonce=raft.nonce))


def on_probation_query(raft: RaftState, message: ProbationQuery) -> None:
    """Leader: answered like a read, at a commit index of which a majority confirms that it is nobody else's past."""
    raft.reads.add(message)
    raft.has_queries = True


def answer(raft: RaftState, served: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """Answer the queries among the reads that were confirmed; returns the others."""
    reads = []
    for read_id, index in served:
        if isinstance(read_id, ProbationQuery):
            raft.send(
                ProbationAnswer(term=raft.term, sender=raft.member, to=read_id.sender, nonce=read_id.nonce, index=index)
            )
        else:
            reads.append((read_id, index))
    return reads


def on_probation_answer(raft: RaftState, message: ProbationAnswer) -> None:
    """What our log must have reached. An answer to an earlier process has another nonce."""
    if raft.probation and raft.probation_goal is None and message.nonce == raft.nonce:
        raft.probation_goal = message.index


def settle(raft: RaftState) -> None:
    """End of a turn in probation: see whether it is over."""
    goal = raft.probation_goal
    if goal is None or min(raft.commit_index, raft.persisted_index) < goal:
        return
    committed = raft.configuration_at(raft.commit_index)
    if committed.role_of(raft.member, raft.incarnation) is not None:
        raft.probation = False
        raft.out.probation_over = True
