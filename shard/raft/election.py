"""Elections: pre-vote, vote, and who gets ours (paper 5.2 and 5.4.1, thesis 4.2.3 and 9.6).

A member that misses its leader first asks whether it could win at all (pre-vote), and only then begins a term. So a
member that was cut off does not come back with a high term and depose a healthy leader.
"""

from __future__ import annotations

from . import replication
from .messages import CANDIDATE, PRE_CANDIDATE, PreVote, PreVoteResponse, TimeoutNow, Vote, VoteResponse
from .quorum import has_won
from .state import RaftState


def tick(raft: RaftState) -> None:
    """A tick of anyone but a leader."""
    raft.elapsed += 1
    if raft.elapsed >= raft.timeout and not raft.pledged and raft.may_campaign():
        ask_for_pre_votes(raft)


def ask_for_pre_votes(raft: RaftState) -> None:
    """Become pre-candidate: would a majority vote for us in the next term? The term stays as it is."""
    raft.become(PRE_CANDIDATE, None, f"no leader for {raft.elapsed} ticks")
    raft.votes[raft.member] = True
    last_index = raft.log.last_index
    last_term = raft.log.term_at(last_index)
    for peer in raft.other_voters:
        raft.send(PreVote(term=raft.term + 1, sender=raft.member, to=peer, last_index=last_index, last_term=last_term))
    count_votes(raft)


def campaign(raft: RaftState, reason: str = "won the pre-vote", *, transfer: bool = False) -> None:
    """Begin a term as its candidate. Our own vote counts, and the requests leave, once that vote is durable."""
    raft.enter_term(raft.term + 1, raft.member)
    raft.become(CANDIDATE, None, reason)
    last_index = raft.log.last_index
    last_term = raft.log.term_at(last_index)
    for peer in raft.other_voters:
        raft.promise(
            Vote(
                term=raft.term,
                sender=raft.member,
                to=peer,
                last_index=last_index,
                last_term=last_term,
                transfer=transfer,
            )
        )


def own_vote_stored(raft: RaftState) -> None:
    """The hard state is durable: if it is the vote for ourselves in this campaign, count it."""
    if raft.role is CANDIDATE and raft.stored_hard_state == (raft.term, raft.member):
        raft.votes[raft.member] = True
        count_votes(raft)


def on_timeout_now(raft: RaftState, message: TimeoutNow) -> None:
    """This term's leader wants us to succeed it: no pre-vote, and nobody refuses because it hears the leader."""
    raft.hear_leader(message.sender)
    if raft.may_campaign():
        campaign(raft, f"{message.sender} hands over leadership", transfer=True)


def on_pre_vote(raft: RaftState, message: PreVote) -> None:
    """Any role: say whether the sender would get our vote. Changes nothing here, the timeout neither."""
    free = not raft.pledged and not raft.probation
    granted = message.term > raft.term and free and is_up_to_date(raft, message)
    term = message.term if granted else raft.term
    raft.send(PreVoteResponse(term=term, sender=raft.member, to=message.sender, granted=granted))


def on_vote(raft: RaftState, message: Vote) -> None:
    """Any role: one vote per term, first come first served, and only for a log as complete as ours (5.4.1).

    A request of a later term has put us into that term before it comes here. Whether the candidate is a member by our
    own configuration is not asked: theirs may be the later one (thesis 4.1).
    """
    free = raft.voted_for == message.sender or (raft.voted_for is None and raft.leader is None)
    free = free and (message.transfer or not raft.pledged)
    granted = message.term == raft.term and free and not raft.probation and is_up_to_date(raft, message)
    response = VoteResponse(term=raft.term, sender=raft.member, to=message.sender, granted=granted)
    if granted:
        raft.voted_for = message.sender
        raft.elapsed = 0
        raft.promise(response)
    else:
        raft.send(response)


def is_up_to_date(raft: RaftState, message: PreVote | Vote) -> bool:
    """Whether the candidate's log is at least as complete as ours: later last term, or as long in the same (5.4.1)."""
    last_index = raft.log.last_index
    return (message.last_term, message.last_index) >= (raft.log.term_at(last_index), last_index)


def on_pre_vote_response(raft: RaftState, message: PreVoteResponse) -> None:
    """Pre-candidate: count an answer to this pre-vote."""
    asked_term = raft.term + 1 if message.granted else raft.term
    if message.term == asked_term:
        record_vote(raft, message.sender, message.granted)


def on_vote_response(raft: RaftState, message: VoteResponse) -> None:
    """Candidate: count an answer to this campaign."""
    record_vote(raft, message.sender, message.granted)


def record_vote(raft: RaftState, sender: int, granted: bool) -> None:
    """Note the first answer of a voter and see whether that decides the vote."""
    raft.votes.setdefault(sender, granted)
    if not granted:
        # Lost, or split, or soon neither (one against and one down): try again soon rather than a whole timeout later.
        raft.shorten_timeout(raft.draw_retry())
    count_votes(raft)


def count_votes(raft: RaftState) -> None:
    """Move on once the vote is won."""
    if not has_won(raft.votes, raft.configuration.voters):
        return
    if raft.role is PRE_CANDIDATE:
        campaign(raft)
    else:
        voters = (str(voter) for voter in raft.configuration.voters if raft.votes.get(voter))
        replication.lead(raft, f"elected by {', '.join(voters)}")
