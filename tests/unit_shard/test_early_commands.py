"""Early commands: a small budget of their own, dropped silently."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.frames import Request
from ocelog.shard import early as early_module
from ocelog.shard.early import Early, EarlyCommands
from ocelog.shard.outbox import Origin


def early(first, body=b"x", session=1, request=0):
    header = Request(1, 5, 0, 0, 0, 1, request, session, b"k" * 16, first, 0, 0, 1, 1000)
    return Early(Origin(b"router", 1), header, body)


@pytest.fixture
def kept():
    return EarlyCommands()


def test_the_lowest_is_taken_first_and_only_when_its_turn_has_come(kept):
    """`pop` gives what starts at or before the expected sequence."""
    for first in (7, 5, 9):
        kept.keep(early(first))
    assert kept.pop(1, 4) is None
    assert [kept.pop(1, 7).header.first_sequence for _ in range(2)] == [5, 7]
    assert kept.pop(1, 8) is None


def test_one_of_the_same_sequence_is_replaced(kept):
    """A repetition takes no further room."""
    kept.keep(early(5, request=1))
    kept.keep(early(5, request=2))
    assert kept.pop(1, 5).header.request == 2
    assert kept.pop(1, 5) is None


@pytest.mark.parametrize(("name", "bound"), [("MESSAGES_MAX", 2), ("BYTES_MAX", 2)])
def test_the_budget_is_shared_and_bounded(kept, monkeypatch, name, bound):
    """All sessions of a leader share it; beyond it messages are dropped."""
    monkeypatch.setattr(early_module, name, bound)
    for session in (1, 2, 3):
        kept.keep(early(5, session=session))
    assert [session in kept for session in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("name", ["MESSAGES_MAX", "BYTES_MAX"])
def test_taking_and_dropping_give_the_room_back(kept, monkeypatch, name):
    """Counts follow what is kept."""
    monkeypatch.setattr(early_module, name, 1)
    for _ in range(3):
        kept.keep(early(5))
        assert kept.pop(1, 5)
        kept.keep(early(6))
        assert [each.header.first_sequence for each in kept.drop(1)] == [6]
        kept.keep(early(7, session=2))
        assert len(kept.drop_all()) == 1


def test_dropping_a_session_that_keeps_nothing_is_nothing(kept):
    """No session, no error."""
    assert kept.drop(5) == []
