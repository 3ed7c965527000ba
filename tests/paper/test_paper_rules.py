"""Figure 2 of the Raft paper (Ongaro and Ousterhout, 2014), "Rules for servers" and the two RPCs: a test per claim."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE
from ocelog.shard.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Vote,
    VoteResponse,
)

from tests.unit_shard.raft.raft_cluster import Cluster
from tests.unit_shard.raft.raft_member import Member


def follower(terms=(), *, term=None, voted_for=None) -> Member:
    """Member 0 of three."""
    return Member(0, [0, 1, 2], terms=list(terms), term=term, voted_for=voted_for)


def append(term=1, prev=(0, 0), entries=(), commit_index=0, sender=1) -> Append:
    """AppendEntries with entries of the given terms after `prev` = (index, term)."""
    runs, last = [], prev[0]
    for entry_term in entries:
        last += 1
        if not runs or runs[-1][1] != entry_term:
            runs.append((last, entry_term))
    return Append(
        term=term,
        sender=sender,
        to=0,
        prev_index=prev[0],
        prev_term=prev[1],
        last_index=last,
        commit_index=commit_index,
        runs=tuple(runs),
        entries=[(entry_term, f"e{entry_term}") for entry_term in entries],
    )


def vote(term, last=(0, 0), sender=1) -> Vote:
    return Vote(term=term, sender=sender, to=0, last_index=last[0], last_term=last[1])


def answers(member: Member, message) -> list:
    """What the member sends because of `message`, once its disk is done."""
    member.receive(message)
    return member.settle()


# -- all servers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER])
@pytest.mark.parametrize(
    "message",
    [
        append(term=9),
        Heartbeat(term=9, sender=1, to=0, commit_index=0, round=1, sent_through=0),
        AppendResponse(term=9, sender=1, to=0, success=False),
        HeartbeatResponse(term=9, sender=1, to=0),
        VoteResponse(term=9, sender=1, to=0, granted=False),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_later_term_makes_anyone_a_follower_of_it(role, message):
    """Figure 2, all servers: if an RPC request or response contains a term T > currentTerm, take T and be a follower."""
    cluster = Cluster(3)
    member = cluster[0]
    if role is LEADER:
        cluster.elect(0)
    elif role is not FOLLOWER:
        cluster.time_out(0)
        if role is CANDIDATE:
            cluster.deliver(cluster.wire.pop(0))
            cluster.deliver(next(message for message in cluster.wire if message.to == 0))
    assert member.core.role is role
    member.receive(message)
    assert (member.core.role, member.core.term, member.core.voted_for) == (FOLLOWER, 9, None)


def test_a_stale_response_changes_nothing():
    """Figure 2, all servers: what belongs to an earlier term is not acted on (5.1)."""
    cluster = Cluster(3, logs={member: [1] for member in range(3)})
    leader = cluster.elect(0)
    before = leader.core.commit_index
    leader.propose("x")
    for sender in (1, 2):
        stale = AppendResponse(term=leader.core.term - 1, sender=sender, to=0, success=True, match_index=3)
        leader.receive(stale)
    assert leader.core.commit_index == before


def test_term_vote_and_entries_are_durable_before_the_answer():
    """Figure 2, persistent state: updated on stable storage before responding to RPCs."""
    member = follower([1], term=1)
    member.receive(append(term=2, prev=(1, 1), entries=[2]))
    assert member.turn() == []
    assert [type(message) for message in member.sync()] == [AppendResponse]
    assert (member.disk.hard_state, [term for term, _ in member.disk.files.entries]) == ((2, None), [1, 2])


def test_a_vote_is_durable_before_it_is_granted():
    """Figure 2, persistent state: votedFor, too, and so the candidate's own."""
    voter = follower(term=1)
    voter.receive(vote(term=2))
    assert voter.turn() == []
    [granted] = voter.sync()
    assert granted.granted
    assert voter.disk.hard_state == (2, 1)

    cluster = Cluster(3, slow_disks=True, term=1)
    cluster.time_out(0)
    cluster.run()
    candidate = cluster[0]
    assert candidate.core.role is CANDIDATE
    assert not candidate.core.votes.get(0), "its own vote counts, but is not durable"
    assert {type(message) for message in candidate.sync()} == {Vote}
    assert candidate.core.votes[0]


# -- AppendEntries, receiver -----------------------------------------------------------------------


def test_append_entries_1_of_an_earlier_term_is_refused():
    """Figure 2, AppendEntries 1: reply false if term < currentTerm."""
    member = follower(term=3)
    [response] = answers(member, append(term=2, entries=[2]))
    assert (response.success, response.term, member.log.terms) == (False, 3, [])


@pytest.mark.parametrize(("log", "prev"), [([1], (2, 1)), ([1, 1], (2, 2)), ([], (5, 3))])
def test_append_entries_2_without_the_previous_entry_is_refused(log, prev):
    """Figure 2, AppendEntries 2: reply false if the log has no entry at prevLogIndex whose term matches prevLogTerm."""
    member = follower(log, term=3)
    [response] = answers(member, append(term=3, prev=prev, entries=[3]))
    assert (response.success, response.rejected_index, member.log.terms) == (False, prev[0], log)


def test_append_entries_3_a_conflicting_entry_goes_with_all_that_follow():
    """Figure 2, AppendEntries 3: an existing entry that conflicts with a new one is deleted, and all that follow it."""
    member = follower([1, 2, 2, 2], term=3)
    [response] = answers(member, append(term=3, prev=(1, 1), entries=[3]))
    assert (response.success, response.match_index, member.log.terms) == (True, 2, [1, 3])


def test_append_entries_4_appends_what_is_not_yet_there():
    """Figure 2, AppendEntries 4: append any new entries not already in the log; the others stay as they are (5.5)."""
    member = follower([1, 1, 1], term=1)
    kept = list(member.log.entries)
    [response] = answers(member, append(term=1, prev=(1, 1), entries=[1, 1, 1]))
    assert (response.match_index, member.log.terms) == (4, [1, 1, 1, 1])
    assert member.log.entries[:3] == kept
    [response] = answers(member, append(term=1, prev=(0, 0), entries=[1]))
    assert (response.success, member.log.terms) == (True, [1, 1, 1, 1]), "an old request must not shorten the log"


@pytest.mark.parametrize(("leader_commit", "commits"), [(1, 1), (3, 3), (9, 3)])
def test_append_entries_5_commits_through_the_last_new_entry_at_most(leader_commit, commits):
    """Figure 2, AppendEntries 5: commitIndex = min(leaderCommit, index of last new entry)."""
    member = follower([1, 1, 1, 1, 1], term=2)
    answers(member, append(term=2, prev=(2, 1), entries=[1], commit_index=leader_commit))
    assert member.core.commit_index == commits
    assert member.log.last_index == 5, "entries 4 and 5 may yet turn out to conflict"


# -- RequestVote, receiver -------------------------------------------------------------------------


def test_request_vote_1_of_an_earlier_term_is_refused():
    """Figure 2, RequestVote 1: reply false if term < currentTerm."""
    [response] = answers(follower(term=3), vote(term=2))
    assert (response.granted, response.term) == (False, 3)


@pytest.mark.parametrize(("voted_for", "granted"), [(None, True), (1, True), (2, False)])
def test_request_vote_2_goes_to_the_first_who_asks(voted_for, granted):
    """Figure 2, RequestVote 2: if votedFor is null or candidateId, and the log is up to date, grant."""
    member = follower(term=3, voted_for=voted_for)
    [response] = answers(member, vote(term=3))
    assert response.granted is granted
    assert member.core.voted_for == (1 if granted else 2)


# -- followers and candidates ----------------------------------------------------------------------


def test_a_follower_without_leader_becomes_candidate():
    """Figure 2, followers: after an election timeout without AppendEntries or a granted vote, become candidate."""
    cluster = Cluster(3, term=1)
    member = cluster[0].core
    for _ in range(member.timeout - 1):
        member.tick()
    assert member.role is FOLLOWER
    member.tick()
    cluster.turn(0)
    cluster.run()
    assert member.role is LEADER


@pytest.mark.parametrize("message", [append(term=1), vote(term=1)], ids=["AppendEntries", "granted vote"])
def test_a_leader_or_a_granted_vote_restarts_the_timeout(message):
    """Figure 2, followers: ... without receiving AppendEntries from the current leader or granting a vote."""
    member = follower(term=1)
    for _ in range(member.core.timeout - 1):
        member.core.tick()
    answers(member, message)
    for _ in range(member.core.timeout - 1):
        member.core.tick()
    assert member.core.role is FOLLOWER


def test_a_campaign_raises_the_term_votes_for_itself_and_asks_everybody():
    """Figure 2, candidates: increment currentTerm, vote for self, reset the timer, send RequestVote to all others."""
    cluster = Cluster(5, term=4)
    cluster.time_out(2)
    cluster.cut = lambda message: isinstance(message, Vote)
    asked = []
    while cluster.wire:
        asked += [message for message in cluster.deliver(cluster.wire.pop(0)) if isinstance(message, Vote)]
    core = cluster[2].core
    assert (core.role, core.term, core.voted_for, core.elapsed) == (CANDIDATE, 5, 2, 0)
    assert [message.to for message in asked] == [0, 1, 3, 4]


def test_a_candidate_that_hears_the_new_leader_follows_it():
    """Figure 2, candidates: if AppendEntries is received from the new leader, convert to follower."""
    cluster = Cluster(3, term=1)
    cluster.cut = lambda message: isinstance(message, Vote)
    cluster.time_out(0)
    cluster.run()
    core = cluster[0].core
    assert core.role is CANDIDATE
    cluster[0].receive(append(term=core.term))
    assert (core.role, core.leader, core.voted_for) == (FOLLOWER, 1, 0), "in the same term the vote stays given"


def test_a_candidate_that_wins_nothing_tries_again_in_a_later_term():
    """Figure 2, candidates: if the election timeout elapses, start a new election."""
    cluster = Cluster(3, term=1)
    cluster.cut = lambda message: isinstance(message, Vote)
    for expected_term in (2, 3):
        cluster.time_out(0)
        cluster.run()
        assert (cluster[0].core.role, cluster[0].core.term) == (CANDIDATE, expected_term)


# -- leaders ---------------------------------------------------------------------------------------


def test_a_leader_sends_heartbeats_at_once_and_while_idle():
    """Figure 2, leaders: upon election, initial heartbeats to each server; repeat during idle periods."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    assert [message.to for message in leader.turn()] == [], "all was said"
    for _ in range(3):
        for _ in range(leader.core.config.heartbeat_ticks):
            assert leader.turn() == []
            leader.core.tick()
        beats = leader.turn()
        assert [(type(message), message.to) for message in beats] == [(Heartbeat, 1), (Heartbeat, 2)]

    cluster = Cluster(3)
    cluster.time_out(0)
    while cluster[0].core.role is not LEADER:
        sent = cluster.deliver(cluster.wire.pop(0))
    assert {message.to for message in sent if isinstance(message, Heartbeat)} == {1, 2}


def test_a_leader_never_touches_its_own_entries():
    """Figure 3, leader append-only (5.3): a leader never overwrites or deletes entries in its log."""
    cluster = Cluster(3, logs={0: [1, 2, 2], 1: [1], 2: [1, 1, 1, 1]})
    before = list(cluster[0].log.entries)
    cluster.elect(0)
    assert cluster[0].log.entries[:3] == before
    assert [member.log.terms for member in cluster.members] == [[1, 2, 2, 3]] * 3


def test_a_leader_counts_itself_only_with_what_is_durable_and_commits_with_a_majority():
    """Figure 2, leaders: commit N if a majority of matchIndex >= N and log[N].term == currentTerm."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    index = leader.propose("x")
    leader.turn()
    leader.receive(AppendResponse(term=leader.core.term, sender=2, to=0, success=True, match_index=index))
    assert leader.core.commit_index == index - 1, "durable on one of three"
    leader.sync()
    assert leader.core.commit_index == index


def test_others_can_commit_while_the_leaders_disk_is_slow():
    """10.2.1 of the thesis: the leader writes its own disk in parallel, and need not be part of the majority."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    index = leader.propose("x")
    leader.turn()
    for sender in (1, 2):
        leader.receive(AppendResponse(term=leader.core.term, sender=sender, to=0, success=True, match_index=index))
    assert (leader.core.persisted_index, leader.core.commit_index) == (index - 1, index)
