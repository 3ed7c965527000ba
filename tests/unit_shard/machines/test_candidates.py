"""The line of candidates alone: who leads, who follows, and a term per leader."""

from __future__ import annotations

import pytest
from ocelog.shard.machines.candidates import Candidates, Leader


def candidates_of(*ids):
    """These, of which the first leads since entry 1."""
    candidates = Candidates()
    for id in ids:
        candidates.add(id)
    assert candidates.elect(1) is bool(ids)
    return candidates


def test_the_first_in_line_leads_in_the_term_of_the_entry():
    candidates = Candidates()
    assert (candidates.leadership(), candidates.next(), candidates.elect(7)) == (None, None, False)
    candidates.add(b"a")
    candidates.add(b"b")
    assert candidates.elect(8)
    assert candidates.leadership() == Leader(b"a", 8)
    assert not candidates.elect(9)
    assert (candidates.term, candidates.next(), len(candidates), b"b" in candidates) == (8, b"b", 2, True)


def test_who_goes_is_followed_by_the_next_in_a_new_term():
    candidates = candidates_of(b"a", b"b", b"c")
    candidates.remove(b"b")
    assert not candidates.elect(5)
    candidates.remove(b"a")
    assert candidates.elect(6)
    assert candidates.leadership() == Leader(b"c", 6)
    candidates.remove(b"c")
    assert not candidates.elect(7)
    assert (candidates.leadership(), candidates.term) == (None, 6)


def test_who_goes_and_comes_back_in_one_entry_leads_in_another_term():
    candidates = candidates_of(b"a")
    candidates.remove(b"a")
    candidates.add(b"a")
    assert candidates.elect(2)
    assert candidates.leadership() == Leader(b"a", 2)


def test_who_is_anointed_leads_at_once_and_the_old_leader_is_next():
    candidates = candidates_of(b"a", b"b", b"c")
    assert candidates.anoint(b"c")
    assert candidates.elect(5)
    assert (list(candidates), candidates.leadership()) == ([b"c", b"a", b"b"], Leader(b"c", 5))
    assert not candidates.anoint(b"c")
    assert not candidates.anoint(b"x")
    assert not candidates.elect(6)


def test_who_is_promoted_is_next_and_the_leader_stays():
    candidates = candidates_of(b"a", b"b", b"c", b"d")
    assert candidates.promote(b"d")
    assert list(candidates) == [b"a", b"d", b"b", b"c"]
    assert [candidates.promote(id) for id in (b"a", b"d", b"x")] == [False, False, False]
    assert not candidates.elect(5)


def test_who_is_demoted_is_last_and_the_leader_stays():
    candidates = candidates_of(b"a", b"b", b"c")
    assert candidates.demote(b"b")
    assert list(candidates) == [b"a", b"c", b"b"]
    assert [candidates.demote(id) for id in (b"a", b"b", b"x")] == [False, False, False]
    assert not candidates.elect(5)


def test_two_leaders_of_one_entry_are_a_mistake():
    candidates = candidates_of(b"a", b"b")
    candidates.remove(b"a")
    with pytest.raises(AssertionError, match="term 1 cannot be followed by term 1"):
        candidates.elect(1)


def test_a_snapshot_is_the_whole_state():
    candidates = candidates_of(b"a", b"b", b"c")
    candidates.promote(b"c")
    other = Candidates()
    other.install(candidates.state())
    assert repr(other) == repr(candidates)
    assert (other.leadership(), list(other)) == (Leader(b"a", 1), [b"a", b"c", b"b"])
    for gone in (b"a", b"b", b"c"):
        candidates.remove(gone)
    other.install(candidates.state())
    assert (other.leadership(), other.term, len(other)) == (None, 1, 0)


@pytest.mark.parametrize(
    "state", [None, [[]], [[b"a"], 0], [[b"a", b"a"], 1], [["a"], 1], [[b"a"], None], [b"a", 1], [[], -1]]
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        Candidates().install(state)
