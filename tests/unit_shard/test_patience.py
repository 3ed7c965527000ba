"""Patience is counted in ticks that really ran."""

from __future__ import annotations

from ocelog.shard.sessions import SessionTable
from ocelog.shard.upkeep import Patience


def table(*timeouts):
    """Sessions 1, 2... with these timeouts."""
    sessions = SessionTable()
    for number, timeout_ms in enumerate(timeouts, 1):
        sessions.register(number, "tester", bytes([number]) * 16, timeout_ms)
    return sessions


def watching(sessions):
    """Patience with all of them."""
    patience = Patience(50)
    for session in sessions:
        patience.watch(session)
    return patience


def after(patience, ticks):
    for _ in range(ticks):
        patience.tick()
    return patience


def test_a_session_is_silent_after_more_than_its_timeout():
    """Exactly the timeout is not too long yet."""
    patience = after(Patience(50), 20)
    assert not patience.is_silent(1, 1000)
    assert after(patience, 1).is_silent(1, 1000)


def test_a_session_is_named_as_soon_as_it_is_silent():
    """Neither a tick too early nor a tick too late."""
    sessions = table(1000)
    patience = watching(sessions)
    assert after(patience, 20).silent(sessions) == []
    assert after(patience, 1).silent(sessions) == [1]


def test_each_session_has_the_patience_it_asked_for():
    """The timeout in the register entry counts."""
    sessions = table(1000, 5000, 2000)
    assert after(watching(sessions), 50).silent(sessions) == [1, 3]


def test_a_sign_of_life_starts_the_patience_again():
    """From the tick in which it was heard."""
    sessions = table(1000, 1000)
    patience = after(watching(sessions), 19)
    patience.hear(1)
    assert after(patience, 20).silent(sessions) == [2]
    assert sorted(after(patience, 1).silent(sessions)) == [1, 2]


def test_a_silent_session_is_named_until_it_is_heard():
    """What was suspected in vain is suspected again: its expiry may not have got into the log."""
    sessions = table(1000)
    patience = after(watching(sessions), 30)
    assert [after(patience, 5).silent(sessions) for _ in range(3)] == [[1], [1], [1]]
    patience.hear(1)
    assert after(patience, 20).silent(sessions) == []


def test_a_session_watched_twice_is_watched_once():
    """A repeated register finds the open session."""
    sessions = table(1000)
    patience = watching(sessions)
    after(patience, 10)
    patience.watch(next(iter(sessions)))
    assert after(patience, 20).silent(sessions) == []
    assert after(patience, 1).silent(sessions) == [1]


def test_sessions_that_are_gone_are_forgotten():
    """Nothing is kept for a session that is not open."""
    sessions = table(*[1000] * 100)
    patience = watching(sessions)
    for session in range(2, 101):
        sessions.end(session)
    patience.forget(50)
    after(patience, 25).silent(sessions)
    assert list(patience._heard) == [1]


def test_idle_ticks_look_at_nobody():
    """Ten thousand sessions that keep alive cost a look per session and timeout, not one per second."""
    sessions = table(*[30_000] * 200)
    patience = watching(sessions)
    looks = 0
    get = sessions.get

    def counting(session_id):
        nonlocal looks
        looks += 1
        return get(session_id)

    sessions.get = counting
    for second in range(60):
        after(patience, 20)
        if second % 10 == 0:
            for session in range(1, 201):
                patience.hear(session)
        assert patience.silent(sessions) == []
    assert looks <= 3 * 200
