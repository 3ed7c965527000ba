"""The replicated session table: results are kept for exactly the sequences in (acknowledged, last], events above `handled`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.sessions import Session, SessionTable

KEY = b"k" * 16


def spend(session, size):
    """Spend the next sequence on a result of so many bytes, as the executor does."""
    session.last += 1
    session.results[session.last] = (session.last, bytes(size))
    session.result_bytes += size


@given(
    st.lists(st.one_of(st.integers(1, 50).map(lambda n: ("spend", n)), st.integers(0, 80).map(lambda n: ("ack", n))))
)
def test_results_are_kept_for_what_is_applied_and_not_acknowledged(steps):
    """The invariant of the module, and the bytes that go with it."""
    session = Session(1, "tester", KEY, 1000)
    for action, number in steps:
        if action == "spend":
            spend(session, number)
        else:
            session.acknowledge(number)
        assert session.acknowledged <= session.last
        assert sorted(session.results) == list(range(session.acknowledged + 1, session.last + 1))
        assert session.result_bytes == sum(len(result) for _, result in session.results.values())


EVENT_STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 9), st.integers(1, 3)),
    st.tuples(st.just("handle"), st.integers(0, 120), st.just(0)),
)


@given(st.lists(EVENT_STEPS, max_size=40))
def test_events_are_kept_for_what_is_published_and_not_handled(steps):
    """The invariants of the module: a chain of batches from the one behind `handled` to the last, with their sums."""
    session = Session(1, "tester", KEY, 1000)
    published = [0]
    for action, number, count in steps:
        if action == "publish":
            published.append(published[-1] + number)
            session.publish(published[-1], bytes(number), count)
        else:
            session.handle(number)
        kept = [index for index in published[1:] if index > session.handled]
        assert [batch.index for batch in session.events] == kept
        assert [batch.previous for batch in session.events] == published[len(published) - len(kept) - 1 : -1]
        assert session.handled <= session.event_index == published[-1]
        assert (session.handled == session.event_index) == (not session.events)
        assert session.event_bytes == sum(len(batch.payload) for batch in session.events)
        assert session.event_count == sum(batch.count for batch in session.events)


def test_sessions_without_events_share_nothing_that_can_be_changed():
    """The empty queue is everybody's; a session that is published to gets one of its own."""
    one, other = Session(1, "tester", KEY, 1000), Session(2, "tester", KEY, 1000)
    one.publish(5, b"x", 1)
    assert (len(one.events), len(other.events)) == (1, 0)
    one.handle(5)
    assert one.events is other.events
    one.events.append(None)
    assert len(other.events) == 0


def test_one_batch_for_each_index():
    """All events of an index are one batch, so a second one is a mistake."""
    session = Session(1, "tester", KEY, 1000)
    session.publish(5, b"x", 1)
    with pytest.raises(AssertionError, match="events of entry 5 after those of 5"):
        session.publish(5, b"x", 1)


def test_a_session_is_found_by_its_id():
    """The id is the index of the register entry."""
    table = SessionTable()
    session, new = table.register(7, "tester", KEY, 1000)
    assert (new, table.get(7), table.get(8), len(table)) == (True, session, None, 1)


def test_the_open_session_of_a_key_is_found_again():
    """Registering the same key again changes nothing."""
    table = SessionTable()
    session, _ = table.register(7, "tester", KEY, 1000)
    assert table.register(9, "other", KEY, 5) == (session, False)
    assert (session.client_id, session.timeout_ms, table.get(9)) == ("tester", 1000, None)


def test_a_session_that_ended_is_found_no_more():
    """Neither by id nor by key."""
    table = SessionTable()
    session, _ = table.register(7, "tester", KEY, 1000)
    assert table.end(7) is session
    assert (table.get(7), table.knows(KEY), table.end(7)) == (None, False, None)


def test_sessions_are_listed_in_the_order_of_their_indexes():
    """Every replica sees the same order."""
    table = SessionTable()
    for index in (3, 8, 12):
        table.register(index, "tester", bytes([index]) * 16, 1000)
    table.end(8)
    assert [session.id for session in table] == [3, 12]
