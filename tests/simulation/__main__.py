"""`python -m tests.simulation`: run seeds, or replay one exactly.

python -m tests.simulation --seed 17             # one seed; says what it did
python -m tests.simulation --seed 17 --trace     # with every event, in virtual time
python -m tests.simulation --seeds 0:1000        # a campaign; goes on after a failure, exits 1 if there was any
python -m tests.simulation --seeds 0:1000 --profile behind    # narrowed to a subject: see profiles.py
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from .profiles import PROFILES
from .simulation import Failure, Simulation


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--seed", type=int, help="run this seed")
    choice.add_argument("--seeds", help="run the seeds A to B-1, written A:B")
    parser.add_argument("--profile", choices=PROFILES, default="swarm", help="narrow the plans to a subject")
    parser.add_argument("--trace", action="store_true", help="print every event")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _run([options.seed], options, verbose=True)
    first, _, last = options.seeds.partition(":")
    return _run(range(int(first), int(last)), options, verbose=False)


def _run(seeds: range | list[int], options: argparse.Namespace, *, verbose: bool) -> int:
    failed = []
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for seed in seeds:
        simulation = Simulation(seed, listener=print if options.trace else None, overrides=PROFILES[options.profile])
        try:
            run = simulation.run()
        except Failure as failure:
            failed.append(seed)
            print(failure)
            if verbose:
                traceback.print_exception(failure)
            continue
        counts.update(run.counts)
        counts.update(entries=run.entries, restarts=run.restarts, terms=run.terms, answered=run.answered)
        if verbose:
            print(simulation.plan)
            print(run)
    print(
        f"{len(seeds)} seeds in {time.monotonic() - began:.1f} s, {len(failed)} failed{': ' if failed else ''}{failed or ''}"
    )
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
