"""What is lost, overtaken or told twice: the leader notices, repeats as little as it can, and tells commits at once."""

from __future__ import annotations

from ocelog.shard.raft.messages import Append, AppendResponse, Heartbeat, HeartbeatResponse
from ocelog.shard.raft.progress import PROBE, REPLICATE

from .raft_cluster import Cluster, appends, commits
from .raft_member import Member


def test_a_lost_append_is_noticed_by_the_next_heartbeat():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.turn(0)
    cluster.run()
    cluster.cut_off()
    leader.core.heartbeat_due = True
    cluster.turn(0)
    cluster.run()
    assert commits(cluster) == [2, 2, 2]


def test_a_lost_acknowledgement_is_asked_for_again():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    cluster.cut = lambda message: isinstance(message, AppendResponse)
    cluster.turn(0)
    cluster.run()
    cluster.cut_off()
    cluster.tick([0], ticks=2 * leader.core.config.heartbeat_ticks)
    assert commits(cluster) == [2, 2, 2]


def test_a_repeated_question_carries_no_entries():
    """Whoever is slow must not get the same megabyte again with every heartbeat."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(2)
    leader.core.peer_gone(2)
    leader.propose(*"abc")
    cluster.turn(0)
    cluster.run()
    assert leader.core.progress[2].state is PROBE
    for tick in range(4):
        leader.core.ticks += leader.core.config.heartbeat_ticks
        leader.receive(HeartbeatResponse(term=leader.core.term, sender=2, to=0, round=tick))
        sent = appends(leader.turn(), to=2)
        assert [message.last_index - message.prev_index for message in sent] == [0]


def test_a_restarted_follower_is_noticed():
    """It may have lost what it had taken but not yet synced; nothing acknowledged can be gone."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x", "y")
    for message in appends(leader.turn()):
        cluster[1].receive(message)
    cluster[1].disk.written = []
    cluster[1].start()
    cluster.tick([0], ticks=2 * leader.core.config.heartbeat_ticks)
    assert cluster[1].log.entries == leader.log.entries


def test_a_rejection_that_an_acknowledgement_overtook_is_stale():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.receive(AppendResponse(term=leader.core.term, sender=1, to=0, success=False, rejected_index=1))
    progress = leader.core.progress[1]
    assert (progress.state, progress.match_index, progress.next_index) == (REPLICATE, 1, 2)


def test_a_term_that_only_the_log_remembers_counts():
    """One sync makes term and entries durable; a crash in between may keep only the entries."""
    member = Member(0, [0, 1, 2], terms=[1, 4], term=2, voted_for=0)
    assert (member.core.term, member.core.voted_for) == (4, None)
    member.turn()
    assert member.disk.written_hard_state == (4, None)


# -- commit notices --------------------------------------------------------------------------------


def test_a_new_commit_index_is_told_at_once():
    """Without it, followers would apply a heartbeat interval later."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert commits(cluster) == [2, 2, 2]


def test_an_append_of_the_same_turn_carries_the_commit_index():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    leader.settle()
    leader.receive(AppendResponse(term=leader.core.term, sender=1, to=0, success=True, match_index=2))
    leader.propose("y")
    sent = leader.turn()
    assert [(type(message), message.commit_index) for message in sent] == [(Append, 2), (Append, 2)]


def test_a_commit_notice_wants_no_answer():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    beat = Heartbeat(term=leader.core.term, sender=0, to=1, commit_index=1, round=0, sent_through=1)
    assert cluster.deliver(beat) == []
    beat.sent_through = 5
    [answer] = cluster.deliver(beat)
    assert answer.lost


def test_a_commit_notice_that_overtakes_its_entries_is_remembered():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose("x")
    [message] = appends(leader.turn())
    beat = Heartbeat(term=leader.core.term, sender=0, to=1, commit_index=2, round=0, sent_through=1)
    follower = cluster[1]
    follower.receive(beat)
    assert follower.core.commit_index == 1
    follower.receive(message)
    assert follower.core.commit_index == 2


def test_several_heartbeats_in_a_turn_get_one_answer():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    for round in (7, 9, 8):
        cluster[1].receive(
            Heartbeat(term=leader.core.term, sender=0, to=1, commit_index=1, round=round, sent_through=1)
        )
    [answer] = cluster[1].turn()
    assert (answer.round, answer.lost) == (9, False)
