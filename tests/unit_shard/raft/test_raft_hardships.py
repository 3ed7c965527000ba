"""What broke other implementations of Raft, each tried here: pre-votes that block each other, stuck disks, old rounds."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import FOLLOWER, LEADER, PRE_CANDIDATE
from ocelog.shard.raft.membership import ChangeKind
from ocelog.shard.raft.messages import AppendResponse, Heartbeat, HeartbeatResponse, VoteResponse

from .raft_cluster import Cluster, commits
from .raft_member import Member

# -- pre-vote --------------------------------------------------------------------------------------


def elected_in_the_end(cluster: Cluster, members: list[int]) -> Member:
    """Let these members talk until one leads."""
    for _ in range(200):
        cluster.tick(members)
        leaders = [member for member in members if cluster[member].core.role is LEADER]
        if leaders:
            return cluster[leaders[0]]
    raise AssertionError(f"nobody leads: {[cluster[member].core.role.name for member in members]}")


@pytest.mark.parametrize(
    ("logs", "terms", "leader"),
    [
        # etcd-io/etcd#8501: whose log is longer is in a lower term than the voter whom it needs.
        ({0: [1, 1, 1], 1: [1, 1], 2: [1]}, {0: 2, 1: 5, 2: 1}, 0),
        # The one in the highest term can never win, but the others have to get past its term.
        ({0: [1, 2], 1: [1, 2], 2: [1]}, {0: 2, 1: 2, 2: 9}, None),
        ({0: [1, 2, 2], 1: [1, 2], 2: [1]}, {0: 2, 1: 3, 2: 4}, 0),
    ],
)
def test_pre_votes_of_members_in_different_terms_do_not_block_each_other(logs, terms, leader):
    """A denial brings the later term, so that the next try asks about a term that is new to everybody."""
    cluster = Cluster(3, logs=logs)
    for member, term in terms.items():
        cluster[member].disk.hard_state = (term, None)
        cluster[member].start()
    cluster.cut_off(2)
    winner = elected_in_the_end(cluster, [0, 1])
    assert leader in (None, winner.member)
    assert winner.core.term > max(terms[0], terms[1])
    cluster.cut_off()
    cluster.tick(ticks=60)
    assert len({member.core.term for member in cluster.members}) == 1
    assert len({*commits(cluster)}) == 1


def test_a_member_cut_off_for_long_neither_raises_its_term_nor_stays_apart():
    """etcd-io/etcd#8243: it comes back with old entries and the old term, and is simply a follower again."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(2)
    for number in range(5):
        leader.propose(f"v{number}")
        cluster.turn(0)
        cluster.run()
        cluster.tick(ticks=40)
    assert (cluster[2].core.role, cluster[2].core.term) == (PRE_CANDIDATE, leader.core.term)
    cluster.cut_off()
    cluster.tick(ticks=6)
    assert cluster.leaders == [0]
    assert commits(cluster) == [6, 6, 6]


# -- check-quorum ----------------------------------------------------------------------------------


def test_a_leader_counts_the_answers_of_voters_alone():
    """A leader that only reaches members without a vote leads nobody."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.begin(3)
    cluster.change(0, ChangeKind.ADD, 3, 1)
    cluster.run()
    cluster.cut_off(1, 2)
    cluster.tick([0, 3], ticks=leader.core.config.election_ticks)
    assert leader.core.role is FOLLOWER


def test_a_leader_whose_disk_never_finishes_steps_down_by_its_own_ticks():
    """etcd-io/etcd#13527: the disk has no part in it."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(1, 2)
    leader.propose("x")
    leader.turn()
    leader.begin_sync()
    for _ in range(leader.core.config.election_ticks):
        leader.core.tick()
        leader.turn()
    assert leader.core.role is FOLLOWER
    assert leader.job is not None, "it still hangs"


# -- reads -----------------------------------------------------------------------------------------


def test_an_answer_to_a_round_of_an_earlier_term_confirms_nothing():
    """etcd-io/raft#397: rounds are numbered anew in each term, and an answer names its term."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    for _ in range(5):
        leader.core.heartbeat_due = True
        cluster.turn(0)
        cluster.run()
    old = HeartbeatResponse(term=leader.core.term, sender=1, to=0, round=leader.core.reads.round)
    leader.receive(Heartbeat(term=2, sender=1, to=0, commit_index=1, round=1, sent_through=1))
    leader.core.peer_gone(1)
    cluster.elect(0)
    leader.core.read("r")
    cluster.cut_off(1, 2)
    cluster.turn(0)
    cluster.run()
    leader.receive(old)
    assert leader.reads == []


def test_a_member_that_is_promoted_while_a_read_waits_answers_for_what_it_heard():
    """The round that a read needs began before the promotion; whoever has not answered that one or a later one does not count."""
    cluster = Cluster(2)
    leader = cluster.elect(0)
    cluster.begin(2)
    cluster.change(0, ChangeKind.ADD, 2, 1)
    cluster.run()
    cluster.tick([0], ticks=6)
    cluster.cut = lambda message: isinstance(message, HeartbeatResponse)
    leader.core.read("r")
    cluster.turn(0)
    cluster.run()
    cluster.change(0, ChangeKind.PROMOTE, 2)
    cluster.run()
    assert leader.reads == []
    cluster.cut_off(1)
    cluster.tick([0], ticks=2)
    assert [read_id for read_id, _ in leader.reads] == ["r"]


# -- late and repeated -----------------------------------------------------------------------------


def test_everything_that_was_ever_said_may_be_said_again():
    """Minutes late, in any order, from before a restart: no term, vote, commit index or entry changes by it."""
    cluster = Cluster(3)
    said = []
    deliver = cluster.deliver

    def hear(message):
        said.append(message)
        return deliver(message)

    cluster.deliver = hear
    leader = cluster.elect(0)
    leader.propose("a", "b")
    cluster.turn(0)
    cluster.run()
    cluster.begin(2, incarnation=2)
    cluster.tick(ticks=12)
    cluster[0].core.transfer(1)
    cluster.turn(0)
    cluster.run()
    cluster.tick(ticks=4)
    assert cluster.leaders == [1]
    cluster.deliver = deliver
    before = [(member.core.term, member.core.voted_for, list(member.log.entries)) for member in cluster.members]
    committed = commits(cluster)
    for message in [*said, *reversed(said)]:
        cluster.deliver(message)
        cluster.run()
    assert cluster.leaders == [1]
    assert [(member.core.term, member.core.voted_for, member.log.entries) for member in cluster.members] == before
    assert commits(cluster) == committed


def test_a_grant_to_the_candidate_of_an_earlier_term_elects_nobody():
    cluster = Cluster(5, term=1)
    cluster.cut = lambda message: isinstance(message, VoteResponse)
    cluster.time_out(0)
    cluster.run()
    cluster.time_out(0)
    cluster.run()
    candidate = cluster[0].core
    for voter in (1, 2):
        cluster[0].receive(VoteResponse(term=candidate.term - 1, sender=voter, to=0, granted=True))
    assert candidate.role is not LEADER


def test_what_a_leader_knows_of_a_member_dies_with_its_leadership():
    """A match index is about one term's log: the next leadership begins by probing."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.receive(AppendResponse(term=5, sender=1, to=0, success=False))
    assert leader.core.progress == {}
    cluster.elect(0)
    matched = leader.core.progress[1].match_index
    leader.receive(AppendResponse(term=1, sender=1, to=0, success=True, match_index=99))
    assert leader.core.progress[1].match_index == matched
