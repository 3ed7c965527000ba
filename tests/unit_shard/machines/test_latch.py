"""The latch machine alone: it never opens early, and opens for all who wait."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import SNAPSHOT, UNREGISTER
from ocelog.shard.machines.latch import COUNT_MAX, LatchMachine


class Latch:
    """One latch and three sessions; requests are numbered by the caller."""

    def __init__(self, entries, kit):
        self.entries, self.kit = entries, kit
        self.sessions = [entries.register(key=bytes((97 + n,)) * 16) for n in range(3)]
        self.resource = entries.open(self.sessions[0], 1, "latch")
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
    def status(self):
        return self.machine.status(None)


@pytest.fixture
def latch(entries, kit):
    return Latch(entries, kit)


def test_it_opens_for_all_who_wait_when_it_is_counted_down(latch):
    assert latch.run(0, "set_count", 2) is True
    assert latch.run(1, "wait_open", 1, None) is None
    assert latch.run(2, "wait_open", 1, 10_000) is None
    assert latch.run(0, "count_down", 1) == 1
    assert latch.answers(1) == latch.answers(2) == []
    assert latch.run(0, "count_down", 1) == 0
    assert latch.answers(1) == latch.answers(2) == [[1, True]]
    assert latch.run(0, "wait_open", 1, None) == [True]
    assert latch.status == [0, 0]


def test_a_latch_that_was_never_set_is_shut(latch):
    assert latch.run(0, "wait_open", 1, 0) == [None]
    assert latch.run(0, "wait_open", 2, None) is None
    assert latch.run(1, "count_down", 1)[1].startswith("ValueError")
    assert latch.status == [None, 1]
    latch.run(1, "set_count", 1)
    assert latch.answers(0) == []
    latch.run(1, "count_down", 1)
    assert latch.answers(0) == [[2, True]]


def test_the_count_is_set_once(latch):
    assert [latch.run(who, "set_count", 2) for who in range(3)] == [True, False, False]
    latch.run(0, "count_down", 2)
    assert latch.run(1, "set_count", 5) is False, "an open latch is not shut by who comes late"
    assert latch.status == [0, 0]


def test_more_than_the_count_is_no_error(latch):
    latch.run(0, "set_count", 3)
    assert latch.run(0, "count_down", 5) == 0
    assert latch.run(0, "count_down", 1) == 0


def test_a_reset_shuts_it_and_those_who_wait_go_on_waiting(latch):
    latch.run(0, "set_count", 1)
    latch.run(1, "wait_open", 1, None)
    latch.run(0, "reset", 2)
    assert latch.run(0, "count_down", 1) == 1
    assert latch.answers(1) == []
    latch.run(0, "count_down", 1)
    assert latch.answers(1) == [[1, True]]
    latch.run(0, "reset", None)
    assert latch.status == [None, 0]
    assert latch.run(2, "set_count", 1) is True


@pytest.mark.parametrize(
    ("operation", "argument", "error"),
    [
        ("set_count", 0, "ValueError"),
        ("set_count", COUNT_MAX + 1, "ValueError"),
        ("count_down", 0, "ValueError"),
        ("count_down", -1, "ValueError"),
        ("reset", 0, "ValueError"),
        ("reset", "x", "TypeError"),
    ],
)
def test_counts_are_within_bounds(latch, operation, argument, error):
    latch.run(0, "set_count", 1)
    code, text = latch.run(0, operation, argument)
    assert code and text.startswith(error)
    assert latch.status == [1, 0]


def test_a_wait_ends_with_its_time_and_leaves_nothing_behind(latch):
    latch.run(0, "set_count", 1)
    latch.run(1, "wait_open", 1, 100)
    latch.run(2, "wait_open", 1, 200)
    latch.run(0, "reset", 1, pass_ms=100)
    assert (latch.answers(1), latch.answers(2)) == ([[1, None]], [])
    assert not latch.machine.watches(latch.sessions[1])
    latch.run(0, "count_down", 1)
    latch.run(0, "reset", 1, pass_ms=500)
    assert latch.answers(2) == [[1, True]]
    assert not latch.machine.alarms and latch.entries.executor.timers.next_due is None


def test_a_request_is_taken_back(latch):
    latch.run(0, "set_count", 1)
    latch.run(1, "wait_open", 1, None)
    assert latch.run(1, "wait_open", 1, None)[1].startswith("ValueError")
    latch.run(1, "cancel", 1)
    latch.run(1, "cancel", 1)
    latch.run(0, "count_down", 1)
    assert latch.answers(1) == []


def test_the_end_of_a_session_takes_back_what_waits_and_not_what_it_counted(latch):
    latch.run(0, "set_count", 2)
    latch.run(1, "wait_open", 1, None)
    latch.run(1, "count_down", 1)
    latch.end(1)
    assert latch.status == [1, 0]


def test_a_snapshot_is_the_whole_state(latch):
    latch.run(0, "set_count", 2)
    latch.run(1, "wait_open", 3, 1000)
    state = msgpack.unpackb(msgpack.packb(latch.machine.snapshot()))
    other = LatchMachine()
    other.install(state)
    assert other.snapshot() == latch.machine.snapshot() == state


@pytest.mark.parametrize(
    "state", [[-1, [], []], ["2", [], []], [0, [[1, 1, 1, None]], []], [1, None, []], [1, [], "soon"], [1, []]]
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        LatchMachine().install(state)
