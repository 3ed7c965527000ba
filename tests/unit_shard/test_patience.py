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


def after(patience, ticks):
    for _ in range(ticks):
        patience.tick()
    return patience


def test_a_session_is_silent_after_more_than_its_timeout():
    """Exactly the timeout is not too long yet."""
    patience = after(Patience(50), 20)
    assert not patience.is_silent(1, 1000)
    assert after(patience, 1).is_silent(1, 1000)


def test_each_session_has_the_patience_it_asked_for():
    """The timeout in the register entry counts."""
    patience = after(Patience(50), 50)
    assert patience.silent(table(1000, 5000, 2000)) == [1, 3]


def test_a_sign_of_life_starts_the_patience_again():
    """From the tick in which it was heard."""
    patience = after(Patience(50), 19)
    patience.hear(1)
    assert after(patience, 20).silent(table(1000, 1000)) == [2]


def test_sessions_that_are_gone_are_forgotten():
    """Nothing is kept for a session that is not open."""
    patience = Patience(50)
    for session in range(1000):
        patience.hear(session)
    patience.silent(table(1000))
    assert list(patience._heard) == [1]
