"""Members whose digests differ from the majority's are found, and nobody is blamed without a majority."""

from __future__ import annotations

import pytest
from ocelog.shard.divergence import KEPT, Diverged, Divergence

VOTERS = (0, 1, 2)
ONE, TWO, THREE = (bytes([number]) * 12 for number in (1, 2, 3))


def leader() -> Divergence:
    return Divergence(shard=0, member=0)


def test_equal_digests_say_nothing():
    divergence = leader()
    for member in VOTERS:
        assert divergence.told(member, 100, ONE, VOTERS) == []
    assert divergence.disagreeing == ()
    assert (divergence.compared, divergence.differing) == (3, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_who_differs_from_a_majority_is_told_its_digest(order):
    divergence = leader()
    divergence.note(100, ONE)
    told = [each for member in order for each in divergence.told(member, 100, TWO if member == 2 else ONE, VOTERS)]
    assert told == [(2, ONE)]
    assert divergence.disagreeing == (2,)
    assert (divergence.compared, divergence.differing) == (3, 1)


def test_the_odd_one_stops_also_when_it_leads():
    divergence = leader()
    divergence.note(100, TWO)
    divergence.told(0, 100, TWO, VOTERS)
    divergence.told(1, 100, ONE, VOTERS)
    with pytest.raises(Diverged, match=r"replica 0.*entry 100.*020202"):
        divergence.told(2, 100, ONE, VOTERS)


def test_without_a_majority_the_difference_is_shown_and_nobody_blamed():
    divergence = leader()
    divergence.note(100, TWO)
    assert divergence.told(0, 100, TWO, VOTERS) == []
    assert divergence.told(1, 100, ONE, VOTERS) == []
    assert divergence.disagreeing == (0, 1)


def test_a_difference_is_forgotten_once_all_agree_again():
    divergence = leader()
    for member in VOTERS:
        divergence.told(member, 100, TWO if member == 2 else ONE, VOTERS)
    for member in (0, 1):
        divergence.told(member, 200, THREE, VOTERS)
    assert divergence.disagreeing == (2,)
    divergence.told(2, 200, THREE, VOTERS)
    assert divergence.disagreeing == ()


def test_digests_of_different_indexes_are_not_compared():
    divergence = leader()
    for index, digest in ((100, ONE), (200, THREE)):
        for member in VOTERS:
            assert divergence.told(member, index, digest, VOTERS) == []


def test_a_member_judges_itself_by_what_the_leader_says():
    follower = Divergence(shard=0, member=2)
    follower.note(100, TWO)
    follower.judged(100, TWO)
    follower.judged(200, THREE)  # not computed here yet
    with pytest.raises(Diverged):
        follower.judged(100, ONE)


def test_what_is_remembered_is_bounded():
    divergence = leader()
    for index in range(100, 100 * (KEPT + 10), 100):
        divergence.note(index, ONE)
        divergence.told(1, index, ONE, VOTERS)
    assert len(divergence._own) == len(divergence._told) == KEPT
