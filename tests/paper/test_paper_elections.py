"""Sections 5.2 and 5.4.1 of the Raft paper, and pre-vote and check-quorum of the thesis (9.6, 6.2, 4.2.3)."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, RaftConfig
from ocelog.shard.raft.messages import Append, Heartbeat, PreVote, Vote

from tests.unit_shard.raft.raft_cluster import Cluster
from tests.unit_shard.raft.raft_member import Member


def test_servers_start_as_followers():
    """5.2: when servers start up, they begin as followers."""
    assert [member.core.role for member in Cluster(3, term=5).members] == [FOLLOWER] * 3


def test_election_timeouts_are_drawn_at_random_from_the_interval():
    """5.2: election timeouts are chosen randomly from a fixed interval."""
    config = RaftConfig(election_ticks=10)
    members = [Member(0, [0, 1, 2], config=config, seed=seed, term=1) for seed in range(300)]
    for member in members:
        member.receive(Heartbeat(term=1, sender=1, to=0, commit_index=0, round=1, sent_through=0))
    assert {member.core.timeout for member in members} == set(range(10, 20))


def test_a_member_that_has_heard_no_leader_since_its_start_waits_less():
    """Not of the paper (docs/decisions/0001): a started cluster has no leader whose silence it would have to wait out."""
    config = RaftConfig(election_ticks=10)
    drawn = {Member(0, [0, 1, 2], config=config, seed=seed, term=7).core.timeout for seed in range(300)}
    assert drawn == set(range(1, 6))


def test_randomised_timeouts_make_split_votes_rare():
    """5.2: ... so that in most cases only a single server will time out first and wins before any other does."""
    terms = []
    for seed in range(40):
        cluster = Cluster(5, seed=seed, term=1)
        while not cluster.leaders:
            cluster.tick()
        terms.append(cluster[cluster.leaders[0]].core.term)
    assert sum(term == 2 for term in terms) > 30


@pytest.mark.parametrize(
    ("members", "granted", "wins"),
    [
        (1, 0, True),
        (2, 1, True),
        (2, 0, False),
        (3, 1, True),
        (3, 0, False),
        (4, 1, False),
        (5, 2, True),
        (5, 1, False),
    ],
)
def test_a_candidate_wins_with_the_votes_of_a_majority(members, granted, wins):
    """5.2: a candidate wins an election if it receives votes from a majority of the servers in the full cluster."""
    cluster = Cluster(members, term=1)
    cluster.cut = lambda message: isinstance(message, Vote) and message.to > granted
    cluster.time_out(0)
    cluster.run()
    assert cluster[0].core.role is (LEADER if wins else CANDIDATE)


def test_a_split_vote_is_tried_again_soon():
    """5.2: candidates time out and start a new election; after explicit refusals we do not wait a whole timeout."""
    cluster = Cluster(3, term=1)
    cluster.cut_off(2)
    for member in (0, 1):
        cluster.time_out(member)
    cluster.run()
    candidates = [cluster[member].core for member in (0, 1)]
    assert [core.role for core in candidates] == [CANDIDATE, CANDIDATE]
    assert all(core.timeout <= core.config.election_ticks // 2 for core in candidates)
    cluster.tick([0, 1], ticks=3 * candidates[0].config.election_ticks)
    assert len(cluster.leaders) == 1


@pytest.mark.parametrize(
    ("voter", "candidate", "granted"),
    [
        ([1], [1], True),
        ([1], [1, 1], True),
        ([1, 1], [1], False),
        ([1, 1], [2], True),
        ([1, 1, 1, 1], [1, 2], True),
        ([2], [1, 1, 1], False),
        ([1, 2], [1, 1, 1, 1], False),
        ([], [], True),
        ([1], [], False),
    ],
)
@pytest.mark.parametrize("asks", [Vote, PreVote])
def test_a_vote_needs_a_log_as_up_to_date_as_the_voters(voter, candidate, granted, asks):
    """5.4.1: the later last term is more up to date; with the same last term, the longer log is."""
    member = Member(0, [0, 1, 2], terms=voter, term=3)
    last_term = candidate[-1] if candidate else 0
    member.receive(asks(term=4, sender=1, to=0, last_index=len(candidate), last_term=last_term))
    [response] = member.settle()
    assert response.granted is granted


def test_a_refused_vote_still_brings_the_term():
    """5.1: a server that sees a larger term takes it, even if the candidate does not get its vote."""
    member = Member(0, [0, 1, 2], terms=[2, 2], term=3)
    member.receive(Vote(term=7, sender=1, to=0, last_index=1, last_term=2))
    [response] = member.settle()
    assert (response.granted, response.term, member.core.term, member.core.voted_for) == (False, 7, 7, None)


def test_a_crash_does_not_give_a_second_vote_in_a_term():
    """5.2: each server votes for at most one candidate in a given term; votedFor survives a crash."""
    member = Member(0, [0, 1, 2], term=1)
    member.receive(Vote(term=2, sender=1, to=0, last_index=0, last_term=0))
    member.settle()
    member.crash(member.rng)
    member.forget_pledge()
    member.receive(Vote(term=2, sender=2, to=0, last_index=0, last_term=0))
    [response] = member.settle()
    assert not response.granted


def test_a_vote_that_a_crash_took_back_had_told_nobody():
    """5.2: ... so a vote that is not durable must not have left, since after the crash another may get it."""
    member = Member(0, [0, 1, 2], term=1)
    member.receive(Vote(term=2, sender=1, to=0, last_index=0, last_term=0))
    assert member.turn() == []
    member.disk.written_hard_state = None  # the crash loses it
    member.crash(member.rng)
    member.forget_pledge()
    member.receive(Vote(term=2, sender=2, to=0, last_index=0, last_term=0))
    [response] = member.settle()
    assert response.granted


# -- pre-vote and check-quorum ---------------------------------------------------------------------


def test_a_member_that_was_cut_off_does_not_disturb_when_it_returns():
    """Thesis 9.6: with pre-vote, a partitioned server neither raises its term nor deposes the leader later."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    term = leader.core.term
    cluster.cut_off(2)
    cluster.tick(ticks=200)
    assert (cluster[2].core.role, cluster[2].core.term) == (PRE_CANDIDATE, term)
    cluster.cut_off()
    cluster.tick(ticks=5)
    assert (cluster.leaders, leader.core.term, cluster[2].core.leader) == ([0], term, 0)


def test_nobody_votes_against_a_leader_that_it_hears():
    """Thesis 4.2.3: within a minimum election timeout of hearing a leader, neither vote nor take the term."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    member, term = cluster[1], leader.core.term
    member.receive(PreVote(term=term + 1, sender=2, to=1, last_index=99, last_term=term))
    [response] = member.settle()
    assert (response.granted, response.term) == (False, term)
    member.receive(Vote(term=term + 1, sender=2, to=1, last_index=99, last_term=term))
    assert (member.settle(), member.core.term, member.core.voted_for) == ([], term, 0)


def test_after_a_minimal_timeout_without_the_leader_votes_are_free():
    """Thesis 4.2.3: ... and afterwards they are given."""
    cluster = Cluster(3)
    cluster.elect(0)
    member = cluster[1]
    member.core.timeout = 10**6
    for _ in range(member.core.config.election_ticks):
        member.core.tick()
    asked = PreVote(term=member.core.term + 1, sender=2, to=1, last_index=99, last_term=1)
    member.receive(asked)
    [response] = member.settle()
    assert (response.granted, response.term) == (True, asked.term)


def test_a_leader_without_majority_steps_down():
    """Thesis 6.2: a leader steps down if an election timeout elapses without a heartbeat round to a majority."""
    cluster = Cluster(5)
    leader = cluster.elect(0)
    cluster.cut_off(3, 4)
    cluster.tick([0, 1, 2], ticks=100)
    assert leader.core.role is LEADER, "three of five are a majority"
    cluster.cut_off(2, 3, 4)
    ticks = leader.core.config.election_ticks
    cluster.tick([0, 1], ticks=ticks - 3)
    assert leader.core.role is LEADER
    cluster.tick([0, 1], ticks=3)
    assert leader.core.role is not LEADER


def test_a_leader_whose_disk_hangs_steps_down_when_cut_off():
    """Thesis 6.2: ... and that needs no disk."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    leader.turn()
    for _ in range(leader.core.config.election_ticks):
        leader.core.tick()
    leader.turn()
    assert (leader.core.role, leader.core.persisted_index) == (FOLLOWER, leader.log.last_index - 1)


def test_a_member_stuck_in_a_later_term_gets_a_new_election():
    """5.1: a stale leader is refused with the current term, and finds out: so that member is not lost for ever."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    stuck = cluster[2]
    stuck.disk.hard_state = (leader.core.term + 1, 2)  # it campaigned, but nobody else heard of it
    stuck.start()
    cluster.tick(ticks=leader.core.config.heartbeat_ticks)
    assert leader.core.term == stuck.core.term
    cluster.tick(ticks=60)
    assert len(cluster.leaders) == 1
    assert len({member.core.term for member in cluster.members}) == 1


def test_a_second_leader_in_a_term_is_not_believed():
    """5.2, election safety: at most one leader per term; a leader that meets another in its term must not go on."""
    leader = Cluster(3).elect(0)
    term = leader.core.term
    beat = Heartbeat(term=term, sender=1, to=0, commit_index=0, round=1, sent_through=0)
    with pytest.raises(AssertionError, match=f"leads term {term}"):
        leader.receive(beat)
    with pytest.raises(AssertionError, match=f"leads term {term}"):
        leader.receive(
            Append(term=term, sender=1, to=0, prev_index=0, prev_term=0, last_index=0, commit_index=0, runs=())
        )
