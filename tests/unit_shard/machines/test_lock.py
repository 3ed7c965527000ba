"""The lock machine alone: first come, first served, and nothing left behind."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol.errors import DELETED, ROWS
from ocelog.shard.machines.holding import STATUS_ROWS_MAX
from ocelog.shard.machines.lock import LockMachine

from .door import Door


@pytest.fixture
def door(entries, kit):
    return Door(entries, kit, "lock")


def test_a_free_lock_is_granted_at_once_with_the_index_as_token(door):
    assert door.run(0, "lock", 1, None) == [[door.index, door.sessions[0], 1]]


def test_who_does_not_want_to_wait_is_told_at_once(door):
    door.run(0, "lock", 1, None)
    assert door.run(1, "lock", 1, 0) == [None]
    assert len(door.machine.waiters) == 0


def test_waiters_are_served_in_their_order_with_growing_tokens(door):
    tokens = [door.run(0, "lock", 1, None)[0][0]]
    assert door.run(1, "lock", 1, None) is None
    assert door.run(2, "lock", 1, None) is None
    for who, following in ((0, 1), (1, 2)):
        assert door.run(who, "unlock", 1) is True
        assert door.answers(following) == [[1, [door.index, door.sessions[following], 1]]]
        tokens.append(door.index)
    assert tokens == sorted(set(tokens))


def test_only_the_grant_that_holds_the_lock_releases_it(door):
    """Copycat's unlock did not check the id: [read]."""
    door.run(0, "lock", 1, None)
    door.run(0, "lock", 2, None)
    assert door.run(1, "unlock", 1) is False
    assert door.run(0, "unlock", 2) is False
    assert door.holders == [(0, 1)]


def test_waiters_of_ended_sessions_are_dropped_and_not_granted(door):
    """Queued commits of dead sessions were not closed: [read]."""
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, None)
    door.run(2, "lock", 1, None)
    door.end(1)
    assert len(door.machine.waiters) == 1
    door.run(0, "unlock", 1)
    assert door.holders[0][0] == 2


def test_the_end_of_the_holders_session_grants_to_the_next(door):
    door.run(0, "lock", 1, None)
    door.run(0, "lock", 2, None)
    door.run(1, "lock", 1, None)
    door.end(0)
    assert list(door.machine.holders) == [(door.sessions[1], 1, door.index, None)]


def test_a_timer_ends_the_wait_that_armed_it_and_no_other(door):
    """Timers were removed by the index current when they fired: [read]."""
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, 100)
    door.run(2, "lock", 1, 1000)
    door.run(1, "cancel", 1)
    door.run(1, "lock", 2, 500)
    door.run(0, "lock", 9, 0, pass_ms=100)
    assert len(door.machine.waiters) == 2
    door.run(0, "lock", 10, 0, pass_ms=400)
    assert (door.answers(1), door.answers(2)) == ([[2, None]], [])
    door.run(0, "unlock", 1)
    assert door.holders[0][0] == 2


def test_a_wait_that_was_granted_is_not_given_up(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, 100)
    door.run(0, "unlock", 1)
    door.run(0, "lock", 2, 0, pass_ms=200)
    assert door.holders[0][0] == 1


def test_a_cancel_that_crosses_the_grant_gives_it_back(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, None)
    door.run(0, "unlock", 1)
    door.run(1, "cancel", 1)
    assert door.holders == []
    door.run(1, "cancel", 1)
    assert not any(map(door.machine.watches, door.sessions))


def test_a_number_that_holds_or_waits_is_not_taken_again(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, None)
    for who in (0, 1):
        code, text = door.run(who, "lock", 1, None)
        assert code and text.startswith("ValueError")


def test_a_snapshot_is_the_whole_state(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 7, None)
    state = msgpack.unpackb(msgpack.packb(door.machine.snapshot()))
    other = LockMachine()
    other.install(state)
    assert other.snapshot() == door.machine.snapshot() == state


def test_waits_that_were_served_leave_no_timers_behind(door):
    door.run(0, "lock", 1, None)
    for number in range(2, 20):
        door.run(0, "lock", number, 3_600_000)
        door.run(0, "unlock", number - 1)
    assert len(door.entries.executor.timers._unowned) == 1


def test_who_waits_and_who_holds_is_told_when_it_is_deleted(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 7, None)
    refused = [None, DELETED, ROWS[DELETED].sentence]
    assert door.delete() == [(1, [7, *refused]), (0, [1, *refused])]


def test_the_status_tells_who_holds_and_who_waits(door):
    door.run(0, "lock", 1, None)
    token = door.index
    door.run(1, "lock", 7, None)
    rows = [[token, door.sessions[0], 1, None]], [[door.index, door.sessions[1], 7, None]]
    assert door.ask("status") == [*rows, 1, 1]
    for number in range(8, 8 + STATUS_ROWS_MAX):
        door.run(1, "lock", number, None)
    status = door.ask("status")
    assert (len(status[1]), status[2:]) == (STATUS_ROWS_MAX, [1, STATUS_ROWS_MAX + 1])


HOLDER = [1, 2, 9, None]
WAITER = [1, 3, 10, [None, None]]


def test_what_is_refused_below_is_not_far_from_a_state():
    LockMachine().install([[HOLDER], [WAITER], [20, 10]])


@pytest.mark.parametrize(
    "state",
    [
        [[], [WAITER], []],
        [[[1, 2, 9, True]], [], []],
        [[[1, "x", 9, None]], [], []],
        [[HOLDER], [[1, 3, 10, None]], []],
        [[HOLDER], [[1, 3, 10, ["soon", None]]], []],
        [[HOLDER, HOLDER], [], []],
        [[HOLDER], [WAITER], "soon"],
        [[HOLDER], [WAITER], [10, 20]],
        [[HOLDER], [WAITER], ["10"]],
        [None, [], []],
        [[]],
    ],
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        LockMachine().install(state)
