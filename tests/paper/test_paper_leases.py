"""Leases: section 6.4.1 of the thesis, and what it takes that no two leaders ever answer at once.

Each story ends in good order; without the rule that it is about, somebody leads while the former leader still answers by
itself, from a state that may have been overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from ocelog.shard.raft import LEADER, RaftConfig, core, lease, replication, state, transfer
from ocelog.shard.raft.lease import Lease, lease_ms
from ocelog.shard.raft.messages import Append, Heartbeat, HeartbeatResponse, ProbationQuery, TimeoutNow

from tests.simulation.breaking import Edit, Mutant, broken
from tests.unit_shard.raft.raft_cluster import Cluster

TICK_MS = 50
CONFIG = RaftConfig()


class Timed(Cluster):
    """Members with clocks; whenever somebody has had a turn, nobody with a lease has a successor."""

    def __init__(self, members: int = 3, *, drift_percent: int = 5) -> None:
        super().__init__(members, config=CONFIG)
        self.now = 0
        for member in self.members:
            member.lease_ms = member.core.lease_ms = lease_ms(CONFIG.election_ticks, TICK_MS, drift_percent)

    def turn(self, member):
        self.members[member].now = self.now
        messages = super().turn(member)
        self.watch()
        return messages

    def watch(self) -> None:
        leading = [member.core for member in self.members if member.core.role is LEADER]
        for each in leading:
            successors = [other.member for other in leading if other.term > each.term]
            assert not (successors and each.has_lease(self.now)), f"{each.member} has a lease, but {successors} lead"

    def has_lease(self, member: int) -> bool:
        return self.members[member].core.has_lease(self.now)

    def pass_time(self, ticks: int, members: Iterable[int] | None = None, *, tick_ms: int = TICK_MS) -> None:
        """So many ticks of these members, all by default; the others are paused."""
        for _ in range(ticks):
            self.now += tick_ms
            self.tick(members)

    def pass_until(self, happened: Callable[[], bool], members: Iterable[int]) -> None:
        for _ in range(10 * CONFIG.election_ticks):
            if happened():
                return
            self.pass_time(1, members)
        raise AssertionError("it did not happen")


def leading() -> Timed:
    """Member 0 leads, and has a lease."""
    cluster = Timed()
    cluster.elect(0)
    cluster.pass_time(4)
    assert cluster.has_lease(0)
    return cluster


def succeeded(cluster: Timed) -> bool:
    return len(cluster.leaders) > 1 or cluster.leaders not in ([], [0])


# -- the stories -----------------------------------------------------------------------------------


def a_connection_closes() -> None:
    """Docs, decision 10: both followers lose their connections to a leader that lives on, cut off."""
    cluster = leading()
    cluster.cut_off(0)
    for member in (1, 2):
        cluster[member].core.peer_gone(0)
    cluster.pass_until(lambda: succeeded(cluster), (1, 2))
    assert not cluster.has_lease(0)


def followers_restart() -> None:
    """A replica votes for nobody during the first election timeout after its start."""
    cluster = leading()
    cluster.cut_off(0)
    for member in (1, 2):
        cluster[member].crash(cluster[member].rng)
        cluster[member].lease_ms = cluster[0].lease_ms
    cluster.pass_until(lambda: succeeded(cluster), (1, 2))


def a_later_term_is_heard_of() -> None:
    """Member 1 hears the leader, member 2 does not and asks for its vote, and a stray message brings a later term."""
    cluster = leading()
    cluster.cut = lambda message: {message.sender, message.to} == {0, 2}
    cluster.pass_time(3 * CONFIG.election_ticks)
    assert cluster.has_lease(0)
    cluster[1].receive(ProbationQuery(term=5, sender=2, to=1, nonce=1))
    cluster.cut_off(0)
    for _ in range(2):
        cluster.time_out(2)  # it learns the term, and asks again
        cluster.run()
    cluster.pass_until(lambda: succeeded(cluster), (1, 2))


def leadership_is_handed_over_late() -> None:
    """Section 3.10: TimeoutNow arrives when the leader has long given up waiting for its successor."""
    cluster = leading()
    late = []
    cluster.cut = lambda message: isinstance(message, TimeoutNow) and (late.append(message) or True)
    cluster[0].core.transfer(1)
    cluster.turn(0)
    assert not cluster.has_lease(0), "given up before anybody is told"
    cluster.run()
    cluster.pass_time(CONFIG.election_ticks + 4)
    assert (cluster.leaders, cluster[0].core.transferring) == ([0], False)
    cluster.cut = lambda message: message.sender == 0
    cluster.members[1].receive(late[0])
    cluster.turn(1)
    cluster.cut_off(0)
    cluster.run()
    assert cluster.leaders == [0, 1]


def the_leader_is_paused() -> None:
    """Section 6.4.1: the lease ends by a clock that goes on; what is sent after the pause gives none until it is answered."""
    cluster = leading()
    cluster.cut_off(0)
    cluster.pass_until(lambda: succeeded(cluster), (1, 2))
    cluster.pass_time(1, [0])
    cluster.pass_time(1, [0])
    assert cluster[0].core.role is LEADER, "it does not know yet"


def followers_have_fast_clocks() -> None:
    """Section 6.4.1: ... assuming a bound on clock drift. Their ticks are 5 % short, and the first one comes at once."""
    cluster = leading()
    cluster[0].core.heartbeat_due = True
    cluster.turn(0)
    cluster.run()
    cluster.cut_off(0)
    for member in (1, 2):
        cluster[member].core.timeout = CONFIG.election_ticks
        cluster[member].core.tick()
    begun = cluster.now
    for ticks in range(1, CONFIG.election_ticks):
        cluster.now = begun + ticks * TICK_MS * 95 // 100
        cluster.tick([1, 2])
    cluster[1].core.timeout = 0
    cluster.tick([1])
    assert succeeded(cluster)


STORIES = (
    a_connection_closes,
    followers_restart,
    a_later_term_is_heard_of,
    leadership_is_handed_over_late,
    the_leader_is_paused,
    followers_have_fast_clocks,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_nobody_leads_beside_a_leader_with_a_lease(story):
    story()


BREAKS = (
    (a_connection_closes, Edit(core.Raft, "_miss_leader", "self.become(", "self.pledged_until = 0; self.become(")),
    (followers_restart, Edit(state.RaftState, "_pledge_anew", "never = alone or", "never = True or")),
    (
        a_later_term_is_heard_of,
        Edit(state.RaftState, "enter_term", "self.term =", "self.pledged_until = 0; self.term ="),
    ),
    (leadership_is_handed_over_late, Edit(transfer, "tell", "raft.lease.given_up = True", "pass")),
    (the_leader_is_paused, Edit(lease.Lease, "holds", "or sent[0][0] > answered", "")),
    (the_leader_is_paused, Edit(lease.Lease, "holds", "< self.milliseconds", "< 2 * self.milliseconds")),
    (followers_have_fast_clocks, Edit(lease, "lease_ms", "(100 - clock_drift_percent)", "100")),
)


@pytest.mark.parametrize(("story", "edit"), BREAKS, ids=lambda each: getattr(each, "__name__", ""))
def test_without_its_rule_a_story_ends_badly(story, edit):
    with broken(Mutant(story.__name__, (edit,), ())), pytest.raises(AssertionError, match="has a lease, but"):
        story()


# -- the lease itself ------------------------------------------------------------------------------


def test_a_lease_counts_from_the_sending_of_its_round():
    """Section 6.4.1: not from the answers, which say nothing about what came after the heartbeat."""
    cluster = leading()
    cluster.cut = lambda message: isinstance(message, HeartbeatResponse) and message.to == 0
    held = []
    for _ in range(CONFIG.election_ticks - 1):
        cluster.pass_time(1)
        held.append(cluster.has_lease(0))
    assert held == sorted(held, reverse=True)
    assert 15 <= sum(held) <= 18, "it had been sent up to two ticks before the last answer came"


@pytest.mark.parametrize("kind", ["heartbeats", "reads"])
def test_heartbeats_and_reads_renew_it(kind):
    """Every round that a majority answers counts, whatever it was begun for."""
    cluster = leading()
    for _ in range(3 * CONFIG.election_ticks):
        cluster.pass_time(1, None if kind == "heartbeats" else (1, 2))
        if kind == "reads":
            cluster[1].core.ticks = (
                cluster[1].core.pledged_until - CONFIG.election_ticks
            )  # only the reads are looked at
            cluster[0].core.read("r")
            cluster.turn(0)
            cluster.run()
    assert (cluster.leaders, cluster.has_lease(0)) == ([0], True)


def test_a_new_leader_has_none_before_it_has_committed():
    """Section 8: it does not know yet what is committed."""
    cluster = Timed()
    cluster.cut = lambda message: isinstance(message, Append)
    cluster.elect(0)
    cluster.pass_time(6)
    assert (cluster.leaders, cluster.has_lease(0)) == ([0], False)
    cluster.cut_off()
    cluster.pass_time(6)
    assert cluster.has_lease(0)


def test_a_single_member_always_has_one():
    cluster = Timed(1)
    cluster.elect(0)
    cluster.pass_time(50)
    assert cluster.has_lease(0)


def test_another_configuration_begins_with_none():
    """What a majority of the former members answered says nothing of the present ones."""
    cluster = leading()
    core = cluster[0].core
    replication.follow_configuration(core, core.configuration)
    assert not cluster.has_lease(0)
    cluster.pass_time(2)
    assert cluster.has_lease(0)


def test_a_deposed_leader_has_none():
    cluster = leading()
    cluster[0].receive(HeartbeatResponse(term=9, sender=1, to=0))
    assert not cluster.has_lease(0)


def test_a_leader_without_a_clock_has_none():
    cluster = Cluster(3)
    cluster.elect(0)
    assert not cluster[0].core.has_lease(0)


def test_a_leader_that_gives_up_handing_over_before_it_told_anybody_has_it_again():
    """Nobody can campaign by a message that was never sent."""
    cluster = leading()
    cluster.cut = lambda message: isinstance(message, Append | Heartbeat) and message.to == 1
    cluster[0].propose("x")
    cluster.turn(0)
    cluster[0].core.transfer(1)
    cluster.turn(0)
    assert not cluster.has_lease(0)
    cluster.pass_time(CONFIG.election_ticks, (0, 2))
    assert (cluster[0].core.transferring, cluster.has_lease(0)) == (False, True)


@pytest.mark.parametrize(
    ("ticks", "tick_ms", "drift", "expected"), [(20, 50, 5, 901), (20, 50, 0, 949), (3, 10, 10, 17), (20, 50, 100, 0)]
)
def test_a_lease_is_shorter_than_any_pledge(ticks, tick_ms, drift, expected):
    """The shortest pledge of the fastest clock, and both ends of it in whole milliseconds."""
    assert lease_ms(ticks, tick_ms, drift) == expected


def test_old_rounds_are_not_kept():
    """A leader that answers thousands of reads a second begins as many rounds."""
    each = Lease(900)
    for round in range(1, 100_000):
        each.sent(round, round // 10)
    assert len(each._sent) <= 9010
    assert each.holds(99_990, 10_000)
