"""The lock machine alone: first come, first served, and nothing left behind."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import SNAPSHOT, UNREGISTER
from ocelog.shard.machines.lock import LockMachine


class Door:
    """One lock and three sessions; requests are numbered by the caller."""

    def __init__(self, entries, kit):
        self.entries, self.kit = entries, kit
        self.sessions = [entries.register(key=bytes((97 + n,)) * 16) for n in range(3)]
        self.resource = entries.open(self.sessions[0], 1, "lock")
        self._sequences = dict.fromkeys(self.sessions, 1) | {self.sessions[0]: 2}

    @property
    def machine(self):
        return self.entries.executor.resources[self.resource].machine

    def run(self, who, name, *arguments, pass_ms=0):
        session = self.sessions[who]
        sequence = self._sequences[session]
        self._sequences[session] += 1
        operation = self.kit.operation(self.resource, name, *arguments)
        code, value = self.entries.command(session, sequence, operation, pass_ms=pass_ms)
        return value if code == 0 else (code, value)

    def end(self, who):
        self.entries.add((UNREGISTER, SNAPSHOT, 0, self.sessions[who], 0, b""))

    def answers(self, who):
        batches = self.entries.executor.sessions.get(self.sessions[who]).events
        return [event.value for batch in batches for event in unpack_batch(batch.payload)]

    @property
    def index(self):
        return len(self.entries.log)


@pytest.fixture
def door(entries, kit):
    return Door(entries, kit)


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
    assert door.machine.holder.number == 1


def test_waiters_of_ended_sessions_are_dropped_and_not_granted(door):
    """Queued commits of dead sessions were not closed: [read]."""
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, None)
    door.run(2, "lock", 1, None)
    door.end(1)
    assert len(door.machine.waiters) == 1
    door.run(0, "unlock", 1)
    assert door.machine.holder.session == door.sessions[2]


def test_the_end_of_the_holders_session_grants_to_the_next(door):
    door.run(0, "lock", 1, None)
    door.run(0, "lock", 2, None)
    door.run(1, "lock", 1, None)
    door.end(0)
    assert door.machine.holder == (door.sessions[1], 1, door.index, None)


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
    assert door.machine.holder.session == door.sessions[2]


def test_a_wait_that_was_granted_is_not_given_up(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, 100)
    door.run(0, "unlock", 1)
    door.run(0, "lock", 2, 0, pass_ms=200)
    assert door.machine.holder.session == door.sessions[1]


def test_a_cancel_that_crosses_the_grant_gives_it_back(door):
    door.run(0, "lock", 1, None)
    door.run(1, "lock", 1, None)
    door.run(0, "unlock", 1)
    door.run(1, "cancel", 1)
    assert door.machine.holder is None
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


@pytest.mark.parametrize("state", [[None, [[1, 1, 1, None]]], [[1, 2], []], [[1, 2, "x"], []], [None, None], [None]])
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        LockMachine().install(state)
