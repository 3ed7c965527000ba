"""The seeds of every test run, and what makes them worth running: equal traces, real faults, checkers that see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from .breaking import Mutant
from .catalogue import CATALOGUE, judge
from .profiles import LOST, PROFILES, RESOURCES
from .simulation import Failure, run

SEEDS = 240
RESOURCE_SEEDS = 60
CHUNK = 10
ROOT = Path(__file__).resolve().parents[2]
KEPT = [line.split() for line in (ROOT / "tests/simulation/kept_seeds.txt").read_text().splitlines()]


def failures_of(seeds: range, profile: str = "swarm") -> list[str]:
    """Run these seeds; returns what failed, each with how to replay it."""
    failed = []
    for seed in seeds:
        try:
            run(seed, overrides=PROFILES[profile])
        except Failure as failure:
            failed.append(str(failure))
    return failed


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_seeds_keep_every_promise(first: int) -> None:
    """Whatever crashes, is lost or is cut off, every checker stays silent and every call ends."""
    failed = failures_of(range(first, first + CHUNK))
    assert not failed, "\n" + "\n".join(failed)


@pytest.mark.parametrize("first", range(0, RESOURCE_SEEDS, CHUNK))
def test_seeds_of_all_machines_keep_every_promise(first: int) -> None:
    """The same where clients wait, hold and delete."""
    failed = failures_of(range(first, first + CHUNK), "resources")
    assert not failed, "\n" + "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 15_000, 100))
def test_a_campaign_of_seeds_keeps_every_promise(first: int) -> None:
    """The same for longer."""
    failed = failures_of(range(first, first + 100))
    assert not failed, "\n" + "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "swarm"])
def test_a_campaign_on_each_subject_keeps_every_promise(profile: str) -> None:
    """Seeds narrowed to what makes that subject hard."""
    failed = failures_of(range(10_000, 10_400), profile)
    assert not failed, "\n" + "\n".join(failed)


@pytest.mark.parametrize(
    ("seed", "profile"), [(int(words[0]), words[1]) for words in KEPT if words and words[0] != "#"]
)
def test_seeds_that_once_failed_stay_fixed(seed: int, profile: str) -> None:
    """See kept_seeds.txt."""
    assert not failures_of(range(seed, seed + 1), profile)


def test_the_seeds_go_where_it_hurts() -> None:
    """Crashes, elections, installs and all the rest happen, so silence means something."""
    runs = [run(seed) for seed in range(20)]
    assert sum(each.restarts for each in runs) > 20
    assert sum(each.terms for each in runs) > 40
    assert sum(each.unknown for each in runs) > 5
    assert sum(each.answered for each in runs) > 2000
    counts = sum((each.counts for each in runs), Counter())
    rare = {
        "installs",
        "transfers from 0",
        "transfers from m",
        "combined",
        "wipes",
        "rotten bytes",
        "changes",
        "handovers",
    }
    assert not [what for what in rare if counts[what] < 3], counts
    often = ("snapshots", "rewritten", "rebuilds", "batches of events", "LINEARIZABLE commands")
    assert not [what for what in often if counts[what] < 30], counts
    some = ("BOUNDED_LINEARIZABLE reads", "SEQUENTIAL reads", "CAUSAL reads", "outcomes")
    assert not [what for what in some if counts[what] < 10], counts


def test_the_machines_are_used_as_applications_do() -> None:
    """Requests wait and are served, are taken back, and hold to the end of their sessions; resources go while they are used."""
    counts = sum((run(seed, overrides=RESOURCES).counts for seed in range(8)), Counter())
    often = {
        "requests that waited": 20,
        "requests taken back": 30,
        "held to the end of a session": 1,
        "deleted in use": 15,
    }
    assert not [what for what, least in often.items() if counts[what] < least], counts


TRACES = (
    "from tests.simulation.simulation import run; from tests.simulation.profiles import LOST, RESOURCES; "
    "traces = [run(seed, overrides=profile).trace for profile in (LOST, RESOURCES) for seed in (1, 2, 4)]"
)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_replays_exactly(hash_seed: str) -> None:
    """The trace of another process under another PYTHONHASHSEED is the same, event for event."""
    here = [run(seed, overrides=profile).trace for profile in (LOST, RESOURCES) for seed in (1, 2, 4)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    there = subprocess.run(
        [sys.executable, "-c", f"{TRACES}; print(traces)"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == str(here)


def named(mutants: Iterable[Mutant]) -> Callable[[Any], Any]:
    """One test for each."""
    return pytest.mark.parametrize("mutant", list(mutants), ids=lambda mutant: mutant.title.replace(" ", "-"))


@named(mutant for mutant in CATALOGUE if mutant.quick)
def test_a_break_is_caught(mutant: Mutant) -> None:
    """With the break in place, one of its checkers is the first to complain within the stated number of seeds."""
    verdict = judge(mutant)
    assert verdict.caught, str(verdict)


@pytest.mark.slow
@named(mutant for mutant in CATALOGUE if not mutant.quick)
def test_a_break_is_caught_in_the_end(mutant: Mutant) -> None:
    """The same for those that take longer to be noticed."""
    verdict = judge(mutant)
    assert verdict.caught, str(verdict)
