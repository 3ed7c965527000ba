"""The follower's side of replication: take what matches, say where it does not, acknowledge what is durable.

Paper, section 5.3. Acknowledgements and answers to heartbeats are noted and sent once at the end of a turn, however
many messages came.
"""

from __future__ import annotations

from . import changes, probation
from .logview import first_difference, last_of_term
from .messages import Accepted, Append, AppendResponse, Heartbeat, HeartbeatResponse
from .state import RaftState


def on_append(raft: RaftState, message: Append) -> Accepted | None:
    """Entries of this term's leader. Returns what the replica must do to its log before the next call."""
    raft.hear_leader(message.sender)
    if raft.installing:
        return None  # the log is about to be another one
    if message.prev_index > raft.commit_index and not _holds(raft, message.prev_index, message.prev_term):
        _reject(raft, message)
        return None
    # What is committed matches every leader of this term or later (5.4.3), whatever the message says about it.
    known = max(message.prev_index, raft.commit_index)
    first_new = first_difference(raft.log, message.runs, known + 1, message.last_index)
    accepted = _accept(raft, message, first_new) if first_new <= message.last_index else None
    raft.unless_appended = (raft.matched, raft.ack_due, raft.commit_index)
    raft.matched = max(raft.matched, known, message.last_index)
    raft.ack_due = True
    raft.leader_commit = max(raft.leader_commit, message.commit_index)
    _advance_commit(raft, log_end=max(raft.log.last_index, message.last_index))
    return accepted


def not_appended(raft: RaftState) -> None:
    """The last Append was accepted, but there was no room for it: as if it had been lost on its way."""
    raft.matched, raft.ack_due, raft.commit_index = raft.unless_appended


def on_heartbeat(raft: RaftState, message: Heartbeat) -> None:
    """This term's leader lives, and may have committed more."""
    raft.hear_leader(message.sender)
    if message.round and (raft.probation or not raft.is_voter):
        probation.introduce(raft, message)
    raft.leader_commit = max(raft.leader_commit, message.commit_index)
    raft.advance_commit_to(min(raft.leader_commit, raft.matched))
    lost = raft.matched < message.sent_through
    if message.round or lost:
        round_due, lost_before = raft.answer_due or (0, False)
        raft.answer_due = (max(round_due, message.round), lost or lost_before)


def emit(raft: RaftState) -> None:
    """End of a turn: one acknowledgement and one answer to heartbeats, if any are due."""
    if raft.leader is None:
        return
    last_index = raft.log.last_index
    if raft.ack_due:
        raft.ack_due = False
        assert raft.matched <= last_index, f"accepted through {raft.matched}, but the log ends at {last_index}"
        raft.promise(
            AppendResponse(
                term=raft.term,
                sender=raft.member,
                to=raft.leader,
                success=True,
                match_index=raft.matched,
                last_index=last_index,
            ),
            through=raft.matched,
        )
    if raft.answer_due is None and raft.reading and not raft.reading_told:
        raft.answer_due = (0, False)
    if raft.answer_due is not None:
        round_due, lost = raft.answer_due
        raft.answer_due = None
        raft.reading_told = raft.reading
        # A pledge too: if this is our first term, our next process could not know of it before the term is durable.
        raft.promise(
            HeartbeatResponse(
                term=raft.term,
                sender=raft.member,
                to=raft.leader,
                round=round_due,
                last_index=last_index,
                lost=lost,
                probation=raft.probation,
                reading=raft.reading,
            )
        )


def _holds(raft: RaftState, index: int, term: int) -> bool:
    """The consistency check of AppendEntries."""
    return index <= raft.log.last_index and raft.log.term_at(index) == term


def _accept(raft: RaftState, message: Append, first_new: int) -> Accepted:
    """Plan the change of the log: what conflicts goes, with everything after it (5.3), then comes what is new."""
    if first_new > raft.log.last_index:
        return Accepted(truncate_to=None, first_new=first_new, message=message)
    settled = max(raft.commit_index, raft.matched)
    assert first_new > settled, f"term {raft.term} conflicts at {first_new}, but the log is settled through {settled}"
    raft.persisted_index = min(raft.persisted_index, first_new - 1)
    changes.revert(raft, first_new - 1)
    return Accepted(truncate_to=first_new - 1, first_new=first_new, message=message)


def _advance_commit(raft: RaftState, log_end: int) -> None:
    """Paper, figure 2: the leader's commit index, as far as we know our log to be the leader's."""
    index = min(raft.leader_commit, raft.matched)
    assert index <= log_end, f"commit index {index} is past the log's end {log_end}"
    raft.commit_index = max(raft.commit_index, index)


def _reject(raft: RaftState, message: Append) -> None:
    """Refuse, with the last place where our log may agree: at or before prev_index, in a term not after prev_term.

    And with the last where it surely does: what is committed is in every later leader's log (5.4.3).
    """
    last_index = raft.log.last_index
    highest = min(message.prev_index, last_index)
    hint_index = last_of_term(raft.log, message.prev_term, raft.commit_index, highest)
    raft.send(
        AppendResponse(
            term=raft.term,
            sender=raft.member,
            to=message.sender,
            success=False,
            match_index=raft.commit_index,
            rejected_index=message.prev_index,
            hint_index=hint_index,
            hint_term=raft.log.term_at(hint_index),
            last_index=last_index,
        )
    )
