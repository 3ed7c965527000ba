"""Raft's safety properties under storms of every seed; a failing seed replays alone: `pytest -k "storm and seed17"`."""

from __future__ import annotations

import pytest

from .raft_storm import Storm

SEEDS = 200
SEEDS_PER_TEST = 20
STEPS = 1000


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST), ids=lambda first: f"seeds{first}")
def test_no_storm_breaks_a_safety_property(first):
    for seed in range(first, first + SEEDS_PER_TEST):
        try:
            Storm(seed).play(STEPS)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
