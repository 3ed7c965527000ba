"""Members that lost their files: who is believed, how one comes back, and when it may vote again."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import FOLLOWER, LEADER
from ocelog.shard.raft.membership import ACTIVE, PASSIVE, RETURNING, Change, ChangeKind, Refused
from ocelog.shard.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    Join,
    PreVote,
    PreVoteResponse,
    ProbationAnswer,
    ProbationQuery,
    TimeoutNow,
    Vote,
    VoteResponse,
)

from .raft_cluster import Cluster, appends, commits
from .raft_member import Member


def wiped(*, members: int = 3, last: int = 8, compacted: int = 0) -> Cluster:
    """Member 0 leads; the last member has just begun again as its second incarnation, with nothing."""
    cluster = Cluster(members)
    leader = cluster.elect(0)
    leader.propose(*(f"v{number}" for number in range(2, last + 1)))
    cluster.turn(0)
    cluster.run()
    if compacted:
        leader.compact(compacted)
        leader.settle()
    cluster.begin(members - 1, incarnation=2)
    return cluster


def role(cluster: Cluster, member: int, incarnation: int, by: int = 0):
    return cluster[by].core.configuration.role_of(member, incarnation)


# -- who is believed -------------------------------------------------------------------------------

ANSWERS = [
    PreVoteResponse(term=2, sender=2, to=0, granted=True),
    VoteResponse(term=2, sender=2, to=0, granted=True),
    AppendResponse(term=1, sender=2, to=0, success=True, match_index=9),
    HeartbeatResponse(term=1, sender=2, to=0, round=99),
    InstallResponse(term=1, sender=2, to=0, snapshot_index=9, from_index=0, position=1),
]
REQUESTS = [
    PreVote(term=9, sender=2, to=0, last_index=99, last_term=8),
    Vote(term=9, sender=2, to=0, last_index=99, last_term=8),
    Append(term=9, sender=2, to=0, prev_index=0, prev_term=0, last_index=0, commit_index=0, runs=()),
    Heartbeat(term=9, sender=2, to=0, commit_index=0, round=1, sent_through=0),
    Install(
        term=9,
        sender=2,
        to=0,
        snapshot_index=99,
        snapshot_term=8,
        from_index=0,
        position=0,
        snapshot_bytes=1,
        entry_bytes=0,
    ),
    TimeoutNow(term=9, sender=2, to=0),
    Join(term=9, sender=2, to=0),
    ProbationQuery(term=9, sender=2, to=0, nonce=1),
    ProbationAnswer(term=9, sender=2, to=0, nonce=1, index=1),
]


def knowing(incarnation: int) -> Member:
    """Member 0, by whose configuration member 2 is of this incarnation."""
    member = Member(0, [0, 1, 2], terms=[1, 1], term=1)
    configuration = member.core.configuration
    for _ in range(incarnation - 1):
        configuration = configuration.changed(Change(ChangeKind.RENEW, 2, configuration.incarnations[2] + 1))
    member.core.configurations = [configuration]
    member.core.follow_configuration()
    return member


@pytest.mark.parametrize("message", ANSWERS + REQUESTS, ids=lambda message: type(message).__name__)
def test_whatever_an_earlier_incarnation_says_is_ignored(message):
    """It is dead, and what still arrives of it may be minutes old."""
    member = knowing(incarnation=2)
    message.incarnation = 1
    assert member.core.receive(message) is None
    assert (member.settle(), member.core.term, member.core.leader) == ([], 1, None)


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_what_a_later_incarnation_asks_is_heard(message):
    """It may be a member by a configuration that we have yet to get."""
    member = knowing(incarnation=1)
    message.incarnation = 2
    member.core.receive(message)
    assert (member.core.term > 1) is not isinstance(message, PreVote), "which is about a term that nobody is in yet"


def test_what_a_later_incarnation_answers_does_not_count():
    """It did not vote, hold or hear what the earlier one did."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(1, 2)
    index = leader.propose("x")
    leader.core.read("r")
    cluster.turn(0)
    cluster.run()
    heard = leader.core.progress[2].heard_tick
    leader.core.ticks += 5
    for message in (
        AppendResponse(term=1, sender=2, to=0, success=True, match_index=index, incarnation=2),
        HeartbeatResponse(term=1, sender=2, to=0, round=99, incarnation=2),
    ):
        leader.receive(message)
    assert (leader.core.commit_index, leader.reads, leader.core.progress[2].heard_tick) == (index - 1, [], heard)


def test_votes_of_a_later_incarnation_do_not_count():
    cluster = Cluster(3, term=1)
    cluster.cut = lambda message: isinstance(message, Vote)
    cluster.time_out(0)
    cluster.run()
    candidate = cluster[0]
    candidate.receive(VoteResponse(term=candidate.core.term, sender=2, to=0, granted=True, incarnation=2))
    assert candidate.core.role is not LEADER
    candidate.receive(VoteResponse(term=candidate.core.term, sender=2, to=0, granted=True))
    assert candidate.core.role is LEADER


def test_a_term_that_only_a_later_incarnation_knows_is_taken():
    """Else the leader could never make it follow."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.receive(HeartbeatResponse(term=4, sender=2, to=0, incarnation=2))
    assert (leader.core.term, leader.core.role) == (4, FOLLOWER)


# -- coming back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compacted", [0, 6])
def test_a_member_that_lost_its_files_comes_back(compacted):
    """It asks to join, is renewed, catches up, is told what it must have reached, and votes again."""
    cluster = wiped(compacted=compacted)
    assert cluster[2].core.probation
    cluster.tick(ticks=12)
    assert role(cluster, 2, 2) is ACTIVE
    assert [member.core.configuration.voters for member in cluster.members] == [(0, 1, 2)] * 3
    assert not cluster[2].core.probation
    assert not cluster[2].probation, "and that was told, to be remembered"
    assert len({*commits(cluster)}) == 1
    cluster.cut_off(1)
    index = cluster[0].propose("x")
    cluster.turn(0)
    cluster.run()
    assert cluster[0].core.commit_index == index, "it counts"


def test_it_votes_no_more_from_the_moment_that_it_is_renewed():
    cluster = wiped()
    cluster.cut = lambda message: message.to == 2 and isinstance(message, Append)
    cluster.tick(ticks=4)
    assert role(cluster, 2, 2) is RETURNING
    assert cluster[0].core.configuration.voters == (0, 1)


def test_a_member_that_returns_is_known_as_such_to_the_next_leader():
    """Not to vote for now is in the configuration, and so is that it shall vote again."""
    cluster = wiped()
    cluster.cut = lambda message: message.to == 2 and isinstance(message, Append)
    cluster.tick(ticks=4)
    cluster[0].core.transfer(1)
    cluster.turn(0)
    cluster.run()
    cluster.cut_off()
    assert cluster.leaders == [1]
    cluster.tick(ticks=10)
    assert role(cluster, 2, 2, by=1) is ACTIVE


def test_a_member_says_that_it_votes_again_when_its_promotion_is_committed():
    """Until then the promotion may be lost with its leader, and none of the other voters can be spared."""
    cluster = wiped()
    cluster.cut = lambda message: (
        message.sender == 2 and isinstance(message, HeartbeatResponse)
    )  # not to be promoted yet
    cluster.tick(ticks=12)
    member = cluster[2].core
    assert (role(cluster, 2, 2), member.membership) == (RETURNING, RETURNING)
    cluster.cut = lambda message: message.sender == 1 or (message.sender == 2 and isinstance(message, AppendResponse))
    cluster.tick(ticks=4)
    assert (role(cluster, 2, 2, by=2), member.membership) == (ACTIVE, RETURNING), (
        "it has the promotion, which may be lost"
    )
    cluster.cut_off()
    cluster.tick(ticks=4)
    assert member.membership is ACTIVE


def test_a_member_that_was_passive_comes_back_as_passive():
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.change(0, ChangeKind.DEMOTE, 2)
    cluster.run()
    cluster.begin(2, incarnation=2)
    cluster.tick(ticks=12)
    assert role(cluster, 2, 2) is PASSIVE
    assert not cluster[2].core.probation


def test_a_stranger_does_not_join_by_asking():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.receive(Join(term=1, sender=7, to=0, incarnation=2))
    assert (leader.core.joins, leader.core.due_change()) == ({}, None)


def test_a_member_of_the_known_incarnation_need_not_join():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.receive(Join(term=1, sender=2, to=0, incarnation=1))
    assert leader.core.joins == {}


def test_a_join_waits_for_what_keeps_every_change_waiting():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.change(0, ChangeKind.DEMOTE, 1)
    leader.receive(Join(term=1, sender=2, to=0, incarnation=2))
    assert leader.core.due_change() is None
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    assert role(cluster, 2, 2) is RETURNING


def test_a_member_whose_renewal_was_lost_with_its_leader_asks_again():
    """It holds the configuration that names it, but the next leader does not, and believes none of its answers."""
    cluster = wiped()
    cluster.tick(ticks=2)
    assert role(cluster, 2, 2) is RETURNING
    cluster.begin(2, incarnation=3)
    cluster.cut = lambda message: message.to == 1 and isinstance(message, Append)
    cluster.tick(ticks=6)
    assert role(cluster, 2, 3) is role(cluster, 2, 3, by=2) is RETURNING
    assert role(cluster, 2, 3, by=1) is None
    cluster[0].core.peer_gone(1)
    cluster.cut_off(0, 2)
    cluster.begin(0, incarnation=1).disk.files = cluster[1].disk.files.copy()
    cluster[0].start()
    cluster.cut_off(2)
    cluster.tick(ticks=60)
    assert cluster.leaders in ([0], [1])
    cluster.cut_off()
    cluster.tick(ticks=40)
    assert [role(cluster, 2, 3, by=member) for member in range(3)] == [ACTIVE] * 3


def test_a_member_that_lost_its_files_twice_comes_back():
    cluster = wiped()
    cluster.tick(ticks=3)
    cluster.begin(2, incarnation=3)
    cluster.tick(ticks=14)
    assert role(cluster, 2, 3) is ACTIVE


def test_a_leader_that_lost_its_files_comes_back():
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.begin(0, incarnation=2)
    cluster.tick(ticks=60)
    [leader] = cluster.leaders
    assert leader != 0
    assert role(cluster, 0, 2, by=leader) is ACTIVE


# -- probation -------------------------------------------------------------------------------------


def in_probation() -> Member:
    return Member(2, [0, 1, 2], incarnation=2)


@pytest.mark.parametrize("message", [PreVote, Vote])
def test_a_member_in_probation_gives_no_vote(message):
    member = in_probation()
    member.receive(message(term=1, sender=0, to=2, last_index=9, last_term=1))
    [answer] = member.settle()
    assert not answer.granted


def test_a_member_in_probation_never_campaigns():
    member = in_probation()
    for _ in range(1000):
        member.core.tick()
    member.receive(Heartbeat(term=1, sender=0, to=2, commit_index=0, round=0, sent_through=0))
    member.receive(TimeoutNow(term=1, sender=0, to=2))
    assert (member.settle(), member.core.role) == ([], FOLLOWER)


def test_a_member_in_probation_asks_with_a_nonce_of_its_process():
    member = in_probation()
    member.receive(Heartbeat(term=1, sender=0, to=2, commit_index=0, round=1, sent_through=0))
    asked = member.settle()
    assert {type(message) for message in asked} == {Join, ProbationQuery, HeartbeatResponse}
    [nonce] = [message.nonce for message in asked if isinstance(message, ProbationQuery)]
    member.receive(ProbationAnswer(term=1, sender=0, to=2, nonce=nonce + 1, index=3))
    assert member.core.probation_goal is None, "the answer to a process before this one"
    member.receive(ProbationAnswer(term=1, sender=0, to=2, nonce=nonce, index=7))
    member.receive(ProbationAnswer(term=1, sender=0, to=2, nonce=nonce, index=3))
    assert member.core.probation_goal == 7
    other = Member(2, [0, 1, 2], incarnation=2, seed=5)
    assert other.core.nonce != nonce


def test_a_member_in_probation_asks_once_per_tick():
    """A question makes the leader begin a round at once, and a round makes a member ask: they must not chase each other."""
    member = in_probation()
    asked = 0
    for _ in range(3):
        for round in range(1, 4):
            member.receive(Heartbeat(term=1, sender=0, to=2, commit_index=0, round=round, sent_through=0))
            asked += sum(isinstance(message, ProbationQuery) for message in member.settle())
        member.core.tick()
    assert asked == 3
    cluster = wiped()
    cluster.cut = lambda message: message.sender == 1
    cluster[0].core.tick()
    cluster[0].core.tick()
    cluster.turn(0)
    cluster.run()
    assert cluster[0].core.reads.round <= 5, "although no majority answers"


def test_the_answer_is_a_commit_index_that_a_majority_confirmed_after_the_question():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.core.heartbeat_due = True
    cluster.turn(0)
    before = list(cluster.wire)
    cluster.wire.clear()
    query = ProbationQuery(term=1, sender=2, to=0, nonce=5, incarnation=2)
    leader.receive(query)
    cluster.turn(0)
    asked = list(cluster.wire)
    cluster.wire.clear()
    for message in before:
        cluster.deliver(message)
    for message in [message for message in cluster.wire if message.to == 0]:
        leader.receive(message)
    assert leader.turn() == [], "a round from before the question says nothing"
    leader.receive(HeartbeatResponse(term=1, sender=1, to=0, round=max(message.round for message in asked)))
    [answer] = leader.turn()
    assert (type(answer), answer.to, answer.nonce, answer.index) == (ProbationAnswer, 2, 5, 1)
    assert leader.reads == [], "it is none of the replica's reads"


def test_reads_and_queries_may_share_a_round():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.core.read("r")
    leader.receive(ProbationQuery(term=1, sender=2, to=0, nonce=5, incarnation=2))
    cluster.turn(0)
    cluster.run()
    assert leader.reads == [("r", 1)]


def test_probation_lasts_until_the_log_has_durably_got_there():
    cluster = wiped()
    cluster.cut = lambda message: message.to == 2 and isinstance(message, Append) and message.last_index > 4
    cluster.tick(ticks=4)
    assert cluster[2].core.probation_goal is not None
    cluster.tick(ticks=4)
    assert cluster[2].core.probation
    cluster.cut_off()
    cluster.tick(ticks=8)
    assert not cluster[2].core.probation


def test_probation_lasts_until_the_configuration_names_the_incarnation():
    cluster = wiped()
    cluster.cut = lambda message: isinstance(message, Join)
    cluster.tick(ticks=20)
    member = cluster[2].core
    goal = member.probation_goal
    assert goal is not None
    # The leader's Appends to the earlier incarnation are as good; its answers just are not believed.
    for message in appends(cluster.wire, to=2):
        cluster.deliver(message)
    first = Append(
        term=1, sender=0, to=2, prev_index=0, prev_term=0, last_index=8, commit_index=8, runs=((1, 1),),
        entries=list(cluster[0].log.entries),
    )  # fmt: skip
    cluster.deliver(first)
    assert (member.commit_index, member.persisted_index, member.probation) == (8, 8, True)
    assert goal <= 8


def test_a_member_that_must_not_vote_is_not_promoted():
    """A group of voters in probation could never elect a leader to end it."""
    cluster = wiped()
    cluster.cut = lambda message: isinstance(message, ProbationQuery)
    cluster.tick(ticks=20)
    assert role(cluster, 2, 2) is RETURNING
    core = cluster[0].core
    with pytest.raises(Refused) as refused:
        core.propose(Change(ChangeKind.PROMOTE, 2), core.configuration.index)
    assert refused.value.reason == "probation"
    cluster.cut_off()
    cluster.tick(ticks=6)
    assert role(cluster, 2, 2) is ACTIVE


def test_probation_that_is_over_stays_over():
    cluster = wiped()
    cluster.tick(ticks=12)
    member = cluster[2]
    member.crash(member.rng)
    assert not member.core.probation
