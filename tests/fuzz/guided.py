"""The same targets with mutations that coverage guides, for long campaigns; atheris has to be installed for it."""

from __future__ import annotations

import sys

from .campaign import finding_of, inputs_of, kept
from .target import INPUT_BYTES_MAX, Target, problem_of


def fuzz(target: Target, seconds: int) -> int:
    """Run one target for so long; 1 after a finding, which is kept. Raises SystemExit when atheris is missing."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("--coverage needs atheris: pip install atheris") from None

    def one(data: bytes) -> None:
        problem = problem_of(target, data)
        if problem is not None:
            path = kept(finding_of(target, data, problem))
            print(f"{target.name}: {type(problem).__name__}: {problem}\n  kept as {path}", flush=True)
            raise problem

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        changed = bytes(atheris.Mutate(data, size_max))
        if target.repaired is not None and seed % 4:
            changed = target.repaired(changed)
        return changed[:size_max]

    # The samples are given as a first corpus in memory: libFuzzer begins with inputs of its own choice otherwise.
    atheris.instrument_all()
    for data, _ in zip(inputs_of(target, 0), range(200), strict=False):
        one(data)
    flags = [sys.argv[0], f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}"]
    atheris.Setup(flags, one, custom_mutator=mutate)
    atheris.Fuzz()
    return 0
