"""Every deliberate break in one list, and the campaign that demands that each is caught by the checker it is meant for.

A mutant that survives fails the campaign, as does one that somebody else notices first: then the checker that was to see it may
be asleep.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from . import test_event_stories, test_stories
from .breaking import Mutant, broken
from .compaction_mutants import COMPACTION_MUTANTS
from .event_mutants import EVENT_MUTANTS
from .mutants import MUTANTS
from .resource_mutants import RESOURCE_MUTANTS
from .simulation import Failure, quiet, run

CATALOGUE: tuple[Mutant, ...] = (*MUTANTS, *COMPACTION_MUTANTS, *EVENT_MUTANTS, *RESOURCE_MUTANTS)


class Verdict(NamedTuple):
    """What became of one mutant: the first complaint, after how many seeds (0: by a story), and at what cost."""

    title: str
    complaint: str | None
    caught: bool
    seeds: int
    cpu: float

    def __str__(self) -> str:
        how = "by a story" if not self.seeds else f"after {self.seeds} seed{'s' * (self.seeds > 1)}"
        if self.caught:
            return f"caught {how}, {self.cpu:.1f} s: {self.title}: {self.complaint:.90}"
        if self.complaint is None:
            return f"SURVIVES {self.seeds} seeds, {self.cpu:.1f} s: {self.title}"
        return f"caught by NOBODY IT IS MEANT FOR {how}: {self.title}: {self.complaint:.120}"


def judge(mutant: Mutant) -> Verdict:
    """Look for somebody who complains, with the break in place."""
    began, seeds = time.process_time(), 0
    complaint: str | None = None
    with broken(mutant), quiet():
        for seeds, complaint in complaints(mutant):  # noqa: B007 - the last one counts
            if complaint is not None:
                break
    caught = complaint is not None and any(name in complaint for name in mutant.caught_by)
    return Verdict(mutant.title, complaint, caught, seeds, time.process_time() - began)


def complaints(mutant: Mutant) -> Iterator[tuple[int, str | None]]:
    """After each seed, how many there were and the first line of what it had to say; the stories come before all."""
    for name in mutant.stories:
        yield from ((0, complaint) for complaint in told(name))
    for seed in range(0 if mutant.stories else mutant.seeds):
        try:
            run(seed, overrides=mutant.overrides)
        except Failure as failure:
            yield seed + 1, str(failure).splitlines()[0]
        else:
            yield seed + 1, None


def told(name: str) -> Iterator[str]:
    """Play one story, with all its parameters."""
    story = getattr(test_stories, name, None) or getattr(test_event_stories, name)
    marks = [mark for mark in getattr(story, "pytestmark", []) if mark.name == "parametrize"]
    for values in marks[0].args[1] if marks else [None]:
        try:
            story(values) if marks else story()
        except Exception as error:
            yield f"{type(error).__name__}: {error}"


def _judge_number(number: int) -> Verdict:
    return judge(CATALOGUE[number])


def run_mutants(*, quick: bool, jobs: int = 1) -> int:
    """Judge the quick ones, or all; prints each verdict, and returns the exit code."""
    numbers = [number for number, mutant in enumerate(CATALOGUE) if mutant.quick or not quick]
    bad, cpu = 0, 0.0
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else None
    try:
        for verdict in map(_judge_number, numbers) if pool is None else pool.map(_judge_number, numbers):
            print(verdict, flush=True)
            bad += not verdict.caught
            cpu += verdict.cpu
    finally:
        if pool is not None:
            pool.shutdown()
    print(f"{len(numbers)} of {len(CATALOGUE)} breaks, {bad} not caught by whom they are meant for; {cpu:.0f} s of CPU")
    return 1 if bad else 0
