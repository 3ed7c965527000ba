"""Section 3.10 of Ongaro's thesis: leadership transfer extension, a test per claim."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import CANDIDATE, FOLLOWER, LEADER
from ocelog.shard.raft.membership import ChangeKind, Refused
from ocelog.shard.raft.messages import Append, AppendResponse, PreVote, TimeoutNow, Vote

from tests.unit_shard.raft.raft_cluster import Cluster, commits


def transferring(to: int = 1, *, behind: bool = False) -> Cluster:
    """Member 0 leads and is asked to hand over; with `behind`, the target misses an entry for now."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut = lambda message: behind and message.to == to and isinstance(message, Append)
    leader.propose("x")
    cluster.turn(0)
    cluster.run()
    leader.core.transfer(to)
    cluster.turn(0)
    return cluster


def kinds(cluster: Cluster) -> set[type]:
    return {type(message) for message in cluster.wire}


def test_the_target_takes_over_at_once():
    """3.10: the target starts a new election, and with high probability wins before anybody else times out."""
    cluster = transferring()
    cluster.run()
    assert (cluster.leaders, cluster[1].core.term) == ([1], 2)
    assert commits(cluster) == [3, 3, 3]


def test_the_prior_leader_takes_no_requests_meanwhile():
    """3.10, step 1: the prior leader stops accepting new client requests."""
    cluster = transferring()
    leader = cluster[0]
    assert leader.core.transferring
    with pytest.raises(AssertionError, match="being transferred"):
        leader.propose("y")


def test_the_target_is_brought_up_to_date_first():
    """3.10, step 2: the prior leader fully updates the target server's log to match its own."""
    cluster = transferring(behind=True)
    assert TimeoutNow not in kinds(cluster)
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    assert cluster.leaders == [1]
    assert cluster[1].log.entries[:2] == cluster[0].log.entries[:2]


def test_the_target_needs_no_election_timeout_and_no_pre_vote():
    """3.10, step 3: TimeoutNow has the effect of the target's election timer firing; 9.6: pre-vote would stop it."""
    cluster = transferring()
    [message] = [message for message in cluster.wire if isinstance(message, TimeoutNow)]
    cluster[1].receive(message)
    assert (cluster[1].core.role, cluster[1].core.term) == (CANDIDATE, 2)
    sent = cluster[1].settle()
    assert {type(message) for message in sent} == {Vote}
    assert all(message.transfer for message in sent)


def test_a_vote_at_the_leaders_wish_is_given_although_the_leader_is_heard():
    """4.2.3: the flag tells that the leader permits this election to disrupt it."""
    cluster = Cluster(3)
    cluster.elect(0)
    asked = Vote(term=2, sender=1, to=2, last_index=1, last_term=1, transfer=True)
    [answer] = cluster.deliver(asked)
    assert answer.granted
    cluster = Cluster(3)
    cluster.elect(0)
    asked = Vote(term=2, sender=1, to=2, last_index=1, last_term=1)
    assert cluster.deliver(asked) == []


def test_a_vote_at_the_leaders_wish_still_needs_an_up_to_date_log():
    """5.4.1 of the paper holds for every election."""
    cluster = Cluster(3)
    cluster.elect(0)
    asked = Vote(term=2, sender=1, to=2, last_index=0, last_term=0, transfer=True)
    [answer] = cluster.deliver(asked)
    assert not answer.granted


def test_a_transfer_that_takes_an_election_timeout_is_aborted():
    """3.10: if it does not complete after about an election timeout, the prior leader resumes accepting requests."""
    cluster = transferring(behind=True)
    leader = cluster[0]
    ticks = leader.core.config.election_ticks
    cluster.tick([0], ticks=ticks - 1)
    assert leader.core.transferring
    cluster.tick([0], ticks=1)
    assert (leader.core.transferring, leader.core.role) == (False, LEADER)
    index = leader.propose("y")
    cluster.turn(0)
    cluster.run()
    assert leader.core.commit_index == index


def test_a_transfer_whose_target_was_told_but_does_nothing_is_aborted():
    cluster = transferring()
    cluster.cut = lambda message: message.sender == 1 and isinstance(message, Vote)
    cluster.run()
    leader = cluster[0]
    assert cluster[1].core.role is CANDIDATE
    cluster.cut_off(1)
    cluster.tick([0, 2], ticks=leader.core.config.election_ticks)
    assert (leader.core.transferring, leader.core.role) == (False, LEADER)


def test_the_target_is_told_once():
    cluster = transferring()
    told = [message for message in cluster.wire if isinstance(message, TimeoutNow)]
    cluster.cut = lambda message: isinstance(message, TimeoutNow)
    cluster.run()
    for _ in range(8):
        cluster[0].core.tick()
        told += [message for message in cluster[0].turn() if isinstance(message, TimeoutNow)]
    assert len(told) == 1


def test_a_transfer_ends_with_the_connection_to_its_target():
    cluster = transferring(behind=True)
    cluster[0].core.peer_gone(2)
    assert cluster[0].core.transferring
    cluster[0].core.peer_gone(1)
    assert not cluster[0].core.transferring


def test_a_transfer_ends_with_the_leadership():
    cluster = transferring(behind=True)
    cluster[0].receive(AppendResponse(term=5, sender=2, to=0, success=False))
    assert (cluster[0].core.role, cluster[0].core.transferring) == (FOLLOWER, False)


@pytest.mark.parametrize(("leader", "to", "reason"), [(1, 2, "not_leader"), (0, 0, "itself"), (0, 7, "role")])
def test_a_transfer_that_cannot_be_is_refused(leader, to, reason):
    cluster = Cluster(3)
    cluster.elect(0)
    with pytest.raises(Refused) as refused:
        cluster[leader].core.transfer(to)
    assert refused.value.reason == reason


def test_one_transfer_at_a_time_and_none_to_who_does_not_vote():
    cluster = transferring(behind=True)
    with pytest.raises(Refused, match="is being transferred to 1"):
        cluster[0].core.transfer(2)
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.change(0, ChangeKind.DEMOTE, 2)
    with pytest.raises(Refused, match="does not vote"):
        cluster[0].core.transfer(2)


def test_a_repeated_or_late_request_to_take_over_does_no_harm():
    """It only makes the target campaign, in its term or, if that has passed, not at all."""
    cluster = transferring()
    [message] = [message for message in cluster.wire if isinstance(message, TimeoutNow)]
    cluster.run()
    assert cluster.leaders == [1]
    assert cluster.deliver(message) == []
    assert (cluster.leaders, cluster[1].core.term) == ([1], 2)


def test_a_candidate_by_transfer_is_one_like_any_other_when_it_loses():
    """Its next try goes through the pre-vote again."""
    cluster = transferring()
    cluster.cut = lambda message: isinstance(message, Vote)
    cluster.run()
    cluster.cut_off(1)
    cluster.time_out(1)
    assert kinds(cluster) == {PreVote}
