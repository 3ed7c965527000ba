"""How runs under an adversary are tested: over seeds, each of which is named when it fails, and with rules broken on purpose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from .sequencing import Plan, Run, Violation

CHUNK = 100
CAUGHT_WITHIN = 300

Patch = Callable[[pytest.MonkeyPatch], None]
R = TypeVar("R", bound=Run)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of clients tell of their expired sessions."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def play(kind: type[R], seed: int) -> R:
    """One run; every fourth expires sessions."""
    run = kind(seed, Plan(expiring=seed % 4 == 3))
    run.run()
    return run


def play_all(kind: type[Run], first: int, count: int = CHUNK) -> None:
    """Many runs; a violation says which seed it was."""
    for seed in range(first, first + count):
        try:
            play(kind, seed)
        except Violation as violation:
            raise AssertionError(f"seed {seed}: {violation}") from None


def expect_a_violation(kind: type[Run], break_it: Any, patch: pytest.MonkeyPatch) -> None:
    """With this rule broken, a run soon fails: a property that no break violates would not be checked."""
    break_it(patch)
    for seed in range(CAUGHT_WITHIN):
        try:
            play(kind, seed)
        except (Violation, AssertionError):
            return
    pytest.fail(f"{break_it.__name__} was not noticed in {CAUGHT_WITHIN} runs")
