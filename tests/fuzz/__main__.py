"""`python -m tests.fuzz`: campaigns over every parser of bytes from outside.

    python -m tests.fuzz --minutes 10                     # all targets in turn, another seed each round
    python -m tests.fuzz --target peer --runs 100000 --seed 7
    python -m tests.fuzz --target state --coverage --minutes 30     # guided by coverage; needs atheris

A finding is shrunk, kept in tests/fuzz/corpus, where the tests find it, and ends the campaign with exit code 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
import time

from .campaign import all_targets, kept, run

ROUND_RUNS = 2000


def main() -> int:
    """Run what the flags say."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--target", action="append", choices=sorted(all_targets()), help="only this one (may be repeated)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first round's seed")
    parser.add_argument("--runs", type=int, help="inputs per target, in one round")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, when --runs is not given")
    parser.add_argument("--coverage", action="store_true", help="let coverage guide the mutations of one target")
    parser.add_argument("--results", help="append a line of JSON per target to this file")
    chosen = parser.parse_args()
    targets = [target for name, target in all_targets().items() if not chosen.target or name in chosen.target]
    if chosen.coverage:
        from .guided import fuzz

        if len(targets) != 1:
            parser.error("--coverage is for one --target")
        return fuzz(targets[0], int(60 * chosen.minutes))
    logging.disable(logging.CRITICAL)  # what is said of bad input is for those who run the real thing
    began, counts = time.monotonic(), dict.fromkeys([target.name for target in targets], 0)
    end = float("inf") if chosen.runs else began + 60 * chosen.minutes
    findings = 0
    for seed in itertools.count(chosen.seed):
        for target in targets:
            runs, finding = run(target, seed=seed, runs=chosen.runs or ROUND_RUNS, seconds=end - time.monotonic())
            counts[target.name] += runs
            if finding is not None:
                findings += 1
                print(f"{target.name}, seed {seed}: {finding.problem}\n  kept as {kept(finding)}", flush=True)
        if findings or chosen.runs or time.monotonic() >= end:
            break
    seconds = time.monotonic() - began
    for name, count in counts.items():
        print(f"{name:20} {count:9} inputs")
    print(f"{sum(counts.values())} inputs in {seconds:.0f} s, {findings} findings")
    if chosen.results:
        with open(chosen.results, "a", encoding="utf-8") as file:
            file.write(
                json.dumps({"seed": chosen.seed, "seconds": round(seconds), "inputs": counts, "findings": findings})
                + "\n"
            )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
