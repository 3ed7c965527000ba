"""Raft's safety properties under storms of every seed; the seed that fails is named: `Storm(seed, churn=...).play(STEPS)`."""

from __future__ import annotations

import pytest

from .raft_storm import Storm

SEEDS = 120
SEEDS_PER_TEST = 20
STEPS = 1000


@pytest.mark.parametrize("churn", [False, True], ids=["storm", "churn"])
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST), ids=lambda first: f"seeds{first}")
def test_no_storm_breaks_a_safety_property(first, churn):
    for seed in range(first, first + SEEDS_PER_TEST):
        try:
            Storm(seed, churn=churn).play(STEPS)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_nobody_is_elected_beside_a_leader_with_a_lease():
    """Clocks run evenly and pledges are as short as they may be, while connections break all the time."""
    storms = [Storm(seed, churn=seed % 2 == 1, leases=True) for seed in range(SEEDS_PER_TEST)]
    for seed, storm in enumerate(storms):
        try:
            storm.play(STEPS)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert min(storm.leases.held for storm in storms) > 100
