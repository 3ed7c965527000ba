"""Campaigns go on where they were, failures become small files that fail again, and a break that nobody notices is told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from . import campaign, catalogue
from .__main__ import main
from .breaking import Mutant, broken
from .catalogue import CATALOGUE
from .scenario import Scenario
from .shrinking import shrink
from .swarm import Plan

ROOT = Path(__file__).resolve().parents[2]


def mutant(title: str) -> Mutant:
    """The deliberate break of that name."""
    return next(each for each in CATALOGUE if each.title == title)


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    """Seeds that are in the file are not run again, unless the code is another one or the line was cut off."""
    results = tmp_path / "results.jsonl"
    assert main(["--seeds", "0:2", "--results", str(results)]) == 0
    first = results.read_text()
    stale = json.loads(first.splitlines()[0]) | {"code": "other", "seed": 2}
    results.write_text(first + json.dumps(stale) + "\n" + first.splitlines()[0][:40] + "\n")
    arguments = ["-m", "tests.simulation", "--seeds", "0:3", "--results", str(results), "--jobs", "2"]
    printed = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = results.read_text().splitlines()
    assert [json.loads(lines[0])["seed"], json.loads(lines[1])["seed"], json.loads(lines[-1])["seed"]] == [0, 1, 2]
    assert len(lines) == 5
    assert "2 seeds of this code" in printed
    assert "3 seeds, 0 failed" in printed
    assert "simulated seconds" in printed and "operations answered" in printed


def test_a_campaign_of_minutes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins no seed when the time is over; without an end in seeds or minutes it is refused."""
    begun: list[int] = []

    def run_seed(seed: int, profile: str) -> dict[str, Any]:
        begun.append(seed)
        return {"seed": seed, "seconds": 1.0, "cpu": 0.1, "counts": {}, "faults": 0, "looks": 0}

    monkeypatch.setattr(campaign, "run_seed", run_seed)
    assert main(["--seeds", "7:", "--minutes", "0.001"]) == 0
    assert begun[0] == 7
    with pytest.raises(SystemExit):
        main(["--seeds", "7:"])


def test_a_failure_shrinks_to_a_small_file_that_fails_again(tmp_path: Path) -> None:
    """With the defect in place it fails with the same checker, with less going on; without, it does not."""
    broken_vote = mutant("the vote is not stored")
    with broken(broken_vote):
        found = next(
            (scenario, failure)
            for seed in range(broken_vote.seeds)
            if (failure := (scenario := Scenario(seed=seed)).failure()) is not None
        )
        smaller, tries = shrink(*found, seconds=6.0)
        smaller.save(tmp_path / "scenario.json")
        again = Scenario.load(tmp_path / "scenario.json")
        assert again == smaller
        failure = again.failure()
        assert failure is not None and failure.what == smaller.fails == "SyncedSurvives"
        assert main(["--scenario", str(tmp_path / "scenario.json")]) == 1
    assert tries > 5
    assert oddities(again.simulation().plan) < oddities(found[0].simulation().plan)
    assert again.failure() is None


def oddities(plan: Plan) -> int:
    """How many kinds of faults a plan has, and how many clients."""
    faults = [name for name, value in vars(plan).items() if name.endswith("_interval") and value]
    return len(faults) + plan.clients


def test_who_breaks_nothing_survives_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mutant that nobody notices fails the campaign, and so does one that only somebody else notices."""
    real = mutant("the vote is not stored")
    harmless = replace(real, title="nothing", edits=(), seeds=1)
    other = replace(real, title="seen by another", caught_by=("NobodyAtAll",))
    monkeypatch.setattr(catalogue, "CATALOGUE", (harmless, other, replace(real, quick=False)))
    assert catalogue.run_mutants(quick=True) == 1
    printed = capsys.readouterr().out
    assert "SURVIVES 1 seeds" in printed
    assert "NOBODY IT IS MEANT FOR" in printed
    assert "2 of 3 breaks, 2 not caught" in printed
