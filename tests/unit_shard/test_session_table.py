"""The replicated session table: results are kept for exactly the sequences in (acknowledged, last]."""

from __future__ import annotations

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
