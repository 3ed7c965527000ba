"""Holes and installs: when a follower needs a snapshot, what an Install does to it, and how it goes on afterwards."""

from __future__ import annotations

import pytest
from ocelog.shard.raft import CANDIDATE, FOLLOWER, LEADER, RaftConfig
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    Vote,
)
from ocelog.shard.raft.progress import INSTALL, PROBE, REPLICATE

from .raft_cluster import Cluster, appends, commits
from .raft_disk import ENTRY_BYTES, Files
from .raft_member import Member


def lagging(compacted: int = 6, *, last: int = 8, slow_disks: bool = False) -> Cluster:
    """Member 0 leads and has compacted; member 2 was cut off after its noop, and now is not any more."""
    cluster = Cluster(3, slow_disks=slow_disks, config=RaftConfig(append_bytes_max=2 * ENTRY_BYTES))
    leader = cluster.elect(0)
    cluster.cut_off(2)
    leader.propose(*(f"v{number}" for number in range(2, last + 1)))
    cluster.turn(0)
    cluster.run()
    leader.compact(compacted)
    leader.settle()
    cluster.cut_off()
    return cluster


def follower(snapshot: int = 0, terms: tuple[int, ...] = (1, 1, 1), *, commit_index: int = 0) -> Member:
    """Member 0 of three with these entries, those through `snapshot` compacted; member 1 leads term 5."""
    member = Member(0, [0, 1, 2], terms=[*terms], term=5)
    if snapshot:
        files = member.disk.files
        held = [entry for entry in files.entries[:snapshot] if entry]
        member.disk.files = Files([None] * snapshot + files.entries[snapshot:], held, snapshot, files.configuration)
        member.start()
    heartbeat = Heartbeat(term=5, sender=1, to=0, commit_index=commit_index, round=1, sent_through=0)
    member.receive(heartbeat)
    if commit_index:
        agreed = Append(
            term=5, sender=1, to=0, prev_index=commit_index, prev_term=terms[commit_index - 1], last_index=commit_index,
            commit_index=commit_index, runs=(),
        )  # fmt: skip
        member.receive(agreed)
    member.settle()
    assert member.core.commit_index == max(commit_index, snapshot)
    return member


def install(snapshot_index: int, *, snapshot_term: int = 2, from_index: int = 0, position: int = 0, **other) -> Install:
    """A part of an install by the leader of term 5; of a file of two bytes, then entries."""
    fields = {"term": 5, "sender": 1, "to": 0, "snapshot_bytes": 2, "entry_bytes": 2, "entries": []}
    return Install(
        **{**fields, **other},
        snapshot_index=snapshot_index,
        snapshot_term=snapshot_term,
        from_index=from_index,
        position=position,
    )


def sent(cluster: Cluster, member: int) -> list[str]:
    """Deliver everything; the kinds of messages that went to a member, in order."""
    kinds = []
    while cluster.wire:
        message = cluster.wire.pop(0)
        if message.to == member:
            kinds.append(type(message).__name__)
        cluster.deliver(message)
    return kinds


# -- the leader ------------------------------------------------------------------------------------


def test_a_follower_that_parts_where_the_leader_has_holes_is_installed():
    cluster = lagging()
    leader = cluster[0]
    cluster.tick([0], ticks=2 * leader.core.config.heartbeat_ticks)
    assert leader.core.progress[2].state is REPLICATE
    assert commits(cluster) == [8, 8, 8]
    files = cluster[2].log.files
    assert (len(files.snapshot), files.dense_index) == (8, 8)
    assert files.entries[0] == (1, "noop"), "its own stays"
    assert [index for index, entry in enumerate(files.entries, 1) if entry is not None] == [1, *sorted(files.live)]
    assert [files.entries[index - 1] for index in files.live] == [leader.log.entries[index - 1] for index in files.live]


def test_the_first_probe_that_could_follow_a_hole_follows_the_dense_index():
    cluster = lagging(compacted=6)
    leader = cluster[0]
    leader.core.peer_gone(2)
    leader.receive(HeartbeatResponse(term=1, sender=2, to=0, round=1))
    leader.core.ticks += 10
    leader.receive(HeartbeatResponse(term=1, sender=2, to=0, round=1))
    [probe] = appends(leader.turn(), to=2)
    assert (probe.prev_index, probe.prev_term, probe.last_index) == (6, 1, 6)


def test_an_install_is_wanted_from_the_followers_commit_index():
    cluster = lagging()
    leader = cluster[0]
    leader.core.progress[2].probe(8)
    leader.core.replicate_due = True
    [probe] = appends(leader.turn(), to=2)
    [rejection] = cluster.deliver(probe)
    assert (rejection.success, rejection.match_index) == (False, 1)
    leader.receive(rejection)
    assert leader.core.installs == {2: 1}
    [part] = [message for message in leader.turn() if message.to == 2]
    assert (part.snapshot_index, part.snapshot_term, part.from_index, part.position) == (8, 1, 1, 0)


def test_a_rejection_above_the_holes_is_probed_below_first():
    """The follower may still match at the dense index or above: then nothing needs to be installed."""
    cluster = Cluster(3, logs={0: [1, 1, 1, 3, 3], 1: [1, 1, 1, 3, 3], 2: [1, 1, 1, 2]}, term=3)
    leader = cluster[0]
    cluster.elect(0)
    for member in cluster.members[:2]:
        member.compact(3)
        member.settle()
    leader.core.progress[2].match_index = 0
    leader.core.progress[2].probe(6)
    leader.core.replicate_due = True
    cluster.turn(0)
    assert "Install" not in sent(cluster, 2)
    assert cluster[2].log.terms == [1, 1, 1, 3, 3, 4]


def test_a_follower_being_installed_gets_heartbeats_and_no_appends():
    cluster = lagging()
    leader = cluster[0]
    cluster.cut = lambda message: isinstance(message, Install)
    cluster.tick([0], ticks=4 * leader.core.config.heartbeat_ticks)
    assert leader.core.progress[2].state is INSTALL
    leader.propose("more")
    cluster.turn(0)
    cluster.tick([0], ticks=leader.core.config.heartbeat_ticks)
    cluster.cut_off()
    for _ in range(4 * leader.core.config.heartbeat_ticks):
        leader.core.tick()
        kinds = {type(message) for message in leader.turn() if message.to == 2}
        assert kinds <= {Heartbeat}
    assert leader.core.role is LEADER


def test_a_leader_forgets_an_install_with_its_leadership():
    cluster = lagging()
    leader = cluster[0]
    cluster.cut = lambda message: isinstance(message, Install)
    cluster.tick([0], ticks=8)
    assert leader.core.installs == {2: 1}
    leader.receive(Heartbeat(term=9, sender=1, to=0, commit_index=0, round=1, sent_through=0))
    assert leader.core.installs == {}


def test_a_follower_whose_connection_closed_is_probed_again():
    """It may have started again, and its commit index is another one then."""
    cluster = lagging()
    leader = cluster[0]
    cluster.cut = lambda message: isinstance(message, Install)
    cluster.tick([0], ticks=8)
    leader.core.peer_gone(2)
    progress = leader.core.progress[2]
    assert (leader.core.installs, progress.state) == ({}, PROBE)
    cluster.cut_off()
    cluster.tick([0], ticks=8)
    assert commits(cluster) == [8, 8, 8]


def test_a_match_below_the_holes_is_asked_about_again():
    """The leader has compacted on while it installed: what it installed does not reach its dense index any more."""
    cluster = lagging(compacted=3, last=12)
    leader = cluster[0]
    cluster.cut = lambda message: isinstance(message, Install)
    cluster.tick([0], ticks=8)
    assert leader.core.installs == {2: 1}
    leader.compact(12)
    leader.receive(AppendResponse(term=1, sender=2, to=0, success=True, match_index=1))
    assert leader.core.installs == {2: 1}, "that was known"
    leader.receive(AppendResponse(term=1, sender=2, to=0, success=True, match_index=9))
    progress = leader.core.progress[2]
    assert (leader.core.installs, progress.state, progress.next_index) == ({}, PROBE, 13)


def test_a_leader_that_compacts_beyond_what_it_has_sent_probes_at_its_dense_index():
    cluster = Cluster(3, config=RaftConfig(append_bytes_max=ENTRY_BYTES, inflight_messages_max=1))
    leader = cluster.elect(0)
    cluster.cut = lambda message: message.sender == 2 and isinstance(message, AppendResponse)
    leader.propose("a", "b", "c")
    cluster.turn(0)
    cluster.run()
    progress = leader.core.progress[2]
    assert (progress.state, progress.next_index) == (REPLICATE, 3)
    leader.compact(4)
    cluster.cut_off()
    leader.receive(AppendResponse(term=1, sender=2, to=0, success=True, match_index=2))
    [probe] = appends(leader.turn(), to=2)
    assert (progress.state, probe.prev_index, probe.last_index) == (PROBE, 4, 4)
    cluster.wire.append(probe)
    assert "Install" in sent(cluster, 2)
    assert commits(cluster) == [4, 4, 4]


@pytest.mark.parametrize(
    ("from_index", "restart", "installs"), [(1, False, {2: 1}), (1, True, {2: 0}), (3, True, {2: 1})]
)
def test_a_follower_may_ask_for_the_whole_log(from_index, restart, installs):
    """Something that it should have below from_index is missing; an answer about another stream means nothing."""
    cluster = lagging()
    leader = cluster[0]
    cluster.cut = lambda message: isinstance(message, Install)
    cluster.tick([0], ticks=8)
    response = InstallResponse(
        term=1, sender=2, to=0, snapshot_index=8, from_index=from_index, position=0, restart=restart
    )
    returned = leader.core.receive(response)
    assert (leader.core.installs, returned is response) == (installs, from_index == 1)


def test_an_answer_to_an_install_counts_as_a_sign_of_life():
    cluster = lagging()
    leader = cluster[0].core
    leader.ticks += 7
    leader.receive(InstallResponse(term=1, sender=2, to=0, snapshot_index=8, from_index=1, position=0))
    assert leader.progress[2].heard_tick == leader.ticks


# -- the follower ----------------------------------------------------------------------------------


def test_an_install_at_or_below_the_commit_index_changes_nothing_and_is_acknowledged():
    """'Have it': late, repeated and obsolete installs find the log as it is."""
    member = follower(commit_index=2)
    for index in (1, 2):
        assert member.core.receive(install(index, snapshot_term=1)) is None
        [answer] = member.settle()
        assert isinstance(answer, AppendResponse)
        assert (answer.success, answer.match_index) == (True, 2)
    assert member.log.terms == [1, 1, 1]


def test_have_it_waits_for_the_disk():
    """What is committed here may not be durable here; the leader must not count it before."""
    member = Member(0, [0, 1, 2], term=5)
    message = Append(
        term=5, sender=1, to=0, prev_index=0, prev_term=0, last_index=2, commit_index=2, runs=((1, 5),),
        entries=[(5, "a"), (5, "b")],
    )  # fmt: skip
    member.receive(message)
    member.turn()
    member.receive(install(2, snapshot_term=5))
    assert (member.core.commit_index, member.turn()) == (2, [])
    assert {answer.match_index for answer in member.sync()} == {2}


def test_an_install_of_what_the_own_log_holds_is_not_needed():
    """An entry of the snapshot's index and term: by log matching everything before it is the same, too (decision 0008)."""
    member = follower(terms=(1, 1, 2, 2), commit_index=1)
    assert member.core.receive(install(3, from_index=1)) is None
    [answer] = member.settle()
    assert (answer.success, answer.match_index) == (True, 3)
    assert (member.core.commit_index, member.log.terms) == (3, [1, 1, 2, 2]), "a snapshot covers what is committed"


@pytest.mark.parametrize("terms", [(1,), (1, 1), (1, 1, 1), (1, 1, 1, 1), (1, 1, 3, 3)])
def test_an_install_of_what_the_own_log_lacks_is_returned(terms):
    member = follower(terms=terms, commit_index=1)
    message = install(3, from_index=1)
    assert member.core.receive(message) is message
    assert member.settle() == []
    assert member.log.terms == [*terms]


def test_an_install_from_above_the_own_commit_index_is_asked_for_from_0():
    """The leader was told a commit index, then the follower started again: what is above its snapshot is not certain."""
    member = follower(snapshot=1, terms=(1, 1, 1))
    assert member.core.receive(install(9, from_index=2)) is None
    [answer] = member.settle()
    assert isinstance(answer, InstallResponse)
    assert (answer.snapshot_index, answer.from_index, answer.restart) == (9, 2, True)
    whole = install(9, from_index=0)
    assert member.core.receive(whole) is whole


def test_an_install_is_heard_as_the_leader_and_of_an_earlier_term_not_at_all():
    member = follower()
    for _ in range(5):
        member.core.tick()
    assert member.core.receive(install(9)) is not None
    assert (member.core.elapsed, member.core.leader) == (0, 1)
    member.settle()
    member.receive(install(9, term=4, sender=2))
    [answer] = member.settle()
    assert (type(answer), answer.success, answer.term, member.core.leader) == (AppendResponse, False, 5, 1)
    assert member.core.receive(install(9, term=7, sender=2)) is not None
    assert (member.core.term, member.core.leader) == (7, 2)


def publishing(**other) -> Member:
    """A follower in the middle of publishing a snapshot at 9 of term 2."""
    member = follower(terms=(1, 1, 1, 3), commit_index=2)
    file = ([(2, "s")] * 9, Configuration.bootstrap(range(3)).encode())
    for position, part in enumerate([file, file, (8, (2, "s")), (9, (2, "s"))]):
        member.receive(install(9, from_index=2, position=position, entries=part))
    assert member.core.installing
    member.turn()
    return member


def test_a_publish_replaces_the_log_and_is_acknowledged_once_it_is_durable():
    member = publishing()
    assert member.log.terms == [1, 1, 1, 3]
    messages = member.sync() + member.turn()
    [answer] = messages
    core = member.core
    assert (core.commit_index, core.persisted_index, core.installing) == (9, 9, False)
    assert member.log.terms == [1, 1, 0, 0, 0, 0, 0, 2, 2], "entry 4 of a dead leader is gone"
    assert (answer.success, answer.match_index) == (True, 9)


def test_while_a_snapshot_is_published_the_log_takes_nothing_else():
    member = publishing()
    append = Append(
        term=5, sender=1, to=0, prev_index=2, prev_term=1, last_index=3, commit_index=2, runs=((3, 5),),
        entries=[(5, "x")],
    )  # fmt: skip
    for _ in range(5):
        member.core.tick()
    for message in (append, install(12)):
        assert member.core.receive(message) is None
    assert (member.turn(), member.log.terms) == ([], [1, 1, 1, 3])
    assert member.core.elapsed == 0, "but the leader is heard"
    member.sync()
    member.turn()
    later = install(12, from_index=9)
    assert member.core.receive(later) is later


def test_nobody_campaigns_while_publishing():
    """A leader's log must not be replaced by another one."""
    member = publishing()
    for _ in range(200):
        member.core.tick()
    assert (member.core.role, member.turn()) == (FOLLOWER, [])
    member.sync()
    for _ in range(200):
        member.core.tick()
    assert member.core.role is not FOLLOWER


@pytest.mark.parametrize("role", [CANDIDATE, LEADER])
def test_a_publish_does_not_begin_once_the_member_stands_for_election(role):
    cluster = Cluster(3, term=1)
    if role is LEADER:
        cluster.elect(0)
    else:
        cluster.cut = lambda message: isinstance(message, Vote)
        cluster.time_out(0)
        cluster.run()
    assert cluster[0].core.role is role
    assert not cluster[0].core.begin_install(9, 1)
    assert not cluster[0].core.installing


def test_a_publish_does_not_begin_if_the_log_got_there_first():
    """A new leader may have sent the entries while the old one's snapshot was staged."""
    member = follower(terms=(1, 1, 2), commit_index=3)
    assert not member.core.begin_install(3, 2)
    assert not member.core.begin_install(2, 1)
    assert member.core.begin_install(4, 2)
    member.core.not_installed()
    assert not member.core.installing


def test_a_commit_index_that_a_snapshot_covers_survives_a_restart():
    member = publishing()
    member.sync()
    member.crash(member.rng)
    assert (member.core.commit_index, member.core.log.dense_index, member.core.log.last_index) == (9, 9, 9)


def test_a_crash_in_the_middle_of_a_publish_leaves_the_old_log_or_the_new_one():
    ends = set()
    for seed in range(20):
        member = publishing()
        member.rng.seed(seed)
        member.crash(member.rng)
        ends.add((member.core.commit_index, tuple(member.log.terms)))
    assert ends == {(0, (1, 1, 1, 3)), (9, (1, 1, 0, 0, 0, 0, 0, 2, 2))}


def test_an_acknowledgement_of_a_publish_goes_to_whoever_leads_by_then():
    member = publishing()
    member.receive(Heartbeat(term=6, sender=2, to=0, commit_index=0, round=0, sent_through=0))
    member.turn()
    messages = member.sync() + member.turn()
    messages += member.settle()
    assert [(message.to, message.match_index) for message in messages] == [(2, 9)]


def test_a_log_that_ends_below_what_is_committed_is_refused():
    member = Member(0, [0, 1, 2], terms=[1, 1])
    member.disk.files.snapshot = [(1, "a")] * 3
    with pytest.raises(AssertionError, match="ends at 2, but 3 is committed"):
        member.start()
