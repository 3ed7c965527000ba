"""Every parser of bytes from outside takes thousands of inputs that are nearly right, and all that it ever took wrongly."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from .campaign import CORPUS, all_targets, corpus_of, finding_of, run
from .mutating import shrunk
from .target import Target, problem_of

TARGETS = all_targets()
RUNS = 600


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_samples_and_what_was_found_are_taken(name: str) -> None:
    target = TARGETS[name]
    for data in (*target.samples, *corpus_of(target)):
        assert problem_of(target, data) is None, data[:200]


@pytest.mark.parametrize("name", TARGETS)
def test_some_samples_are_valid(name: str) -> None:
    """Mutations of what is refused at the first byte would test nothing."""
    target = TARGETS[name]
    valid = 0
    for data in target.samples:
        try:
            target.run(data)
        except target.accepted:
            continue
        valid += 1
    assert valid


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_are_taken_or_refused_as_declared(name: str) -> None:
    runs, finding = run(TARGETS[name], seed=1, runs=RUNS)
    assert finding is None, f"{finding}: python -m tests.fuzz --target {name} --seed 1 keeps it"
    assert runs == RUNS


def test_the_corpus_names_targets() -> None:
    assert {path.name for path in CORPUS.glob("*") if path.is_dir()} <= TARGETS.keys()


# -- the campaign itself ------------------------------------------------------------------------------


def breaking(data: bytes) -> None:
    """Takes what it should not take in three ways."""
    if b"\xff\xff" in data:
        raise KeyError("two bytes of ones")
    if data[:1] == b"m":
        bytearray(64 << 20)
    if data[:1] == b"h":
        while True:
            pass


def test_an_exception_that_was_not_declared_is_found_and_shrunk() -> None:
    target = Target(name="breaking", run=breaking, samples=[b"some bytes\xff or others"], accepted=(ValueError,))
    runs, finding = run(target, seed=0, runs=20_000)
    assert finding is not None
    assert runs > 0
    assert finding.data == b"\xff\xff"
    assert "KeyError" in finding.problem


def test_memory_and_endless_loops_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.target.SECONDS_MAX", 0.2)
    target = Target(name="breaking", run=breaking, samples=[], accepted=(ValueError,))
    assert type(problem_of(target, b"h")).__name__ == "Hangs"
    assert type(problem_of(target, b"m", memory=True)).__name__ == "TakesMemory"
    assert problem_of(target, b"m") is None
    problem = problem_of(target, b"m" * 200, memory=True)
    assert problem is not None
    assert finding_of(target, b"m" * 200, problem).data == b"m"


def test_shrinking_keeps_the_failure() -> None:
    assert shrunk(bytes(range(100)), lambda data: b"\x07" in data and b"\x50" in data) == b"\x07\x50"
