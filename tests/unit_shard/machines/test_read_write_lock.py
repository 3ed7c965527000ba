"""The read-write lock's machine alone: readers together, a writer alone, and nobody passed over."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.shard.machines.read_write_lock import ReadWriteLockMachine

from .door import Door


@pytest.fixture
def door(entries, kit):
    return Door(entries, kit, "read_write_lock")


def test_readers_hold_it_together_and_a_writer_alone(door):
    assert door.run(0, "read", 1, 0) == [[door.index, door.sessions[0], 1]]
    assert door.run(1, "read", 1, 0) == [[door.index, door.sessions[1], 1]]
    assert door.run(2, "write", 1, 0) == [None]
    assert door.run(0, "unlock", 1) is True
    assert door.run(2, "write", 2, 0) == [None]
    door.run(1, "unlock", 1)
    assert door.run(2, "write", 3, 0) == [[door.index, door.sessions[2], 3]]
    assert door.run(0, "read", 2, 0) == [None] and door.run(0, "write", 3, 0) == [None]


def test_a_reader_that_comes_while_a_writer_waits_goes_behind_it(door):
    """Writers starve where readers may always join readers."""
    door.run(0, "read", 1, None)
    assert door.run(1, "write", 1, None) is None
    assert door.run(2, "read", 1, None) is None
    assert door.run(0, "read", 2, 0) == [None]
    door.run(0, "unlock", 1)
    assert door.holders == [(1, 1)]
    written = door.index
    door.run(1, "unlock", 1)
    assert door.holders == [(2, 1)] and door.answers(2) == [[1, [door.index, door.sessions[2], 1]]]
    assert door.index > written


def test_readers_in_a_row_are_let_in_by_one_entry(door):
    door.run(0, "write", 1, None)
    for who, number in ((1, 1), (2, 1), (1, 2)):
        door.run(who, "read", number, None)
    door.run(0, "write", 2, None)
    door.run(2, "read", 2, None)
    door.run(0, "unlock", 1)
    assert door.holders == [(1, 1), (2, 1), (1, 2)] and door.waiters == [(0, 2), (2, 2)]
    assert {holder.index for holder in door.machine.holders} == {door.index}


@pytest.mark.parametrize("how", ["cancelled", "ended", "late"])
def test_readers_behind_a_writer_that_waits_no_more_are_let_in(door, how):
    door.run(0, "read", 1, None)
    door.run(1, "write", 1, 100)
    door.run(2, "read", 1, None)
    if how == "cancelled":
        door.run(1, "cancel", 1)
    elif how == "ended":
        door.end(1)
    else:
        door.run(0, "write", 9, 0, pass_ms=100)
        assert door.answers(1) == [[1, None]]
    assert door.holders == [(0, 1), (2, 1)] and not door.machine.waiters


def test_the_end_of_a_session_gives_back_all_it_held(door):
    door.run(0, "read", 1, None)
    door.run(0, "read", 2, None)
    door.run(1, "write", 1, None)
    door.end(0)
    assert door.holders == [(1, 1)]


def test_a_cancel_that_crosses_the_grant_gives_it_back(door):
    door.run(0, "write", 1, None)
    door.run(1, "write", 1, None)
    door.run(0, "unlock", 1)
    door.run(1, "cancel", 1)
    assert not door.holders and not any(map(door.machine.watches, door.sessions))


def test_only_the_grant_that_holds_it_releases_it(door):
    door.run(0, "read", 1, None)
    assert door.run(0, "unlock", 2) is False and door.run(1, "unlock", 1) is False
    code, text = door.run(0, "read", 1, None)
    assert code and text.startswith("ValueError")
    assert door.holders == [(0, 1)]


def test_a_snapshot_is_the_whole_state(door):
    door.run(0, "read", 1, None)
    door.run(1, "write", 7, 500)
    door.run(2, "read", 7, None)
    state = msgpack.unpackb(msgpack.packb(door.machine.snapshot()))
    other = ReadWriteLockMachine()
    other.install(state)
    assert other.snapshot() == door.machine.snapshot() == state


READER = [1, 2, 9, False]


def test_what_is_refused_below_is_not_far_from_a_state():
    ReadWriteLockMachine().install([[READER], [[1, 3, 10, [None, True]]], []])


@pytest.mark.parametrize(
    "state",
    [
        [[[1, 2, 9, None]], [], []],
        [[READER], [[1, 3, 10, [None, False]]], []],
        [[READER], [[1, 3, 10, [None, 1]]], []],
        [[READER], [[1, 3, 10, True]], []],
    ],
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        ReadWriteLockMachine().install(state)
