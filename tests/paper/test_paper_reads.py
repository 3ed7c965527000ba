"""Reads without a log entry: section 8 of the Raft paper, 6.4 of the thesis."""

from __future__ import annotations

from ocelog.shard.raft import LEADER
from ocelog.shard.raft.messages import Append, Heartbeat, HeartbeatResponse

from tests.unit_shard.raft.raft_cluster import Cluster


def answer(cluster: Cluster, sender: int, round: int) -> None:
    """A follower's answer to a round, out of the blue."""
    leader = cluster[0]
    leader.receive(HeartbeatResponse(term=leader.core.term, sender=sender, to=0, round=round))
    leader.turn()


def rounds_sent(cluster: Cluster) -> list[int]:
    """The rounds that the leader's turn starts, once each."""
    return sorted({message.round for message in cluster[0].turn() if isinstance(message, Heartbeat)} - {0})


def test_a_read_waits_for_a_majority():
    """Section 8: a leader exchanges heartbeats with a majority before it responds to read-only requests."""
    cluster = Cluster(5)
    leader = cluster.elect(0)
    assert leader.core.read("r")
    [round] = rounds_sent(cluster)
    answer(cluster, 1, round)
    assert leader.reads == [], "two of five"
    answer(cluster, 1, round)
    assert leader.reads == [], "the same one again"
    answer(cluster, 2, round)
    assert leader.reads == [("r", leader.core.commit_index)]


def test_a_round_from_before_the_read_does_not_confirm_it():
    """Thesis 6.4: the round must have started after the read arrived."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.core.read("first")
    [first] = rounds_sent(cluster)
    leader.core.read("second")
    answer(cluster, 1, first)
    assert leader.reads == [("first", 1)]
    second = leader.core.reads.round
    assert second > first
    answer(cluster, 2, first)
    assert leader.reads == [("first", 1)]
    answer(cluster, 2, second)
    assert leader.reads == [("first", 1), ("second", 1)]


def test_a_later_round_confirms_the_reads_of_an_earlier_one():
    """Thesis 6.4: whoever still follows now, followed then."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.core.read("lost")
    rounds_sent(cluster)
    leader.core.heartbeat_due = True
    [later] = rounds_sent(cluster)
    answer(cluster, 1, later)
    assert leader.reads == [("lost", 1)]


def test_one_round_serves_all_reads_of_a_turn():
    """Thesis 6.4: a leader can use one round for any number of reads that have accumulated."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    for number in range(100):
        leader.core.read(number)
    messages = cluster.turn(0)
    assert [type(message) for message in messages] == [Heartbeat, Heartbeat]
    cluster.run()
    assert leader.reads == [(number, 1) for number in range(100)]


def test_a_new_leader_serves_no_read_before_it_has_committed():
    """Section 8: it must first know what is committed, by committing a no-op of its own term."""
    cluster = Cluster(3, logs={member: [1, 1, 1] for member in range(3)})
    cluster.cut = lambda message: isinstance(message, Append)
    leader = cluster.elect(0)
    leader.core.read("r")
    cluster.turn(0)
    cluster.tick([0], ticks=10)
    assert (leader.core.commit_index, leader.reads) == (0, [])
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    assert leader.reads == [("r", 4)]


def test_a_read_is_served_at_the_commit_index_of_its_round():
    """Thesis 6.4: readIndex is the commit index when the round starts, not when it ends."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.core.read("r")
    cluster.turn(0)
    leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert (leader.reads, leader.core.commit_index) == ([("r", 1)], 2)


def test_a_deposed_leader_serves_no_read():
    """Section 8: a leader must check whether it has been deposed; a newer leader may have committed more."""
    cluster = Cluster(3)
    old = cluster.elect(0)
    cluster.cut_off(0)
    for member in (1, 2):
        cluster[member].core.peer_died(0)
        cluster.turn(member)
    cluster.time_out(1)
    cluster.run()
    cluster[1].propose("x")
    cluster.turn(1)
    cluster.run()
    assert (cluster.leaders, cluster[1].core.commit_index, old.core.commit_index) == ([0, 1], 3, 1)
    assert old.core.read("stale"), "it does not know yet"
    cluster.turn(0)
    cluster.run()
    assert old.reads == []
    cluster.cut_off()
    cluster.tick([0], ticks=3)
    assert old.core.role is not LEADER
    assert old.reads == []
    assert not old.core.read("again")


def test_a_single_member_needs_nobody():
    """Section 8: a majority of one is itself."""
    cluster = Cluster(1)
    leader = cluster.elect(0)
    index = leader.propose("x")
    leader.core.read("r")
    leader.settle()
    assert leader.core.commit_index == index
    assert [read_id for read_id, _ in leader.reads] == ["r"]
