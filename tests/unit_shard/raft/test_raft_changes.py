"""Changes of the configuration: which are made, which are refused and why, and what they mean to leader and follower."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.raft import FOLLOWER, LEADER
from ocelog.shard.raft.membership import (
    ACTIVE,
    MEMBERS_MAX,
    PASSIVE,
    RETURNING,
    BadConfiguration,
    Change,
    ChangeKind,
    Configuration,
    Member,
    MemberRole,
    Refused,
)
from ocelog.shard.raft.messages import Append, AppendResponse, Heartbeat, HeartbeatResponse, TimeoutNow

from .raft_cluster import Cluster, appends, commits

ADD, PROMOTE, DEMOTE, REMOVE, RENEW = ChangeKind
TRIO = Configuration.bootstrap(range(3))


def refusal(cluster: Cluster, kind: ChangeKind, member: int, incarnation: int = 0, leader: int = 0) -> str:
    """The reason for which a change is refused."""
    core = cluster[leader].core
    with pytest.raises(Refused) as refused:
        core.propose(Change(kind, member, incarnation), core.configuration.index)
    return refused.value.reason


def joined(members: int = 3) -> Cluster:
    """A group whose leader is 0, and a member more that has just been added and has caught up."""
    cluster = Cluster(members)
    cluster.elect(0)
    cluster.begin(members)
    cluster.change(0, ADD, members, 1)
    cluster.run()
    cluster.tick([0], ticks=6)
    return cluster


# -- configurations --------------------------------------------------------------------------------

MEMBERS = st.lists(
    st.builds(Member, st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1), st.sampled_from(MemberRole)),
    max_size=8,
    unique_by=lambda member: member.member,
).filter(lambda members: any(member.role is ACTIVE for member in members))


@given(MEMBERS, st.integers(0, 2**64 - 1))
def test_what_a_configuration_encodes_it_decodes(members, index):
    configuration = Configuration(members, index)
    decoded = Configuration.decode(configuration.encode())
    assert (decoded.index, decoded.members) == (index, configuration.members)
    assert Configuration.decode(configuration.encode(), 7).index == 7, "an entry's index is its own"
    assert configuration.members == tuple(sorted(members))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_no_configuration(data):
    try:
        configuration = Configuration.decode(data)
    except BadConfiguration:
        return
    assert configuration.voters


@pytest.mark.parametrize(
    "fields",
    [
        [0, []],
        [0, [[0, 1, 0]]],
        [0, [[0, 1, 1], [0, 2, 1]]],
        [0, [[1, 1, 1], [0, 1, 1]]],
        [0, [[0, 0, 1]]],
        [0, [[-1, 1, 1]]],
        [0, [[2**32, 1, 1]]],
        [0, [[0, 1, 3]]],
        [0, [[0, True, 1]]],
        [0, [[0, 1]]],
        [0, [[0, 1, 1, 1]]],
        [-1, [[0, 1, 1]]],
        ["0", [[0, 1, 1]]],
        [[[0, 1, 1]]],
        [0, [[member, 1, 1] for member in range(MEMBERS_MAX + 1)]],
        0,
    ],
)
def test_what_no_configuration_can_be_is_refused(fields):
    import msgpack

    with pytest.raises(BadConfiguration):
        Configuration.decode(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("change", "members"),
    [
        (Change(ADD, 7, 4), [(0, 1, ACTIVE), (1, 1, ACTIVE), (2, 3, PASSIVE), (7, 4, PASSIVE)]),
        (Change(PROMOTE, 2), [(0, 1, ACTIVE), (1, 1, ACTIVE), (2, 3, ACTIVE)]),
        (Change(DEMOTE, 1), [(0, 1, ACTIVE), (1, 1, PASSIVE), (2, 3, PASSIVE)]),
        (Change(REMOVE, 1), [(0, 1, ACTIVE), (2, 3, PASSIVE)]),
        (Change(REMOVE, 2), [(0, 1, ACTIVE), (1, 1, ACTIVE)]),
        (Change(RENEW, 1, 2), [(0, 1, ACTIVE), (1, 2, RETURNING), (2, 3, PASSIVE)]),
        (Change(RENEW, 2, 9), [(0, 1, ACTIVE), (1, 1, ACTIVE), (2, 9, PASSIVE)]),
    ],
)
def test_what_a_change_makes_of_a_configuration(change, members):
    before = Configuration([Member(0, 1, ACTIVE), Member(1, 1, ACTIVE), Member(2, 3, PASSIVE)], 5)
    assert [tuple(member) for member in before.changed(change).members] == members


def test_a_member_that_returns_once_more_or_is_kept_from_it():
    before = Configuration([Member(0, 1, ACTIVE), Member(1, 2, RETURNING)])
    assert before.changed(Change(RENEW, 1, 3)).role_of(1, 3) is RETURNING
    assert before.changed(Change(DEMOTE, 1)).role_of(1, 2) is PASSIVE
    assert before.changed(Change(PROMOTE, 1)).voters == (0, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change(ADD, 0, 2), "known"),
        (Change(ADD, 7, 0), "incarnation"),
        (Change(ADD, -1, 1), "incarnation"),
        (Change(PROMOTE, 7), "unknown"),
        (Change(PROMOTE, 0), "role"),
        (Change(DEMOTE, 1), "role"),
        (Change(DEMOTE, 0), "last_voter"),
        (Change(REMOVE, 0), "last_voter"),
        (Change(RENEW, 0, 2), "last_voter"),
        (Change(RENEW, 1, 3), "incarnation"),
        (Change(RENEW, 1, 2), "incarnation"),
        (Change(REMOVE, 7), "unknown"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change, reason):
    before = Configuration([Member(0, 1, ACTIVE), Member(1, 3, PASSIVE)])
    with pytest.raises(Refused) as refused:
        before.changed(change)
    assert refused.value.reason == reason


# -- what a leader may propose ---------------------------------------------------------------------


def test_only_a_leader_changes_anything():
    cluster = Cluster(3)
    cluster.elect(0)
    assert refusal(cluster, REMOVE, 2, leader=1) == "not_leader"


def test_nothing_is_changed_before_an_entry_of_the_own_term_is_committed():
    """Ongaro on raft-dev, 2015: the members of another change might be counted differently."""
    cluster = Cluster(3)
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.elect(0)
    assert refusal(cluster, REMOVE, 2) == "new_leader"
    assert cluster[0].core.due_change() is None
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    cluster.change(0, REMOVE, 2)


def test_one_change_at_a_time():
    """Thesis 4.1: the next one is not begun before the last is committed."""
    cluster = Cluster(5)
    cluster.elect(0)
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.change(0, REMOVE, 4)
    assert refusal(cluster, REMOVE, 3) == "under_way"
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    cluster.change(0, REMOVE, 3)
    assert cluster[0].core.configuration.voters == (0, 1, 2)


def test_a_second_change_that_is_appended_all_the_same_stops_the_leader():
    cluster = Cluster(5)
    core = cluster.elect(0).core
    payloads = [core.propose(Change(REMOVE, member), 0) for member in (4, 3)]
    cluster[0].propose(payloads[0])
    with pytest.raises(AssertionError, match=r"one voter|not committed"):
        cluster[0].propose(payloads[1])


def test_a_configuration_that_changes_two_voters_is_not_believed():
    cluster = Cluster(5)
    cluster.elect(0)
    with pytest.raises(AssertionError, match="more than one voter"):
        cluster[0].propose(Configuration.bootstrap(range(3)).encode())


def test_a_change_of_what_somebody_no_longer_sees_is_refused():
    """With a version check on the caller's view."""
    cluster = Cluster(3)
    core = cluster.elect(0).core
    cluster.change(0, DEMOTE, 2)
    cluster.run()
    for version in (0, core.configuration.index + 1):
        with pytest.raises(Refused) as refused:
            core.propose(Change(REMOVE, 2), version)
        assert refused.value.reason == "version"


def test_nothing_is_changed_while_leadership_is_handed_over():
    cluster = Cluster(3)
    cluster.elect(0).core.transfer(1)
    assert refusal(cluster, REMOVE, 2) == "transferring"


def test_a_member_is_promoted_once_it_has_caught_up():
    """Thesis 4.2.1: the group must not wait for what a new voter lacks."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    leader.propose(*(f"v{number}" for number in range(20)))
    cluster.turn(0)
    cluster.run()
    cluster.begin(3)
    cluster.cut = lambda message: message.sender == 3 and isinstance(message, AppendResponse)
    cluster.change(0, ADD, 3, 1)
    cluster.run()
    cluster.tick([0], ticks=40)
    assert refusal(cluster, PROMOTE, 3) == "not_caught_up"
    cluster.cut_off()
    cluster.tick([0], ticks=6)
    cluster.change(0, PROMOTE, 3)
    cluster.run()
    assert [member.core.configuration.voters for member in cluster.members] == [(0, 1, 2, 3)] * 4


def test_a_member_that_falls_behind_again_is_not_promoted():
    cluster = joined()
    core = cluster[0].core
    assert core.progress[3].caught_up
    cluster.cut = lambda message: message.to == 3 and isinstance(message, Append)
    for number in range(30):
        cluster[0].propose(f"v{number}")
        cluster.turn(0)
        cluster.run()
        cluster.tick([0], ticks=2)
    assert refusal(cluster, PROMOTE, 3) == "not_caught_up"


def test_a_member_that_is_not_heard_is_not_promoted():
    cluster = joined()
    cluster.cut_off(3)
    cluster.tick([0, 1, 2], ticks=cluster[0].core.config.election_ticks)
    assert refusal(cluster, PROMOTE, 3) == "unavailable"


def test_a_leader_names_those_that_it_does_not_hear():
    """Also one that hears it: the leader alone knows, and a status says so."""
    cluster = Cluster(3)
    leader = cluster.elect(0).core
    assert leader.silent == []
    cluster.cut = lambda message: message.sender == 2
    cluster.tick([0, 1, 2], ticks=leader.config.election_ticks)
    assert leader.silent == [2]
    assert cluster[2].core.silent == []
    cluster.cut_off()
    cluster.tick([0, 1, 2], ticks=4)
    assert leader.silent == []


@pytest.mark.parametrize("kind", [REMOVE, DEMOTE])
def test_a_voter_is_not_let_go_while_another_that_would_be_needed_is_silent(kind):
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.tick([0, 1, 2], ticks=2)
    cluster.cut_off(2)
    cluster.tick([0, 1], ticks=cluster[0].core.config.election_ticks)
    assert refusal(cluster, kind, 1) == "no_majority"
    cluster.change(0, kind, 2)  # the silent one itself may go: the other two are enough
    cluster.run()
    assert cluster[1].core.configuration.voters == (0, 1)


def test_a_voter_is_not_let_go_while_another_has_lost_its_files():
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.tick([0, 1, 2], ticks=2)
    cluster[0].core.progress[2].probation = True
    assert refusal(cluster, REMOVE, 1) == "no_majority"


# -- what counts -----------------------------------------------------------------------------------


def test_a_configuration_counts_as_soon_as_it_is_appended():
    """Thesis 4.1: a server always uses the latest configuration in its log, committed or not."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(1, 2)
    cluster.change(0, REMOVE, 2)
    assert leader.core.configuration.voters == (0, 1)
    assert set(leader.core.progress) == {1}
    [message] = appends(cluster.wire)
    cluster.cut_off()
    cluster.deliver(message)
    assert cluster[1].core.configuration.voters == (0, 1)
    assert cluster[1].core.commit_index < cluster[1].core.configuration.index


def test_a_configuration_goes_with_its_entry():
    """Thesis 4.1: a server must be prepared to fall back to the configuration before."""
    cluster = Cluster(3)
    cluster.elect(0)
    cluster.cut_off(0)
    cluster.change(0, REMOVE, 2)
    assert cluster[0].core.configuration.voters == (0, 1)
    for member in (1, 2):
        cluster[member].core.peer_died(0)
    cluster.time_out(1)
    cluster.run()
    cluster.cut_off()
    cluster.tick([1], ticks=6)
    assert cluster.leaders == [1]
    assert cluster[0].core.configuration.voters == (0, 1, 2)
    assert commits(cluster) == [2, 2, 2]


def test_a_restarted_member_goes_by_the_configurations_of_its_log():
    cluster = joined()
    index = cluster[0].core.configuration.index
    for member in cluster.members:
        member.crash(member.rng)
        assert (member.core.configuration.index, member.core.configuration.role_of(3, 1)) == (index, PASSIVE)


def test_a_snapshot_keeps_the_configuration_that_counted_there():
    cluster = joined()
    leader = cluster[0]
    index = leader.core.configuration.index
    assert leader.core.configuration_at(index - 1).members == TRIO.members
    leader.compact(leader.core.commit_index)
    leader.settle()
    leader.crash(leader.rng)
    assert (leader.core.configuration.index, leader.core.configuration.role_of(3, 1)) == (index, PASSIVE)
    with pytest.raises(AssertionError, match="no configuration is known"):
        leader.core.configuration_at(index - 1)


def test_an_installed_member_goes_by_the_configuration_of_the_snapshot():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(2)
    cluster.begin(3)
    cluster.change(0, ADD, 3, 1)
    cluster.run()
    leader.compact(leader.core.commit_index)
    leader.settle()
    cluster.cut_off()
    cluster.tick([0], ticks=8)
    assert cluster[2].log.dense_index == 2
    assert cluster[2].core.configuration.role_of(3, 1) is PASSIVE


# -- who is counted --------------------------------------------------------------------------------


def test_a_member_that_does_not_vote_is_replicated_to_and_not_counted():
    """Neither its acknowledgements nor its answers to heartbeats make a majority."""
    cluster = joined()
    leader = cluster[0]
    cluster.cut_off(1, 2)
    index = leader.propose("x")
    leader.core.read("r")
    cluster.turn(0)
    cluster.run()
    assert cluster[3].log.last_index == index
    assert leader.core.progress[3].match_index == index
    assert (leader.core.commit_index, leader.reads) == (index - 1, [])
    cluster.tick([0, 3], ticks=leader.core.config.election_ticks)
    assert leader.core.role is not LEADER, "and no majority answers"


def test_a_member_that_does_not_vote_never_campaigns():
    cluster = joined()
    cluster.cut_off(3)
    member = cluster[3].core
    for _ in range(10 * member.config.election_ticks):
        member.tick()
    assert (member.role, cluster[3].settle()) == (FOLLOWER, [])


def test_nobody_asks_a_member_for_its_vote_that_has_none():
    cluster = joined()
    cluster.time_out(1)
    assert {message.to for message in cluster.wire} == {0, 2}


def test_a_promoted_member_counts():
    cluster = joined(members=2)
    leader = cluster[0]
    cluster.change(0, PROMOTE, 2)
    cluster.run()
    cluster.cut_off(1)
    index = leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert leader.core.commit_index == index


def test_a_demoted_member_does_not_count():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.change(0, DEMOTE, 2)
    cluster.run()
    cluster.cut_off(1)
    index = leader.propose("x")
    cluster.turn(0)
    cluster.run()
    assert cluster[2].log.last_index == index, "it is replicated to as before"
    assert leader.core.commit_index == index - 1


def test_what_is_known_of_a_member_that_stays_is_kept():
    cluster = Cluster(3)
    core = cluster.elect(0).core
    before = core.progress[1]
    cluster.change(0, REMOVE, 2)
    assert core.progress == {1: before}


# -- a leader that votes no more -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [REMOVE, DEMOTE])
def test_a_leader_that_takes_its_own_vote_leads_until_that_is_committed(kind):
    """Thesis 4.2.2: it does not count itself, and steps down once the change is committed."""
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.cut_off(2)
    cluster.change(0, kind, 0)
    cluster.run()
    assert (leader.core.role, leader.core.commit_index) == (LEADER, 1), "one of two that vote has it"
    cluster.cut_off()
    cluster.tick([0], ticks=4)
    assert leader.core.role is FOLLOWER
    assert cluster.leaders in ([1], [2]), "it told one of them to begin at once"
    new = cluster[cluster.leaders[0]]
    assert new.core.configuration.voters == (1, 2)
    assert new.core.commit_index == 3


def test_the_others_learn_of_the_commit_before_such_a_leader_stops():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    cluster.change(0, REMOVE, 0)
    answers = [message for follower in (1, 2) for message in cluster.deliver(appends(cluster.wire, to=follower)[0])]
    for message in answers:
        leader.receive(message)
    sent = leader.turn()
    assert leader.core.role is FOLLOWER
    assert {message.to: message.commit_index for message in sent if isinstance(message, Heartbeat)} == {1: 2, 2: 2}
    assert sum(isinstance(message, TimeoutNow) for message in sent) == 1


def test_a_removed_leader_may_be_the_only_one_that_can_be_elected():
    """Thesis 4.2.2 and figure 4.6: it campaigns as long as its removal may not be committed, without its own vote."""
    cluster = Cluster(2)
    leader = cluster.elect(0)
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.change(0, REMOVE, 0)
    cluster.run()
    leader.crash(leader.rng)
    cluster.cut_off()
    cluster[1].core.peer_died(0)
    cluster.time_out(1)
    cluster.run()
    assert cluster[1].core.role is not LEADER, "its log is the shorter one"
    cluster.time_out(0)
    cluster.run()
    assert leader.core.configuration.voters == (1,)
    assert cluster[1].core.commit_index >= 2, "the change is committed by the member that it removes"
    assert leader.core.role is FOLLOWER
    for _ in range(10 * leader.core.config.election_ticks):
        leader.core.tick()
    assert leader.settle() == [], "now it is over"


# -- removed, unknown, not yet known ---------------------------------------------------------------


def test_a_removed_member_does_not_disturb():
    """Thesis 4.2.3: it hears nobody any more and asks for votes, but whoever hears the leader gives none."""
    cluster = Cluster(4)
    leader = cluster.elect(0)
    cluster.cut = lambda message: message.to == 3 and isinstance(message, Append)  # it never learns of it
    cluster.change(0, REMOVE, 3)
    cluster.run()
    cluster.cut_off()
    term = leader.core.term
    cluster.tick(ticks=10 * leader.core.config.election_ticks)
    assert (cluster.leaders, leader.core.term, cluster[3].core.term) == ([0], term, term)


def test_a_follower_takes_entries_of_a_leader_that_its_configuration_does_not_know():
    """Thesis 4.1: the leader may be a member by entries that the follower has yet to get."""
    cluster = joined()
    cluster.cut_off(2)
    cluster.change(0, PROMOTE, 3)
    cluster.run()
    cluster[0].core.transfer(3)
    cluster.turn(0)
    cluster.run()
    assert cluster.leaders == [3]
    assert cluster[2].core.configuration.voters == (0, 1, 2)
    cluster.cut_off()
    cluster.tick([3], ticks=6)
    assert cluster[2].core.leader == 3
    assert cluster[2].log.entries == cluster[3].log.entries


def test_a_vote_is_given_to_a_candidate_that_our_configuration_does_not_know():
    """Thesis 4.1: ... and so for its candidacy."""
    cluster = joined()
    stranger = cluster[2].core
    stranger.configurations = stranger.configurations[:1]
    stranger.follow_configuration()
    for member in cluster.members:
        member.core.peer_died(0)
    cluster.cut_off(0, 1)
    cluster[3].core.configurations.append(
        Configuration([*TRIO.members[1:], Member(3, 1, ACTIVE)], index=cluster[3].log.last_index)
    )
    cluster[3].core.follow_configuration()
    cluster.time_out(3)
    cluster.run()
    assert cluster[3].core.role is LEADER


def test_answers_of_strangers_count_for_nothing():
    cluster = Cluster(3)
    leader = cluster.elect(0)
    index = leader.propose("x")
    leader.settle()
    for stranger in (7, 8):
        answer = AppendResponse(term=1, sender=stranger, to=0, success=True, match_index=index)
        leader.receive(answer)
        leader.receive(HeartbeatResponse(term=9, sender=stranger, to=0, round=1))
    assert (leader.core.commit_index, leader.core.term, leader.core.role) == (index - 1, 1, LEADER)


def test_a_single_voter_can_grow_and_shrink_again():
    cluster = joined(members=1)
    cluster.change(0, PROMOTE, 1)
    cluster.run()
    assert commits(cluster) == [3, 3]
    cluster.change(0, REMOVE, 1)
    cluster.run()
    assert cluster[0].core.commit_index == 4
