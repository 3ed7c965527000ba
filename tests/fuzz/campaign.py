"""Seeded campaigns over the targets, and what they keep: an input that was a finding is run for ever after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NamedTuple

from . import behind, files, settings, wire
from .mutating import mutated, shrunk
from .target import INPUT_BYTES_MAX, Target, problem_of

CORPUS = Path(__file__).parent / "corpus"
MEMORY_EVERY = 64
"""Memory is measured for one input in so many: it takes ten times as long."""


class Finding(NamedTuple):
    """An input that a target does not take as it should, shrunk, and what happened."""

    target: str
    data: bytes
    problem: str


def all_targets() -> dict[str, Target]:
    """Every target by its name."""
    made = [target for room in (wire, files, settings, behind) for target in room.targets()]
    named = {target.name: target for target in made}
    assert len(named) == len(made), "two targets have one name"
    return named


def corpus_of(target: Target) -> list[bytes]:
    """What was a finding once."""
    return [path.read_bytes() for path in sorted((CORPUS / target.name).glob("*"))]


def inputs_of(target: Target, seed: int) -> Iterator[bytes]:
    """Inputs without end: of every two mutations one gets checksums that fit."""
    rng = Random(f"{target.name} {seed}")
    samples = [sample for sample in (*target.samples, *corpus_of(target)) if len(sample) <= INPUT_BYTES_MAX]
    while True:
        data = mutated(samples, rng)
        if target.repaired is not None and rng.random() < 0.7:
            data = target.repaired(data)
        yield data


def run(target: Target, *, seed: int, runs: int, seconds: float = float("inf")) -> tuple[int, Finding | None]:
    """So many inputs, or for so long: how many there were, and the first finding."""
    end = time.monotonic() + seconds
    for number, data in enumerate(inputs_of(target, seed)):
        if number >= runs or time.monotonic() >= end:
            return number, None
        problem = problem_of(target, data, memory=number % MEMORY_EVERY == 0)
        if problem is not None:
            return number + 1, finding_of(target, data, problem)
    raise AssertionError("inputs do not end")


def finding_of(target: Target, data: bytes, problem: BaseException) -> Finding:
    """The finding that this input is, as small as it gets."""

    def fails(smaller: bytes) -> bool:
        if target.repaired is not None:
            smaller = target.repaired(smaller)
        return type(problem_of(target, smaller, memory=True)) is type(problem)

    if target.repaired is None or fails(data):
        data = shrunk(data, fails)
        if target.repaired is not None:
            data = target.repaired(data)
    return Finding(target.name, data, f"{type(problem).__name__}: {str(problem)[:500]}")


def kept(finding: Finding) -> Path:
    """Write the input into the corpus, where the tests find it."""
    folder = CORPUS / finding.target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / sha256(finding.data).hexdigest()[:16]
    path.write_bytes(finding.data)
    return path
