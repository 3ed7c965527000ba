"""Records of ended sessions: what became of a sequence can be asked for an hour of log time, within bounds, everywhere alike."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.log.entry import KEEP_ALIVE, NOOP, SNAPSHOT, UNREGISTER
from ocelog.shard import ended
from ocelog.shard.capture import Capture
from ocelog.shard.ended import KEPT_MS, EndedSession, EndedSessions
from ocelog.shard.executor import Executor
from ocelog.shard.restoring import install_state

NOOP_RECORD = (NOOP, SNAPSHOT, 0, 0, 0, b"")


def restarted(entries, kit):
    """The state out of a snapshot."""
    entries.executor.take_released()
    capture = Capture(entries.executor)
    while not capture.step():
        pass
    executor = Executor(kit.MACHINES)
    install_state(executor, capture.index, capture.pieces).finish()
    return executor


@pytest.fixture
def session(entries, kit):
    """A session with three results, the first of them acknowledged."""
    session = entries.register()
    toy = entries.open(session, 1, "toy")
    for sequence, window in ((2, 2), (3, 2)):
        entries.command(session, sequence, kit.operation(toy, "tell", sequence), window=window)
    return session


@pytest.mark.parametrize("sequence", [0, 4], ids=["expired", "closed"])
def test_an_ended_session_leaves_its_last_sequence_and_its_results(entries, kit, session, sequence):
    """Those that were not acknowledged. The sequence that a client's own end has spent was no command."""
    known = entries.executor.sessions.get(session)
    results = dict(known.results)
    entries.add((UNREGISTER, SNAPSHOT, 1, session, sequence, b""), pass_ms=5)
    record = entries.executor.ended_records.get(session)
    assert record == EndedSession(
        session, kit.KEY, 3, 1, results, sum(len(r) for _, r in results.values()), entries.time
    )
    assert sorted(record.results) == [2, 3]
    assert entries.executor.sessions.get(session) is None
    assert restarted(entries, kit).ended_records.get(session) == record


def test_a_record_is_kept_for_an_hour_of_log_time(entries, kit, session):
    """Then it is forgotten, on a replica that was restarted meanwhile as on the others."""
    entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""))
    entries.add(NOOP_RECORD, pass_ms=KEPT_MS - 1)
    other = restarted(entries, kit)
    for executor in (entries.executor, other):
        assert executor.ended_records.get(session) is not None
    entries.add(NOOP_RECORD, pass_ms=1)
    kit.apply(other, entries.log[-1:])
    for executor in (entries.executor, other):
        assert (executor.ended_records.get(session), len(executor.ended_records), executor.ended_records.bytes) == (
            None,
            0,
            0,
        )


def test_a_key_that_is_registered_again_has_a_session_and_a_record(entries, session, kit):
    """The record is of the session, not of the key."""
    entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""))
    again = entries.register()
    executor = restarted(entries, kit)
    assert executor.sessions.get(again).key == executor.ended_records.get(session).key == kit.KEY


def test_an_open_session_has_no_record(entries, session):
    """Nor one that never was."""
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(session, 3, 0)])))
    assert entries.executor.ended_records.get(session) is None
    entries.add((UNREGISTER, SNAPSHOT, 0, 77, 0, b""))
    assert len(entries.executor.ended_records) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, KEPT_MS)), max_size=40))
def test_the_oldest_records_make_room(steps):
    """In number and in bytes; each bound is kept, and no younger record goes before an older one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ended, "RECORDS_MAX", 5)
        patch.setattr(ended, "BYTES_MAX", 50)
        records, time, added = EndedSessions(), 0, []
        for number, (size, wait) in enumerate(steps, 1):
            time += wait
            records.forget(time)
            record = EndedSession(number, b"k" * 16, 1, 0, {1: (number, bytes(size))}, size, time)
            records.add(record)
            added.append(record)
            kept = records.records()
            assert kept == added[len(added) - len(kept) :]
            assert len(kept) == len(records) <= 5
            assert records.bytes == sum(record.result_bytes for record in kept) <= 50
            assert all(record.ended_at > time - KEPT_MS for record in kept)
            assert all(records.get(record.id) == (record if record in kept else None) for record in added)
            dropped = added[: len(added) - len(kept)]
            if dropped and dropped[-1].ended_at > time - KEPT_MS:
                assert len(kept) == 5 or records.bytes + dropped[-1].result_bytes > 50


def test_a_record_that_is_too_large_is_none(monkeypatch):
    """The bound holds whatever comes."""
    monkeypatch.setattr(ended, "BYTES_MAX", 50)
    records = EndedSessions()
    for number, size in ((1, 10), (2, 51), (3, 50)):
        records.add(EndedSession(number, b"k" * 16, 1, 0, {1: (number, bytes(size))}, size, 0))
    assert [record.id for record in records.records()] == [3]
