"""What the core does beyond the paper: pipelining and its limits, evidence of death, coalescing, full disks."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, RaftConfig
from ocelog.shard.raft.core import HANDLERS
from ocelog.shard.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    PreVote,
    Vote,
)
from ocelog.shard.raft.progress import PROBE

from .raft_cluster import Cluster, appends, commits
from .raft_disk import ENTRY_BYTES
from .raft_member import Member

# -- happy path ------------------------------------------------------------------------------------


def test_a_leader_is_elected_and_commits_its_noop_everywhere():
    cluster = Cluster(3)
    cluster.elect(1)
    assert cluster.leaders == [1]
    assert commits(cluster) == [1, 1, 1]
    assert [member.core.leader for member in cluster.members] == [1, 1, 1]


def test_a_single_voter_elects_itself_and_commits_by_itself():
    cluster = Cluster(1)
    cluster.tick(ticks=40)
    assert cluster[0].core.role is LEADER
    index = cluster[0].propose("x")
    cluster[0].settle()
    assert cluster[0].core.commit_index == index


def test_entries_wait_for_the_noop_of_the_term():
    """Between becoming leader and appending the noop, heartbeats leave but no Append does."""
    cluster = Cluster(3, logs={0: [1], 1: [], 2: []})
    cluster.time_out(0)
    while cluster[0].core.role is not LEADER:
        message = cluster.wire.pop(0)
        if message.to == 0 and cluster[0].core.role is CANDIDATE:
            cluster[0].receive(message)
        else:
            cluster.deliver(message)
    sent = cluster[0].core.take().messages
    assert {type(message) for message in sent} == {Heartbeat}


def test_a_turn_without_events_sends_nothing():
    cluster = Cluster(3)
    cluster.elect(0)
    for member in cluster.members:
        output = member.core.take()
        assert (output.messages, output.messages_after_sync, output.hard_state) == ([], [], None)
        assert (output.reads, output.role_changes) == ([], [])


# -- replication -----------------------------------------------------------------------------------


def test_entries_are_pipelined_within_the_limit_of_messages():
    config = RaftConfig(append_bytes_max=2 * ENTRY_BYTES, inflight_messages_max=3)
    cluster = Cluster(3, config=config)
    leader = cluster.elect(0)
    leader.propose(*"abcdefghij")
    sent = appends(leader.turn())
    assert [(message.prev_index, message.last_index) for message in sent] == [(1, 3), (3, 5), (5, 7)]
    term = leader.core.term
    leader.receive(AppendResponse(term=term, sender=1, to=0, success=True, match_index=5))
    sent = appends(leader.turn())
    assert [(message.prev_index, message.last_index) for message in sent] == [(7, 9), (9, 11)]


def test_entries_are_pipelined_within_the_limit_of_bytes():
    config = RaftConfig(append_bytes_max=2 * ENTRY_BYTES, inflight_bytes_max=5 * ENTRY_BYTES)
    cluster = Cluster(3, config=config)
    leader = cluster.elect(0)
    leader.propose(*"abcdefghij")
    assert len(appends(leader.turn())) == 3, "the last one may reach past the limit"


def test_an_entry_larger_than_an_append_travels_alone():
    config = RaftConfig(append_bytes_max=1, inflight_bytes_max=1)
    cluster = Cluster(3, config=config)
    leader = cluster.elect(0)
    leader.propose("a", "b")
    cluster.turn(0)
    cluster.run()
    assert commits(cluster) == [3, 3, 3]


def test_many_appends_in_a_turn_get_one_acknowledgement():
    cluster = Cluster(3, config=RaftConfig(append_bytes_max=ENTRY_BYTES))
    leader = cluster.elect(0)
    leader.propose(*"abcde")
    for message in appends(leader.turn()):
        cluster[1].receive(message)
    [acknowledgement] = cluster[1].settle()
    assert acknowledgement.match_index == 6


def test_an_acknowledgement_never_speaks_of_entries_that_no_append_matched():
    """Entries after the matching ones may be of a dead leader, however durable."""
    member = Member(0, [0, 1, 2], terms=[1, 1, 2, 2, 2])
    message = Append(term=3, sender=1, to=0, prev_index=1, prev_term=1, last_index=2, commit_index=5, runs=((2, 1),))
    member.receive(message)
    [acknowledgement] = member.settle()
    assert (acknowledgement.match_index, acknowledgement.last_index, member.core.commit_index) == (2, 5, 2)


def test_a_conflict_makes_what_replaces_it_wait_for_the_disk_again():
    """After a truncation the old sync says nothing about the new entries at the same indexes."""
    member = Member(0, [0, 1, 2], terms=[1, 2, 2])
    assert member.core.persisted_index == 3
    message = Append(term=3, sender=1, to=0, prev_index=1, prev_term=1, last_index=2, commit_index=0, runs=((2, 3),))
    message.entries = [(3, "new")]
    member.receive(message)
    assert member.core.persisted_index == 1
    assert member.turn() == []
    [acknowledgement] = member.sync()
    assert acknowledgement.match_index == 2


def test_an_acknowledgement_of_an_earlier_term_dies_with_it():
    member = Member(0, [0, 1, 2], terms=[1])
    member.receive(Append(term=1, sender=1, to=0, prev_index=1, prev_term=1, last_index=1, commit_index=0, runs=()))
    member.receive(Append(term=2, sender=2, to=0, prev_index=9, prev_term=2, last_index=9, commit_index=0, runs=()))
    sent = member.settle()
    assert [(message.term, message.success) for message in sent] == [(2, False)]


def test_what_does_not_fit_on_the_disk_is_as_if_it_were_lost():
    """The follower has no room; the leader notices with the next heartbeat, and offers it again."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    follower = cluster[1].core
    leader.propose("x")
    [message] = appends(leader.turn())
    message.commit_index = 2
    assert follower.receive(message) is not None
    follower.not_appended()
    assert (follower.commit_index, follower.matched, follower.take().messages_after_sync) == (1, 1, [])
    cluster.tick([0], ticks=4)
    assert commits(cluster) == [2, 2, 2]


# -- evidence of death -----------------------------------------------------------------------------


def test_the_leaders_closed_connection_shortens_the_timeout():
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.cut_off(0)
    ticks = cluster[1].core.config.election_ticks
    for member in (1, 2):
        cluster[member].core.peer_died(0)
        assert cluster[member].core.timeout <= ticks // 4
        assert cluster[member].core.leader is None
    for _ in range(3 * ticks):
        cluster.tick([1, 2])
        if cluster.leaders[1:]:
            break
    assert cluster.leaders[1:] in ([1], [2])


def test_a_member_that_only_lost_its_own_connection_does_not_disturb():
    """The others still hear the leader, and deny it."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    term = leader.core.term
    cluster.cut = lambda message: {message.sender, message.to} == {0, 1}
    cluster[1].core.peer_gone(0)
    cluster.tick(ticks=30)
    assert (cluster.leaders, leader.core.term) == ([0], term)
    assert cluster[1].core.role in (FOLLOWER, PRE_CANDIDATE)


def test_a_leader_that_turns_out_to_live_is_followed_with_a_whole_timeout():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    core = cluster[1].core
    core.peer_gone(0)
    leader.core.heartbeat_due = True
    cluster.turn(0)
    cluster.run()
    assert core.leader == 0
    assert core.timeout >= core.config.election_ticks


def test_a_leader_probes_a_follower_whose_connection_closed():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    leader.turn()
    leader.core.peer_gone(1)
    progress = leader.core.progress[1]
    assert (progress.state, progress.next_index, len(progress.inflight)) == (PROBE, progress.match_index + 1, 0)
    assert appends(leader.turn()) == [], "nothing more until it is heard of"
    cluster.tick([0], ticks=2 * leader.core.config.heartbeat_ticks)
    assert commits(cluster) == [2, 2, 2]


@pytest.mark.parametrize("gone", [1, 2, 7])
def test_other_closed_connections_mean_nothing_to_a_follower(gone):
    cluster = Cluster(3)
    cluster.elect(0)
    core = cluster[1].core
    timeout = core.timeout
    core.peer_gone(gone)
    assert (core.leader, core.timeout, core.role) == (0, timeout, FOLLOWER)


# -- the table, and what is not for us --------------------------------------------------------------


def test_every_pair_of_role_and_message_has_its_handler_and_a_reason():
    assert all(handler.__doc__ for handler in HANDLERS.values())


@pytest.mark.parametrize(("sender", "to"), [(1, 2), (0, 0)])
def test_messages_for_others_or_in_our_own_name_are_ignored(sender, to):
    member = Member(0, [0, 1, 2], term=1)
    member.receive(Vote(term=9, sender=sender, to=to, last_index=9, last_term=8))
    assert (member.core.term, member.settle()) == (1, [])


def test_a_role_change_is_told_once_with_its_reason():
    cluster = Cluster(3)
    cluster.elect(0)
    told = [(change.role, change.leader, change.previous_leader) for change in cluster[0].role_changes]
    assert told == [(PRE_CANDIDATE, None, None), (CANDIDATE, None, None), (LEADER, 0, None)]
    assert all(change.reason for change in cluster[0].role_changes)
    cluster.cut_off(0)
    cluster[0].role_changes.clear()
    cluster.tick([0], ticks=500)
    told = [(change.role, change.leader, change.previous_leader) for change in cluster[0].role_changes]
    assert told == [(FOLLOWER, None, 0), (PRE_CANDIDATE, None, None)]


def test_a_denied_pre_vote_is_tried_again_soon():
    """One denies and one is down: no majority will ever answer, but waiting a whole timeout would be wrong."""
    cluster = Cluster(3, term=1)
    cluster.cut_off(2)
    cluster.time_out(0)
    cluster[1].core.pledged_until = 1000  # still believes in the leader that died
    cluster.run()
    core = cluster[0].core
    assert core.role is PRE_CANDIDATE
    assert core.timeout <= core.config.election_ticks // 2


def test_a_group_that_never_had_a_leader_does_not_wait_for_one():
    """At the first start of a cluster there is no leader to be patient with."""
    for seed in range(20):
        cluster = Cluster(3, seed=seed)
        assert all(member.core.timeout <= member.core.config.election_ticks // 2 for member in cluster.members)
        cluster.tick(ticks=20)
        assert len(cluster.leaders) == 1


def test_a_pre_vote_changes_nothing_at_the_voter():
    member = Member(0, [0, 1, 2], term=3)
    member.core.elapsed = 5
    member.receive(PreVote(term=8, sender=1, to=0, last_index=0, last_term=0))
    member.settle()
    assert (member.core.term, member.core.voted_for, member.core.elapsed) == (3, None, 5)
