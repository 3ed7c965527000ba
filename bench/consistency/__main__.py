"""`python -m ocelog.bench.consistency`: a cluster under kills, and whether its clients were promised too much.

python -m ocelog.bench.consistency --minutes 5
python -m ocelog.bench.consistency --minutes 1 --every 2 --seed 7 --history history.jsonl
python -m ocelog.bench.consistency --judge history.jsonl     # only look at a history that was written down
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .check import check
from .records import History
from .registers import keep
from .run import Plan, run


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m ocelog.bench.consistency", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between faults, on average (default 4)")
    parser.add_argument("--clients", type=int, default=5, help="clients that work all the time (default 5)")
    parser.add_argument("--routers", type=int, default=3, help="routers (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of what the clients do (default 1)")
    parser.add_argument("--history", type=Path, help="write the history there")
    parser.add_argument("--judge", type=Path, help="judge this history instead of making one")
    options = parser.parse_args(arguments)
    if options.judge:
        with options.judge.open() as lines:
            return _verdict(check(History.of_lines(lines)))
    plan = Plan(
        seconds=60 * options.minutes,
        clients=options.clients,
        routers=options.routers,
        every=options.every,
        seed=options.seed,
    )
    report = run(plan)
    sys.stdout.write(f"{report}\n")
    if options.history and (shown := keep(report.history, options.history)):
        sys.stdout.write(f"shown in {shown}\n")
    return _verdict(report.complaints)


def _verdict(complaints: list[str]) -> int:
    for complaint in complaints[:50]:
        sys.stdout.write(f"  {complaint}\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
