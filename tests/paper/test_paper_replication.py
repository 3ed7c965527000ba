"""Sections 5.3 to 5.5 of the Raft paper: log repair (figure 7), commitment across terms (figure 8), faults of followers."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import LEADER
from ocelog.shard.raft.messages import Append, AppendResponse, VoteResponse

from tests.unit_shard.raft.raft_cluster import Cluster

FIGURE_7_LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
FIGURE_7_FOLLOWERS = {
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


def elected_by(cluster: Cluster, term: int, *voters: int) -> None:
    """Make member 0 the leader of `term`, whatever the others' logs would say."""
    member = cluster[0]
    member.core.term = term - 1
    cluster.time_out(0)
    while member.core.role is not LEADER and cluster.wire:
        cluster.deliver(cluster.wire.pop(0))
        for voter in voters:
            if member.core.term == term:
                member.receive(VoteResponse(term=term, sender=voter, to=0, granted=True))
        cluster.turn(0)
    assert (member.core.role, member.core.term) == (LEADER, term)


def rejections_by_1(cluster: Cluster) -> int:
    """Deliver everything; how often member 1 refused entries."""
    count = 0
    while cluster.wire:
        message = cluster.wire.pop(0)
        count += isinstance(message, AppendResponse) and message.sender == 1 and not message.success
        cluster.deliver(message)
    return count


@pytest.mark.parametrize("name", FIGURE_7_FOLLOWERS)
def test_figure_7_the_leader_repairs_every_log(name):
    """5.3, figure 7: followers may miss entries, have extra ones, or both; they end with the leader's log."""
    cluster = Cluster(3, logs={0: FIGURE_7_LEADER, 1: FIGURE_7_FOLLOWERS[name], 2: FIGURE_7_LEADER}, term=7)
    for entry, stored in zip(cluster[0].log.entries, cluster[1].log.entries, strict=False):
        assert entry[0] != stored[0] or entry == stored, "the figure's logs match where their terms do"
    elected_by(cluster, 8, 1, 2)
    cluster.run()
    cluster.tick([0], ticks=2)
    assert cluster[1].log.entries == cluster[0].log.entries
    assert cluster[1].log.terms == [*FIGURE_7_LEADER, 8]
    assert cluster[1].core.commit_index == 11


@pytest.mark.parametrize(("name", "rejections"), [("a", 1), ("b", 1), ("c", 0), ("d", 0), ("e", 1), ("f", 1)])
def test_figure_7_repair_skips_whole_terms(name, rejections):
    """5.3: with the conflicting term in the answer, one rejection is enough per conflicting term, not one per entry."""
    cluster = Cluster(3, logs={0: FIGURE_7_LEADER, 1: FIGURE_7_FOLLOWERS[name], 2: FIGURE_7_LEADER}, term=7)
    elected_by(cluster, 8, 1, 2)
    assert rejections_by_1(cluster) == rejections


def test_long_conflicting_histories_are_repaired_in_a_few_exchanges():
    """5.3: both sides skip back by terms; hundreds of conflicting entries cost a handful of messages."""
    common = [1] * 10
    leader = common + [2] * 100 + [5] * 100
    follower = common + [3] * 100 + [4] * 100
    cluster = Cluster(3, logs={0: leader, 1: follower, 2: leader}, term=5)
    elected_by(cluster, 6, 1, 2)
    rejections = rejections_by_1(cluster)
    assert cluster[1].log.terms == [*leader, 6]
    assert rejections <= 3


def test_figure_8_an_entry_of_an_earlier_term_is_not_committed_by_counting():
    """5.4.2, figure 8: S1 leads term 4 and replicates its entry of term 2 to a majority: that does not commit it."""
    logs = {0: [1, 2], 1: [1, 2], 2: [1], 3: [1], 4: [1, 3]}
    cluster = Cluster(5, logs=logs, term=3)
    # S3 takes the old entry, but the noop of term 4 reaches nobody.
    cluster.cut = lambda message: message.to in (3, 4) or (isinstance(message, Append) and message.last_index > 2)
    elected_by(cluster, 4, 1, 2)
    cluster.run()
    leader = cluster[0].core
    for sender in (1, 2):
        cluster[0].receive(AppendResponse(term=4, sender=sender, to=0, success=True, match_index=2))
    assert [leader.progress[peer].match_index for peer in (1, 2)] == [2, 2], "entry 2 is on three of five"
    assert leader.commit_index == 0


def test_figure_8_d_such_an_entry_can_still_be_lost():
    """5.4.2, figure 8 (d): S5 is elected with a later last term and overwrites it, although a majority had it."""
    logs = {0: [1, 2], 1: [1, 2], 2: [1, 2], 3: [1], 4: [1, 3]}
    cluster = Cluster(5, logs=logs, term=4)
    cluster.elect(4)
    cluster.tick([4], ticks=3)
    assert [member.log.terms for member in cluster.members] == [[1, 3, 5]] * 5


def test_figure_8_e_an_entry_of_the_own_term_commits_all_before_it():
    """5.4.2, figure 8 (e): once an entry of term 4 is on a majority, everything before it is committed as well."""
    cluster = Cluster(5, logs={0: [1, 2], 1: [1, 2], 2: [1, 2], 3: [1], 4: [1, 3]}, term=3)
    cluster.cut_off(3, 4)
    elected_by(cluster, 4, 1, 2)
    cluster.run()
    assert (cluster[0].log.terms, cluster[0].core.commit_index) == ([1, 2, 4], 3)
    cluster.cut_off(0)
    cluster.time_out(4)
    cluster.run()
    assert cluster[4].core.role is not LEADER, "S5 cannot win an election any more"


def test_a_committed_entry_is_in_every_later_leaders_log():
    """5.4.3, leader completeness: whoever can be elected has it."""
    cluster = Cluster(3, logs={0: [1], 1: [1], 2: [1]})
    leader = cluster.elect(0)
    cluster.cut_off(2)
    index = leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert leader.core.commit_index == index
    cluster.cut_off(0)
    cluster.time_out(2)
    cluster.run()
    assert cluster[2].core.role is not LEADER
    for _ in range(100):
        if cluster.leaders[1:] == [1]:
            break
        cluster.tick([1, 2])
    assert cluster[1].log.entries[index - 1] == (leader.core.term, "x")


def test_a_follower_that_was_down_is_caught_up():
    """5.5: if a follower crashes, its requests fail; the leader repeats them until they succeed."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(2)
    for number in range(50):
        leader.propose(f"v{number}")
        cluster.turn(0)
        cluster.run()
    cluster[2].crash(cluster[2].rng)
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    assert cluster[2].log.entries == leader.log.entries
    assert cluster[2].core.commit_index == leader.core.commit_index


def test_repeated_requests_do_no_harm():
    """5.5: Raft RPCs are idempotent."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("a", "b")
    cluster.turn(0)
    under_way = list(cluster.wire)
    cluster.run()
    for message in under_way * 2:
        cluster.deliver(message)
    cluster.run()
    assert [member.log.entries for member in cluster.members] == [leader.log.entries] * 3
    assert [member.core.commit_index for member in cluster.members] == [3] * 3
