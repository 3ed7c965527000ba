"""`python -m tests.simulation`: run seeds, replay one exactly, shrink what fails, and see that every break is caught.

python -m tests.simulation --seed 17             # one seed; says what it did
python -m tests.simulation --seed 17 --trace     # with every event, in virtual time
python -m tests.simulation --seeds 0:1000        # a campaign; goes on after a failure, exits 1 if there was any
python -m tests.simulation --minutes 30 --jobs 2 --results results.jsonl    # seeds until the time is over; gone on with
python -m tests.simulation --seeds 0:1000 --profile behind    # narrowed to a subject: see profiles.py
python -m tests.simulation --scenario scenario-17.json        # what a failure was shrunk to, once more
python -m tests.simulation --mutants --all       # every deliberate break, each caught by the checker it is meant for
python -m tests.simulation --matrix --all        # every combination of damage on three members
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from .campaign import Campaign, Total
from .catalogue import run_mutants
from .matrix import run_matrix
from .profiles import PROFILES
from .scenario import Scenario
from .shrinking import shrink
from .simulation import Failure


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.mutants:
        return run_mutants(quick=not options.all, jobs=options.jobs)
    if options.matrix:
        return run_matrix(everything=options.all, jobs=options.jobs)
    if options.scenario is not None:
        return _replay(Scenario.load(options.scenario), trace=options.trace, smaller=None)
    if options.seed is not None:
        scenario = Scenario(seed=options.seed, profile=options.profile)
        return _replay(scenario, trace=options.trace, smaller=options.shrink)
    return _campaign(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="run this seed")
    parser.add_argument("--seeds", help="run the seeds A to B-1, written A:B; without B, until --minutes are over")
    parser.add_argument("--minutes", type=float, help="begin no seed after so many minutes")
    parser.add_argument("--scenario", type=Path, help="run what a failure was shrunk to")
    parser.add_argument("--mutants", action="store_true", help="see that every deliberate break is caught")
    parser.add_argument("--matrix", action="store_true", help="damage files of three members in all combinations")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="of the breaks those caught soon, of the matrix a sample: the default",
    )
    parser.add_argument("--all", action="store_true", help="of the breaks and of the matrix")
    parser.add_argument("--profile", choices=PROFILES, default="swarm", help="narrow the plans to a subject")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes")
    parser.add_argument("--results", type=Path, help="append a line for each seed, and skip those that are there")
    parser.add_argument(
        "--shrink", type=float, default=60.0, metavar="SECONDS", help="for each failing seed; 0: not at all"
    )
    parser.add_argument("--trace", action="store_true", help="print every event")
    return parser


def _replay(scenario: Scenario, *, trace: bool, smaller: float | None) -> int:
    """One run, told in full; a failure is shrunk, within so many seconds."""
    simulation = scenario.simulation(listener=print if trace else None)
    try:
        run = simulation.run()
    except Failure as failure:
        print(failure)
        traceback.print_exception(failure)
        if smaller and not trace:
            _shrink(scenario, failure, smaller)
        return 1
    print(simulation.plan)
    print(run)
    return 0


def _campaign(options: argparse.Namespace) -> int:
    campaign = Campaign(options.profile, jobs=options.jobs, results=options.results, minutes=options.minutes)
    total = Total()
    for result in campaign.known.values():
        total.add(result)
    if campaign.known:
        print(f"{len(campaign.known)} seeds of this code are in {options.results}")
    for result in campaign.run(_seeds(options)):
        total.add(result)
        if "failed" in result:
            print(result["text"], flush=True)
            if options.shrink:
                scenario = Scenario(seed=result["seed"], profile=options.profile)
                failure = scenario.failure()
                if failure is None:
                    print("and does not fail when it is run again", flush=True)
                else:
                    _shrink(scenario, failure, options.shrink)
    for line in total.lines():
        print(line)
    return 1 if total.failed else 0


def _seeds(options: argparse.Namespace) -> Iterable[int]:
    first, _, last = (options.seeds or "0:").partition(":")
    if not last and options.minutes is None:
        raise SystemExit("--seeds A:B, or --minutes: a campaign has to end")
    return range(int(first), int(last)) if last else count(int(first))


def _shrink(scenario: Scenario, failure: Failure, seconds: float) -> None:
    smaller, tries = shrink(scenario, failure, seconds)
    path = Path(f"scenario-{scenario.profile}-{scenario.seed}.json")
    smaller.save(path)
    faults = smaller.failure()
    print(
        f"shrunk in {tries} runs to {path}: {smaller.text}\nrun it with: python -m tests.simulation --scenario {path}"
        + ("" if faults is not None else "\n(it does not fail again)"),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
