"""The set partitioner: rounds, claims that wait for what others hold, and that no item is held twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.client.protocol.errors import DELETED, ROWS
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.set_partitioner import GONE, STALE, SetPartitionerMachine

from .test_queue import Driver, _plain

A, B, C = 1, 2, 3  # sessions


def check(driver):
    """The machine is what its snapshot is, and no item is held twice."""
    machine, other = driver.machine, SetPartitionerMachine()
    other.install(_plain(machine.snapshot()))
    assert repr(vars(other)) == repr(vars(machine)) and not driver.live
    members = machine.members.values()
    held = [item for member in members for item in member.held]
    assert sorted(held) == sorted(machine.owners) and len(set(held)) == len(held)
    for member in members:
        assert all(machine.owners[item] == member.id for item in member.held)
        if member.wanted is not None:
            assert not member.held and any(item in machine.owners for item in member.wanted)


@pytest.fixture
def sets():
    driver = Driver(SetPartitionerMachine)
    yield driver
    check(driver)


def join(sets, *members):
    for session, id in members:
        sets.run(session, "join", id, 1)
    sets.told()
    return sets.machine.round


def claim(sets, session, id, *items, number=1, wait_ms=None, round=None):
    return sets.run(session, "claim", number, wait_ms, id, sets.machine.round if round is None else round, list(items))


def answers(sets):
    return [(sessions[0], *value) for sessions, (name, value) in sets.told() if name == "answer"]


def test_a_member_that_joins_begins_a_round_and_all_are_told(sets):
    assert sets.run(A, "join", b"a", 1) == sets.index
    assert sets.told() == [([A], ["change", ["changed", None, None, 1]])]
    assert sets.run(B, "join", b"b", 1) == 2
    assert sets.told() == [([A, B], ["change", ["changed", None, None, 2]])]
    assert sets.ask("all") == [2, [b"a", b"b"]] and sets.ask("size") == 2
    assert sets.run(B, "join", b"b", 1) == 2, "said again it changes nothing"
    assert sets.told() == []
    for session, number in ((A, 1), (B, 2)):
        with pytest.raises(ValueError, match="already"):
            sets.run(session, "join", b"b", number)


def test_free_items_are_granted_with_the_index_as_token(sets):
    join(sets, (A, b"a"), (B, b"b"))
    assert claim(sets, A, b"a", b"1", b"2") == [sets.index]
    token = sets.index
    assert claim(sets, B, b"b", b"3") == [sets.index]
    assert sets.ask("allotments") == [[b"a", token, [b"1", b"2"]], [b"b", sets.index, [b"3"]]]
    assert claim(sets, A, b"a") == [sets.index], "who has nothing to do is granted nothing, which is something too"


def test_a_claim_waits_until_its_items_were_given_up(sets):
    join(sets, (A, b"a"))
    claim(sets, A, b"a", b"1", b"2")
    join(sets, (B, b"b"))
    assert claim(sets, B, b"b", b"2") is None
    assert answers(sets) == []
    check(sets)
    assert claim(sets, A, b"a", b"1", number=2) == [sets.index], "a claim gives up what the member had"
    assert answers(sets) == [(B, 1, sets.index)]


def test_items_are_given_up_without_another_claim(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    assert sets.run(B, "release_set", b"a") is False and sets.run(C, "release_set", b"c") is False
    assert sets.run(A, "release_set", b"a") is True
    assert answers(sets) == [(B, 1, sets.index)]
    assert sets.run(A, "release_set", b"a") is True


def test_a_claim_for_a_round_that_is_over_is_refused(sets):
    """Nobody gets what was its own among other members; what it held is given up all the same."""
    old = join(sets, (A, b"a"))
    claim(sets, A, b"a", b"1")
    join(sets, (B, b"b"))
    assert claim(sets, A, b"a", b"2", round=old) == [STALE]
    assert not sets.machine.owners


@pytest.mark.parametrize("how", ["session_closed", "session_expired"])
def test_claims_that_wait_are_refused_when_the_members_change(sets, how):
    join(sets, (A, b"a"), (B, b"b"), (C, b"c"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    sets.end(C, how)
    assert sets.told() == [([B], ["answer", [1, STALE]]), ([A, B], ["change", ["changed", None, None, sets.index]])]
    assert sets.machine.owners == {b"1": b"a"}, "who holds something goes on holding it"


def test_what_a_lost_member_held_is_free(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    sets.end(A)
    assert claim(sets, B, b"b", b"1") == [sets.index]


def test_a_member_that_parts_frees_what_it_held(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    assert sets.run(B, "part", b"a") is False
    assert sets.run(A, "part", b"a") is True and sets.run(A, "part", b"a") is False
    assert not sets.machine.owners and not sets.machine.watches(A)


def test_a_claim_that_waits_ends_when_its_member_parts(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    sets.run(B, "part", b"b")
    assert answers(sets) == [(B, 1, STALE)] and not sets.machine.watches(B)


def test_patience_ends(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    assert claim(sets, B, b"b", b"1", wait_ms=0) == [None]
    claim(sets, B, b"b", b"1", number=2, wait_ms=100)
    sets.pass_ms(100)
    assert answers(sets) == [(B, 2, None)]
    sets.run(A, "release_set", b"a")
    assert answers(sets) == [] and not sets.machine.owners
    assert claim(sets, B, b"b", b"1", number=3) == [sets.index]


def test_claims_that_were_served_leave_no_timers_behind(sets):
    join(sets, (A, b"a"), (B, b"b"))
    for number in range(20):
        claim(sets, A, b"a", b"1", number=number)
        claim(sets, B, b"b", b"1", number=number, wait_ms=1000)
        sets.run(A, "release_set", b"a")
        sets.run(B, "release_set", b"b")
    assert len(sets.timers) <= 1


def test_a_claim_that_is_taken_back_leaves_nothing_behind(sets):
    """Whether it waits or was granted in the meantime."""
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    sets.run(B, "cancel", 1)
    assert len(sets.machine.waiters) == 0
    claim(sets, B, b"b", b"1", number=2)
    sets.run(A, "cancel", 1)
    assert answers(sets) == [(B, 2, sets.index)]
    sets.run(B, "cancel", 2)
    sets.run(B, "cancel", 99)
    assert not sets.machine.owners


def test_one_release_serves_everybody_who_can_be_served(sets):
    join(sets, (A, b"a"), (B, b"b"), (C, b"c"))
    claim(sets, A, b"a", b"1", b"2")
    claim(sets, B, b"b", b"1")
    claim(sets, C, b"c", b"2")
    sets.run(A, "release_set", b"a")
    assert answers(sets) == [(B, 1, sets.index), (C, 1, sets.index)]


def test_those_who_divide_differently_never_hold_the_same(sets):
    """A wrong division costs progress until the members change, never more than that."""
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1", b"2")
    assert claim(sets, B, b"b", b"2", b"3", wait_ms=100) is None
    sets.pass_ms(100)
    assert sets.machine.owners == {b"1": b"a", b"2": b"a"}


def test_a_delete_is_told_to_members_and_to_who_waits(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    sets.machine.deleted(Commit(99, 99, 1))
    sets._take()
    assert sets.told() == [
        ([B], ["answer", [1, None, DELETED, ROWS[DELETED].sentence]]),
        ([A, B], ["change", ["removed", None, None, GONE]]),
    ]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("join", ("a", 1)),
        ("join", (b"", 1)),
        ("join", (b"x" * 301, 1)),
        ("claim", (2, None, b"x", 1, [b"1"])),
        ("claim", (2, -1, b"a", 1, [b"1"])),
        ("claim", (2, None, b"a", 1, [1])),
        ("claim", (2, None, b"a", 1, [b"1", b"1"])),
        ("claim", (2, None, b"a", 1, b"1")),
        ("claim", (7, None, b"a", 1, [b"1"])),
    ],
)
def test_what_is_no_argument_changes_nothing(sets, name, arguments):
    join(sets, (B, b"b"), (A, b"c"), (A, b"a"))
    claim(sets, B, b"b", b"1")
    claim(sets, A, b"c", b"1", number=7)
    before = repr(vars(sets.machine))
    with pytest.raises((TypeError, ValueError)):
        sets.run(A, name, *arguments)
    assert repr(vars(sets.machine)) == before


def test_a_member_has_one_claim(sets):
    join(sets, (A, b"a"), (B, b"b"))
    claim(sets, A, b"a", b"1")
    claim(sets, B, b"b", b"1")
    with pytest.raises(ValueError, match="a claim that waits"):
        claim(sets, B, b"b", b"2", number=2)


def test_there_are_bounds(sets, monkeypatch):
    monkeypatch.setattr("ocelog.shard.machines.set_partitioner.MEMBERS_MAX", 2)
    monkeypatch.setattr("ocelog.shard.machines.set_partitioner.ITEMS_MAX", 2)
    join(sets, (A, b"a"), (B, b"b"))
    with pytest.raises(ValueError, match="at most 2 members"):
        sets.run(C, "join", b"c", 1)
    claim(sets, A, b"a", b"1")
    with pytest.raises(ValueError, match="at most 2 items"):
        claim(sets, B, b"b", b"2", b"3")
    assert claim(sets, A, b"a", b"1", b"2", number=2) == [sets.index]


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        [[["a", A, 1, 0, [], None, None]], 1, [], [], None],
        [[[b"a", A, 1, 5, [b"1"], 1, None]], 5, [], [], None],
        [[[b"a", A, 1, 5, [b"1"], 1, None], [b"b", B, 1, 5, [b"1"], 1, None]], 5, [b"1"], [], None],
        [[[b"a", A, 1, 0, [], 1, [b"1"]]], 5, [], [], None],
        [[], 0, [], [[1, 1, 5, None]], None],
        [[], "0", [], [], None],
        [[], 0, [], [], "1"],
    ],
)
def test_a_snapshot_is_not_believed(state):
    with pytest.raises((TypeError, ValueError)):
        SetPartitionerMachine().install(state)


STEP = st.one_of(
    st.tuples(st.just("join"), st.sampled_from((A, B, C))),
    st.tuples(st.sampled_from(("part", "end", "release", "cancel")), st.sampled_from((A, B, C))),
    st.tuples(st.just("claim"), st.sampled_from((A, B, C)), st.sets(st.sampled_from((b"1", b"2", b"3")))),
    st.tuples(st.just("pass"), st.sampled_from((1, 50))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_no_item_is_ever_held_by_two_that_may_know_it(steps):
    """Told by the answers alone: who was granted an item holds it until it gives it up itself, or its session ends."""
    sets, held, tokens = Driver(SetPartitionerMachine), {}, {}
    for number, (what, who, *rest) in enumerate(steps):
        id, granted = b"m%d" % who, []
        if what == "pass":
            sets.pass_ms(who)
        elif what == "join" and id not in sets.machine.members:
            sets.run(who, "join", id, 1)
        elif id in sets.machine.members:
            member = sets.machine.members[id]
            if what == "claim" and member.wanted is None:
                held.pop(who, None)
                items = sorted(rest[0])
                result = sets.run(who, "claim", number, 40, id, sets.machine.round, items)
                granted += [(who, items, result[0])] if result and result[0] else []
            elif what == "end":
                held.pop(who, None)
                sets.end(who)
            elif what in ("part", "release", "cancel"):
                held.pop(who, None)
                arguments = {"part": ("part", id), "release": ("release_set", id), "cancel": ("cancel", member.claim)}
                sets.run(who, *arguments[what])
        granted += [(who, sets.machine.members[b"m%d" % who].held, token) for who, _, token in answers(sets) if token]
        for who, items, token in granted:
            assert not set(items) & {item for others in held.values() for item in others}
            assert all(token > tokens.get(item, 0) for item in items)
            held[who] = items
            tokens |= dict.fromkeys(items, token)
        check(sets)


def test_a_number_that_two_claims_of_a_session_have_is_taken_back_for_both(sets):
    """A client that counts wrongly: were one of the claims left behind, no replica could restore the snapshot."""
    join(sets, (A, b"a"), (A, b"b"), (B, b"c"))
    claim(sets, B, b"c", b"2")
    assert claim(sets, A, b"a", b"1", number=5) == [sets.index]
    assert claim(sets, A, b"b", b"2", number=5) is None
    sets.run(A, "cancel", 5)
    check(sets)
    assert sets.ask("allotments") == [[b"a", 0, []], [b"b", 0, []], [b"c", 4, [b"2"]]]
    sets.end(A)
    assert sets.ask("all") == [sets.index, [b"c"]]


def test_claims_that_wait_are_found_without_looking_at_all_members_of_their_session(sets):
    """One session may be every member."""
    join(sets, (B, b"z"), *((A, b"%d" % number) for number in range(500)))
    claim(sets, B, b"z", b"1")
    for number in range(500):
        claim(sets, A, b"%d" % number, b"1", number=number)
    looked_at = Counting(sets.machine.members)
    sets.machine.members = looked_at
    sets.run(A, "part", b"0")
    assert looked_at.count < 2000, "once or twice for each claim"


class Counting(dict):
    """Counts how often something is looked up."""

    count = 0

    def __getitem__(self, key):
        self.count += 1
        return super().__getitem__(key)
