"""What is claimed of sessions, commands and events while entries are applied: each claim is one test, on a log written by hand
and on a replica that was rebuilt in the middle of it.
"""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import COMMAND, KEEP_ALIVE, MODE_AT, NOOP, RELEASE, SNAPSHOT, UNREGISTER
from ocelog.shard.capture import Capture
from ocelog.shard.executor import Executor
from ocelog.shard.machines.base import Commit, StateMachine, command
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.restoring import install_state

NOOP_RECORD = (NOOP, SNAPSHOT, 0, 0, 0, b"")


class Clock(StateMachine):
    """Publishes when it rings."""

    type_name = "clock"

    def __init__(self):
        super().__init__()
        self.rung = []

    @command(mode=SNAPSHOT)
    def ring_in(self, commit: Commit, delay_ms: int) -> None:
        self.schedule(commit.time + delay_ms, "ring", commit.session)

    def ring(self, commit: Commit, session: int) -> None:
        self.rung.append([commit.index, commit.time])
        self.publish(session, "rung", [commit.index, commit.time])

    def snapshot(self):
        return self.rung

    def install(self, state):
        self.rung = state


MACHINES = registry((*BUILT_IN, Clock))


class Shard:
    """A map with a writer and a listener, and a second replica that may be restarted from a snapshot and what is live."""

    def __init__(self, kit):
        self.kit = kit
        self.entries = kit.Entries(MACHINES)
        self.executor = self.entries.executor
        self.writer = self.entries.register()
        self.listener = self.entries.register(key=b"l" * 16)
        self.map = self.entries.open(self.writer, 1, "map", "map")
        self.entries.command(self.listener, 1, kit.operation(self.map, "listen"))
        self.released = set()

    def put(self, sequence, value, session=None):
        """One put, at whatever sequence; its result as the session keeps it."""
        operation = self.kit.operation(self.map, "put", b"k", value)
        return self.entries.command(session or self.writer, sequence, operation, mode=RELEASE, window=100)

    def heard(self, executor=None):
        """New values, as the listener was told of them."""
        session = (executor or self.executor).sessions.get(self.listener)
        return [event.value[3] for batch in session.events for event in unpack_batch(batch.payload)]

    def rebuilt(self):
        """A replica that starts from a snapshot of now and from the live entries, all that compaction leaves."""
        self.released.update(self.executor.take_released())
        capture = Capture(self.executor)
        while not capture.step():
            pass
        executor = Executor(MACHINES)
        restoring = install_state(executor, capture.index, capture.pieces)
        for index, entry in enumerate(self.entries.log, 1):
            if entry[MODE_AT] == RELEASE and index not in self.released:
                restoring.restore(memoryview(entry), [0])
        restoring.finish()
        return executor

    def agree(self, executor):
        """The other replica applies what it lacks; then both are equal in everything."""
        self.kit.apply(executor, self.entries.log[executor.applied_index :])
        executor.take_released()
        self.executor.take_released()
        assert self.kit.state_of(executor) == self.kit.state_of(self.executor)
        assert executor.digest == self.executor.digest


@pytest.fixture
def shard(kit):
    return Shard(kit)


def test_e1_a_repetition_answers_the_first_result_and_publishes_nothing(shard):
    """E1: each (session, sequence) changes state once; repeats get the first result, also after restart and compaction."""
    shard.put(2, b"1")
    first = shard.put(3, b"2")
    assert first == (errors.OK, b"1")
    assert shard.put(3, b"again") == first
    other = shard.rebuilt()
    assert shard.put(3, b"once more") == first
    assert shard.heard() == [b"1", b"2"]
    shard.agree(other)
    assert shard.heard(other) == [b"1", b"2"]


def test_e2_no_sequence_takes_effect_before_the_one_below_it(shard):
    """E2: sequence n+1 of a session never takes effect before n: a gap is an entry without effect, result and event."""
    other = shard.rebuilt()
    assert shard.put(3, b"too early") == (-1, None)
    assert shard.heard() == []
    shard.put(2, b"1")
    shard.put(3, b"2")
    assert shard.heard() == [b"1", b"2"]
    shard.agree(other)


def test_e4_an_ended_session_is_never_opened_again_by_a_command(shard):
    """E4: a command or an acknowledgement of a session that ended, or never was, has no effect and opens nothing."""
    shard.put(2, b"1")
    shard.entries.add((UNREGISTER, SNAPSHOT, 0, shard.writer, 0, b""))
    other = shard.rebuilt()
    assert shard.put(3, b"2") == (-1, None)
    assert shard.put(1, b"3", session=999) == (-1, None)
    shard.entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(shard.writer, 3, 99), (999, 1, 1)])))
    assert [session.id for session in shard.executor.sessions] == [shard.listener]
    assert shard.heard() == [b"1"]
    assert shard.executor.ended_records.get(shard.writer).last == 2
    shard.agree(other)


@pytest.mark.parametrize("back_ms", [-3_600_000, -1, 0])
def test_e6_timers_ring_at_the_same_index_everywhere(shard, kit, back_ms):
    """E6: log time never runs back, whatever time an entry has; the event of a timer is of the entry that reached its time."""
    clock = shard.entries.open(shard.writer, 2, "clock", "clock")
    shard.entries.command(shard.writer, 3, kit.operation(clock, "ring_in", 10))
    before = shard.rebuilt()
    due = shard.entries.time + 10
    shard.entries.add(NOOP_RECORD, pass_ms=9)
    shard.entries.add(NOOP_RECORD, pass_ms=back_ms)
    known = shard.executor.sessions.get(shard.writer)
    assert not known.events
    shard.entries.time = due
    index = shard.entries.add(NOOP_RECORD)
    shard.entries.add(NOOP_RECORD, pass_ms=back_ms)
    (batch,) = known.events
    assert (batch.index, unpack_batch(batch.payload)[0].value) == (index, [index, due])
    assert shard.executor.time == due
    shard.agree(before)
    shard.agree(shard.rebuilt())


def test_e9_a_replay_gives_the_same_bytes(shard):
    """E9: events come from committed entries alone; replayed from nothing or rebuilt, those unhandled are equal byte for byte."""
    for sequence in range(2, 12):
        shard.put(sequence, b"%d" % sequence)
    handled = shard.executor.sessions.get(shard.listener).events[3].index
    shard.entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(shard.listener, 0, handled)])))
    batches = list(shard.executor.sessions.get(shard.listener).events)
    assert len(batches) == 6
    replayed, rebuilt = Executor(MACHINES), shard.rebuilt()
    shard.agree(replayed)
    shard.agree(rebuilt)
    for executor in (replayed, rebuilt):
        assert list(executor.sessions.get(shard.listener).events) == batches


def test_e12_a_listener_that_is_gone_keeps_nothing_from_the_others(shard, kit):
    """E12: an event for a session that has ended does not stop delivery to others."""
    other = shard.entries.register(key=b"o" * 16)
    shard.entries.command(other, 1, kit.operation(shard.map, "listen", b"k"))
    machine = shard.executor.resources[shard.map].machine
    shard.entries.add((UNREGISTER, SNAPSHOT, 0, other, 0, b""))
    machine.listeners.listen(other, None)  # as a machine that forgot to drop it
    assert shard.put(2, b"1") == (errors.OK, None)
    assert shard.heard() == [b"1"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x03\xa6listen\x05",
        b"\x95\x03\xa6listen\xc0\xc0\xc0",
        b"\x92\x03\xa7publish",
    ],
)
def test_no_entry_about_events_crashes_a_replica(shard, data):
    """A bad entry that did reach the log is its caller's error, and everybody's results and events go on."""
    shard.entries.add((COMMAND, SNAPSHOT, 1, shard.writer, 2, data))
    assert shard.executor.sessions.get(shard.writer).results[2][1][0] != errors.OK
    shard.put(3, b"1")
    assert shard.heard() == [b"1"]
