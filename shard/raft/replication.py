"""The leader's side of replication: what goes to whom, what is committed, and whether a majority is still there.

A turn only notes what is due; `emit` sends it at the end of the turn, so that a turn costs one batch per follower.
"""

from __future__ import annotations

from . import probation, transfer
from .logview import last_of_term, term_runs
from .membership import Configuration
from .messages import FOLLOWER, LEADER, Append, AppendResponse, Heartbeat, HeartbeatResponse
from .progress import INSTALL, PROBE, REPLICATE, Progress
from .quorum import reached_by_majority
from .state import RaftState


def lead(raft: RaftState, reason: str) -> None:
    """Take up leadership. Heartbeats go at once; entries and reads wait for the noop that the replica appends now."""
    raft.become(LEADER, raft.member, reason)
    raft.term_start = raft.log.last_index + 1
    follow_configuration(raft, None)
    raft.heartbeat_due = True


def follow_configuration(raft: RaftState, replaced: Configuration | None) -> None:
    """Talk to the members of the configuration; what is known of one that stays under its incarnation is kept."""
    known, incarnations = raft.progress, replaced.incarnations if replaced is not None else {}
    raft.progress = {
        peer: known[peer]
        if peer in known and incarnations.get(peer) == incarnation
        else Progress(raft.log.last_index + 1, raft.ticks)
        for peer, incarnation in raft.incarnations.items()
    }
    voters = raft.configuration.voters
    raft.voting = tuple([progress for peer, progress in raft.progress.items() if peer in voters])
    raft.lease.forget()
    raft.learning = tuple([progress for peer, progress in raft.progress.items() if peer not in voters])
    raft.heartbeat_due = raft.replicate_due = True


def tick(raft: RaftState) -> None:
    """A tick of a leader: heartbeats are due regularly, and without a majority it is no leader."""
    raft.heartbeat_elapsed += 1
    if raft.heartbeat_elapsed >= raft.config.heartbeat_ticks:
        raft.heartbeat_due = True
    for progress in raft.learning:
        progress.chase(raft.log.last_index, raft.ticks, raft.config.election_ticks)
    if raft.transferring:
        transfer.tick(raft)
    heard = reached_by_majority(_with_own(raft, raft.ticks, [progress.heard_tick for progress in raft.voting]))
    if raft.ticks - heard >= raft.config.election_ticks:
        raft.become(FOLLOWER, None, f"heard no majority for {raft.ticks - heard} ticks")
    elif raft.barred:
        _step_down(raft, "it cannot apply what is committed")


def _with_own(raft: RaftState, own: int, others: list[int]) -> list[int]:
    """What the voters have reached: a leader that has no vote any more does not count itself (thesis 4.2.2)."""
    if raft.is_voter:
        others.append(own)
    return others


def on_append_response(raft: RaftState, message: AppendResponse) -> None:
    """A follower acknowledged entries, or could not match them."""
    progress = raft.progress[message.sender]
    progress.heard_tick = raft.ticks
    if message.success:
        match_index, last_index = message.match_index, raft.log.last_index
        assert match_index <= last_index, f"{message.sender} matches through {match_index}, but we end at {last_index}"
        if progress.acknowledged(message.match_index, raft.log.dense_index, raft.ticks):
            advance_commit(raft)
        raft.replicate_due = True
    elif message.rejected_index > progress.match_index:
        raft.replicate_due |= progress.rejected(
            message.rejected_index,
            agrees_from=message.match_index,
            agrees_to=_may_agree_through(raft, message.hint_index, message.hint_term),
            dense_index=raft.log.dense_index,
        )


def _may_agree_through(raft: RaftState, hint_index: int, hint_term: int) -> int:
    """Where a follower may agree at most, that skipped back over its terms after ours: we do so over ours after its.

    Below our dense index it is no more than a bound.
    """
    log = raft.log
    dense_index = log.dense_index
    hint_index = min(hint_index, log.last_index)
    if hint_index < dense_index or log.term_at(dense_index) > hint_term:
        return min(hint_index, dense_index - 1)
    return last_of_term(log, hint_term, dense_index, hint_index)


def on_heartbeat_response(raft: RaftState, message: HeartbeatResponse) -> None:
    """A follower still follows: that confirms the round, and is the occasion to repeat what was lost."""
    progress = raft.progress[message.sender]
    progress.heard_tick = raft.ticks
    progress.round = max(progress.round, message.round)
    progress.probation = message.probation
    progress.reading = message.reading
    confirm_reads(raft)
    if message.lost and progress.state is REPLICATE:
        progress.probe(progress.match_index + 1)
        raft.replicate_due = True
    elif progress.unanswered_since(raft.ticks - raft.config.heartbeat_ticks):
        progress.repeat_due = True
        raft.replicate_due = True


def confirm_reads(raft: RaftState) -> None:
    """Release the reads of every round that a majority has answered, ourselves included."""
    if raft.reads.unconfirmed:
        rounds = _with_own(raft, raft.reads.round, [progress.round for progress in raft.voting])
        served = raft.reads.confirmed(reached_by_majority(rounds))
        if raft.has_queries:
            served = probation.answer(raft, served)
        raft.out.reads.extend(served)


def has_lease(raft: RaftState, now: int) -> bool:
    """Whether a majority has answered lately enough, and this leader knows all that was committed before its term."""
    if raft.transferring or raft.commit_index < raft.term_start:
        return False
    rounds = _with_own(raft, raft.reads.round, [progress.round for progress in raft.voting])
    return raft.lease.holds(reached_by_majority(rounds), now)


def advance_commit(raft: RaftState) -> None:
    """Commit what a majority holds durably, but only if it is of our own term (paper 5.4.2)."""
    held = _with_own(raft, raft.persisted_index, [progress.match_index for progress in raft.voting])
    index = reached_by_majority(held)
    if index > raft.commit_index and index >= raft.term_start:
        term = raft.log.term_at(index)
        assert term == raft.term, f"entry {index} of our term {raft.term} is of term {term}"
        raft.advance_commit_to(index)


def emit(raft: RaftState, notify: bool) -> None:
    """End of a turn: entries first, then a round of heartbeats if one is due, else notices of the commit index."""
    if raft.replicate_due:
        raft.replicate_due = False
        if raft.log.last_index >= raft.term_start:
            for peer, progress in raft.progress.items():
                _replicate(raft, peer, progress)
    can_read = raft.commit_index >= raft.term_start
    if raft.heartbeat_due or (can_read and raft.reads.wants_round):
        raft.heartbeat_due = False
        raft.heartbeat_elapsed = 0
        round = raft.reads.start(raft.commit_index if can_read else None)
        if raft.now is not None:
            raft.lease.sent(round, raft.now)
        _heartbeat_all(raft, round)
        confirm_reads(raft)  # a single voter needs no answer
    else:
        _notify_commit(raft, everybody=notify)
    if raft.transferring:
        transfer.emit(raft)
    if not raft.is_voter and raft.commit_index >= max(raft.configuration.index, raft.term_start):
        # Thesis 4.2.2: a leader that votes no more leads until that is committed, and everybody is told.
        _step_down(raft, "it votes no more")


def _step_down(raft: RaftState, reason: str) -> None:
    """Lead no more; a voter that holds everything may begin at once."""
    _notify_commit(raft, everybody=True)
    if raft.other_voters:
        best = max(raft.other_voters, key=lambda voter: raft.progress[voter].match_index)
        transfer.tell(raft, best)
    raft.become(FOLLOWER, None, reason)


def _heartbeat_all(raft: RaftState, round: int) -> None:
    for peer, progress in raft.progress.items():
        _heartbeat(raft, peer, progress, round)


def _notify_commit(raft: RaftState, *, everybody: bool) -> None:
    """Tell a new commit index to those whom no Append has told it; at once only where clients read."""
    for peer, progress in raft.progress.items():
        if (everybody or progress.reading) and _lacks_notice(raft, progress):
            _heartbeat(raft, peer, progress, round=0)


def owes_notice(raft: RaftState) -> bool:
    """Whether anybody lacks the commit index."""
    return any(_lacks_notice(raft, progress) for progress in raft.progress.values())


def _lacks_notice(raft: RaftState, progress: Progress) -> bool:
    """Only a follower that is replicated to could use it."""
    return progress.commit_sent < raft.commit_index and progress.state is REPLICATE


def _heartbeat(raft: RaftState, peer: int, progress: Progress, round: int) -> None:
    progress.commit_sent = raft.commit_index
    raft.send(
        Heartbeat(
            term=raft.term,
            sender=raft.member,
            to=peer,
            commit_index=raft.commit_index,
            round=round,
            sent_through=progress.sent_through,
        )
    )


def _replicate(raft: RaftState, peer: int, progress: Progress) -> None:
    """Send one follower what it may be sent now."""
    if progress.state is INSTALL:
        return
    if progress.next_index <= raft.log.dense_index:
        progress.keep_above(raft.log.dense_index)
    if progress.repeat_due:
        _send_append(raft, peer, progress, progress.next_index - 1)
        progress.asked(raft.ticks)
    elif progress.state is PROBE:
        _probe(raft, peer, progress)
    if progress.state is REPLICATE:
        _pipeline(raft, peer, progress)


def _probe(raft: RaftState, peer: int, progress: Progress) -> None:
    """One Append, with entries in case they match, and then wait for the answer."""
    if not progress.probe_sent:
        _send_append(raft, peer, progress, _fit(raft, progress.next_index))
        progress.asked(raft.ticks)


def _pipeline(raft: RaftState, peer: int, progress: Progress) -> None:
    """Everything not yet sent, as far as the in-flight limits allow."""
    config = raft.config
    while (
        progress.next_index <= raft.log.last_index
        and len(progress.inflight) < config.inflight_messages_max
        and progress.inflight_bytes < config.inflight_bytes_max
    ):
        first = progress.next_index
        last = _fit(raft, first)
        _send_append(raft, peer, progress, last)
        progress.sent(last, raft.log.bytes_between(first, last), raft.ticks)


def _fit(raft: RaftState, first: int) -> int:
    """The last index of an Append that begins at `first`; first - 1 if the log ends before it."""
    last_index = raft.log.last_index
    if first > last_index:
        return last_index
    last = raft.log.fit(first, last_index, raft.config.append_bytes_max)
    assert first <= last <= last_index, f"fit({first}, {last_index}) is {last}"
    return last


def _send_append(raft: RaftState, peer: int, progress: Progress, last_index: int) -> None:
    """Send the entries from next_index through last_index; none if that is next_index - 1."""
    prev_index = progress.next_index - 1
    assert prev_index <= last_index, f"an Append after {prev_index} cannot end at {last_index}"
    progress.commit_sent = raft.commit_index
    raft.send(
        Append(
            term=raft.term,
            sender=raft.member,
            to=peer,
            prev_index=prev_index,
            prev_term=raft.log.term_at(prev_index),
            last_index=last_index,
            commit_index=raft.commit_index,
            runs=term_runs(raft.log, prev_index + 1, last_index),
        )
    )
