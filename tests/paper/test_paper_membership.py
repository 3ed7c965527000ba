"""Chapter 4 of Ongaro's thesis (2014), single-server membership changes, and his correction of 2015: a test per claim.

What a leader refuses and who is counted is in tests/unit_shard/raft/test_raft_changes.py.
"""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.raft import FOLLOWER, LEADER
from ocelog.shard.raft.membership import ACTIVE, Change, ChangeKind, Configuration, Member, MemberRole, Refused
from ocelog.shard.raft.messages import Append
from ocelog.shard.raft.progress import Progress
from ocelog.shard.raft.quorum import majority

from tests.unit_shard.raft.raft_cluster import Cluster
from tests.unit_shard.raft.raft_stories import return_of_the_first_leader, two_changes_in_two_terms

ROLES = st.sampled_from(MemberRole)
CONFIGURATIONS = (
    st.lists(ROLES, min_size=1, max_size=6)
    .filter(lambda roles: ACTIVE in roles)
    .map(lambda roles: Configuration(Member(member, 1, role) for member, role in enumerate(roles)))
)
CHANGES = st.builds(Change, st.sampled_from(ChangeKind), st.integers(0, 6), st.integers(1, 2))


def majorities(configuration: Configuration) -> list[set[tuple[int, int]]]:
    """Every smallest majority of the voters, each as (member, incarnation)."""
    voters = [(voter, configuration.incarnations[voter]) for voter in configuration.voters]
    return [set(chosen) for chosen in combinations(voters, majority(len(voters)))]


@given(CONFIGURATIONS, CHANGES)
def test_any_majority_of_the_old_configuration_overlaps_with_any_of_the_new(before, change):
    """4.1: when adding or removing a single server, so it is impossible that both decide by themselves."""
    try:
        after = before.changed(change)
    except Refused:
        return
    for old in majorities(before):
        for new in majorities(after):
            assert old & new, f"{old} and {new} do not meet"


@pytest.mark.parametrize("kind", [ChangeKind.REMOVE, ChangeKind.DEMOTE])
def test_a_configuration_is_used_from_the_moment_it_is_in_the_log(kind):
    """4.1: each server adopts Cnew as soon as that entry is added to its log; it is committed by a majority of Cnew."""
    cluster = Cluster(4)
    leader = cluster.elect(0)
    cluster.cut_off(1, 2, 3)
    cluster.change(0, kind, 3)
    cluster.run()
    assert leader.core.commit_index == 1
    cluster.cut_off(2, 3)
    cluster.tick([0], ticks=4)
    assert leader.core.commit_index == 2, "two of three; of the four before it would be too few"


def test_a_change_may_be_lost_with_its_leader():
    """4.1: a server adopts the configuration in its log even if it may be removed again when leadership changes."""
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.cut_off(0)
    cluster.change(0, ChangeKind.REMOVE, 2)
    for member in (1, 2):
        cluster[member].core.peer_died(0)
    cluster.time_out(2)
    cluster.run()
    assert cluster[2].core.role is LEADER, "the member that 0 has removed, as nobody else has heard of it"
    cluster.cut_off()
    cluster.tick([2], ticks=6)
    assert [member.core.configuration.voters for member in cluster.members] == [(0, 1, 2)] * 3


def test_the_bug_of_2015_two_changes_in_two_terms_do_not_meet():
    """Ongaro, raft-dev, 10 July 2015: a leader must have committed an entry of its term before it changes anything."""
    cluster = two_changes_in_two_terms()
    core = cluster[1].core
    with pytest.raises(Refused) as refused:
        core.propose(Change(ChangeKind.REMOVE, 0), core.configuration.index)
    assert refused.value.reason == "new_leader"
    cluster.cut_off(0, 4)
    cluster.tick([1], ticks=4)
    cluster.change(1, ChangeKind.REMOVE, 0)
    cluster.run()
    assert cluster[1].core.commit_index == 4
    return_of_the_first_leader(cluster)
    assert cluster[0].core.role is not LEADER, "member 3 holds the no-op that had to come first"


def test_a_new_server_is_caught_up_in_rounds_before_it_votes():
    """4.2.1: each round replicates what the log held when the round began; the last one must be short."""
    progress = Progress(next_index=1001, tick=0)
    for tick in range(1, 50):
        progress.chase(1000 + 10 * tick, tick, patience=20)
        assert not progress.caught_up
    progress.match_index = 1000
    progress.chase(1500, 50, patience=20)
    assert not progress.caught_up, "the first round took fifty ticks"
    progress.match_index = 1500
    progress.chase(1600, 60, patience=20)
    assert progress.caught_up, "the second one ten"
    for tick in range(61, 82):
        progress.chase(2000, tick, patience=20)
    assert not progress.caught_up, "the third one has taken too long already"


def test_a_removed_leader_manages_the_cluster_that_it_is_not_part_of():
    """4.2.2: it replicates entries but does not count itself in majorities."""
    cluster = Cluster(4)
    leader = cluster.elect(0)
    cluster.cut = lambda message: isinstance(message, Append) and message.to in (2, 3)
    cluster.change(0, ChangeKind.REMOVE, 0)
    index = leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert leader.core.progress[1].match_index == index
    assert (leader.core.role, leader.core.commit_index) == (LEADER, 1), "it and one of three"
    cluster.cut = lambda message: isinstance(message, Append) and message.to == 3
    cluster.tick([0], ticks=4)
    assert leader.core.commit_index == index


def test_a_removed_leader_steps_down_when_its_removal_is_committed():
    """4.2.2: ... once the Cnew entry is committed."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.change(0, ChangeKind.REMOVE, 0)
    cluster.run()
    assert (leader.core.role, leader.core.commit_index) == (FOLLOWER, 2)


def test_a_removed_server_without_prevote_could_disturb_but_stickiness_stops_it():
    """4.2.3: a server that hears a leader within the minimum election timeout does not update its term nor grant a vote."""
    cluster = Cluster(4)
    leader = cluster.elect(0)
    cluster.cut = lambda message: message.to == 3 and isinstance(message, Append)
    cluster.change(0, ChangeKind.REMOVE, 3)
    cluster.run()
    removed = cluster[3].core
    removed.enter_term(9, 3)
    removed.become(FOLLOWER, None, "it has bumped its term by itself")
    term = leader.core.term
    cluster.cut_off()
    cluster.tick(ticks=5 * removed.config.election_ticks)
    assert (cluster.leaders, leader.core.term) == ([0], term)


def test_availability_while_a_server_is_replaced():
    """4.2.1 and 4.4: the new one is added and caught up first, so the cluster survives a failure at every point."""
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.begin(3)
    cluster.change(0, ChangeKind.ADD, 3, 1)
    cluster.run()
    cluster.tick([0], ticks=6)
    cluster.change(0, ChangeKind.PROMOTE, 3)
    cluster.run()
    cluster.cut_off(2)
    cluster.change(0, ChangeKind.REMOVE, 2)
    cluster.run()
    index = cluster[0].propose("x")
    cluster.turn(0)
    cluster.run()
    assert cluster[0].core.commit_index == index
    assert cluster[0].core.configuration.voters == (0, 1, 3)
