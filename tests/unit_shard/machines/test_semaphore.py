"""The semaphore's machine alone: never more permits than there are, and nobody passed over."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol.errors import MACHINE_ERROR
from ocelog.shard.machines.semaphore import CAPACITY_MAX, SemaphoreMachine

from .door import Door


@pytest.fixture
def door(entries, kit):
    return Door(entries, kit, "semaphore")


def test_permits_are_had_while_there_are_any(door):
    assert door.ask("permits") == [None, 0]
    assert door.run(0, "acquire", 1, 0, 1, 3) == [[door.index, door.sessions[0], 1]]
    assert door.run(1, "acquire", 1, 0, 2, 3) == [[door.index, door.sessions[1], 1]]
    assert door.run(2, "acquire", 1, 0, 1, 3) == [None]
    assert door.ask("permits") == [3, 3]
    assert door.run(1, "give_back", 1) is True and door.run(1, "give_back", 1) is False
    assert door.ask("permits") == [3, 1]


def test_who_wants_many_is_not_passed_over_by_those_who_want_few(door):
    door.run(0, "acquire", 1, None, 2, 3)
    assert door.run(1, "acquire", 1, None, 3, 3) is None
    assert door.run(2, "acquire", 1, 0, 1, 3) == [None]
    assert door.run(2, "acquire", 2, None, 1, 3) is None
    door.run(0, "give_back", 1)
    assert door.holders == [(1, 1)] and door.waiters == [(2, 2)]


@pytest.mark.parametrize("how", ["cancelled", "ended", "late"])
def test_those_behind_a_request_that_waits_no_more_are_let_in(door, how):
    """Timers were removed by the index current when they fired: [read]."""
    door.run(0, "acquire", 1, None, 2, 3)
    door.run(1, "acquire", 1, 100, 3, 3)
    door.run(2, "acquire", 1, None, 1, 3)
    if how == "cancelled":
        door.run(1, "cancel", 1)
    elif how == "ended":
        door.end(1)
    else:
        door.run(0, "acquire", 9, 0, 1, 3, pass_ms=100)
        assert door.answers(1) == [[1, None]]
    assert door.holders == [(0, 1), (2, 1)] and door.machine.held == 3


def test_one_release_lets_in_all_that_fit(door):
    door.run(0, "acquire", 1, None, 3, 3)
    for who, number in ((1, 1), (2, 1), (1, 2)):
        door.run(who, "acquire", number, None, 1, 3)
    door.run(2, "acquire", 2, None, 1, 3)
    door.run(0, "give_back", 1)
    assert door.holders == [(1, 1), (2, 1), (1, 2)] and door.waiters == [(2, 2)]


def test_the_end_of_a_session_gives_its_permits_back(door):
    """Permits return with the session of their holder."""
    door.run(0, "acquire", 1, None, 1, 3)
    door.run(0, "acquire", 2, None, 2, 3)
    door.run(0, "acquire", 3, None, 1, 3)
    door.run(1, "acquire", 1, None, 3, 3)
    door.end(0)
    assert door.holders == [(1, 1)] and door.machine.held == 3


def test_programs_that_disagree_about_the_capacity_are_told(door):
    """kazoo only logs that max_leases differ, and each contender goes by its own."""
    code, text = door.run(0, "acquire", 1, None, 1, None)
    assert (code, text) == (MACHINE_ERROR, "ValueError: the semaphore has no capacity yet: the first request names it")
    door.run(0, "acquire", 1, None, 1, 3)
    code, text = door.run(1, "acquire", 1, None, 1, 5)
    assert (code, text) == (MACHINE_ERROR, "ValueError: the semaphore has a capacity of 3, not 5")
    assert door.run(1, "acquire", 1, None, 2, None) is not None
    assert door.ask("permits") == [3, 3]


@pytest.mark.parametrize(
    ("permits", "capacity", "wait"),
    [(0, 3, None), (4, 3, None), (1, 0, 0), (1, CAPACITY_MAX + 1, 0), (1, "3", 0), (1, 3, -1)],
)
def test_what_can_never_be_had_is_refused_and_sets_nothing(door, permits, capacity, wait):
    code, _ = door.run(0, "acquire", 1, wait, permits, capacity)
    assert code and door.ask("permits") == [None, 0]


def test_more_capacity_lets_in_those_that_wait(door):
    door.run(0, "acquire", 1, None, 1, 1)
    door.run(1, "acquire", 1, None, 1, 1)
    assert door.run(2, "set_capacity", 2) == 1
    assert door.holders == [(0, 1), (1, 1)]


def test_less_capacity_takes_nothing_away_and_lets_nobody_in_before_enough_is_back(door):
    for number in (1, 2, 3):
        door.run(0, "acquire", number, None, 1, 3)
    door.run(1, "acquire", 1, None, 1, 3)
    assert door.run(2, "set_capacity", 1) == 3
    assert door.ask("permits") == [1, 3] and door.machine.held == 3
    door.run(0, "give_back", 1)
    door.run(0, "give_back", 2)
    assert door.holders == [(0, 3)]
    door.run(0, "give_back", 3)
    assert door.holders == [(1, 1)]


def test_who_waits_for_more_than_there_will_ever_be_is_refused(door):
    door.run(0, "acquire", 1, None, 1, 3)
    door.run(1, "acquire", 1, None, 3, 3)
    door.run(2, "acquire", 1, None, 1, 3)
    door.run(0, "set_capacity", 2)
    text = "ValueError: 3 permits cannot be had any more: the capacity is now 2"
    assert door.answers(1) == [[1, None, MACHINE_ERROR, text]]
    assert door.holders == [(0, 1), (2, 1)] and not door.waiters


def test_a_capacity_may_be_set_before_the_first_request(door):
    assert door.run(0, "set_capacity", 2) is None
    assert door.run(1, "acquire", 1, None, 2, None) == [[door.index, door.sessions[1], 1]]
    for wrong in (0, CAPACITY_MAX + 1):
        assert door.run(0, "set_capacity", wrong)[1].startswith("ValueError")
    assert door.ask("permits") == [2, 2]


def test_a_snapshot_is_the_whole_state(door):
    door.run(0, "acquire", 1, None, 2, 3)
    door.run(1, "acquire", 7, 500, 2, 3)
    state = msgpack.unpackb(msgpack.packb(door.machine.snapshot()))
    other = SemaphoreMachine()
    other.install(state)
    assert other.snapshot() == door.machine.snapshot() == state
    assert (other.held, other.capacity) == (2, 3)


HOLDER = [1, 2, 9, 2]


def test_what_is_refused_below_is_not_far_from_a_state():
    SemaphoreMachine().install([3, [HOLDER], [[1, 3, 10, [None, 2]]], []])


@pytest.mark.parametrize(
    "state",
    [
        [3, [[1, 2, 9, None]], [], []],
        [3, [[1, 2, 9, 0]], [], []],
        [3, [HOLDER], [[1, 3, 10, [None, 1]]], []],
        [3, [HOLDER], [[1, 3, 10, [None, True]]], []],
        ["3", [], [], []],
        [0, [], [], []],
        [None],
    ],
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        SemaphoreMachine().install(state)
