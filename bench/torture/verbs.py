"""`ocelog torture`: break everything that can be broken under load, and judge what clients saw.

    ocelog torture --minutes 2
    ocelog torture --minutes 15 --every 1 --results torture.jsonl
    ocelog torture --hosts --minutes 2
    ocelog torture --power --minutes 2
    ocelog torture --list

Ends with 1 when a promise was broken, or when the cluster did not get well again.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

KILLS = ("leader killed", "follower killed", "all replicas killed", "router killed", "compactor killed")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog torture`."""
    parser.add_argument("--minutes", type=float, default=2.0, help="how long (2)")
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between faults, on average (2)")
    parser.add_argument("--clients", type=int, default=5, help="clients that work all the time (5)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of what the clients do (1)")
    parser.add_argument(
        "--fault", action="append", dest="faults", metavar="NAME", help="only this one (may be repeated)"
    )
    parser.add_argument(
        "--hosts",
        action="store_true",
        help="every replica in a network namespace of its own, joined by TCP; takes root",
    )
    parser.add_argument(
        "--power",
        action="store_true",
        help="every replica on a disk of its own, whose power can be cut; takes root",
    )
    parser.add_argument("--history", type=Path, metavar="FILE", help="write down what the clients saw")
    parser.add_argument("--results", type=Path, metavar="FILE", help="append what came of it, a line of JSON")
    parser.add_argument("--list", action="store_true", help="only name the faults")


def run(options: argparse.Namespace) -> int:
    """Run it; 1 when something was broken for good."""
    from ..consistency.registers import keep
    from ..consistency.run import Plan
    from ..hosts import NoHosts
    from ..power import NoPower
    from .campaign import torture
    from .faults import FAULTS

    known = {fault.name: fault for fault in FAULTS}
    if options.list:
        for name, fault in known.items():
            sys.stdout.write(f"{name:22} {(fault.__doc__ or '').splitlines()[0]}\n")
        return 0
    unknown = [name for name in options.faults or () if name not in known]
    if unknown:
        sys.stderr.write(f"ocelog: there is no fault {unknown[0]!r}; `ocelog torture --list` names them\n")
        return 64
    chosen = [known[name] for name in options.faults] if options.faults else list(FAULTS)
    plan = Plan(seconds=60 * options.minutes, clients=options.clients, every=options.every, seed=options.seed)
    began = time.time()
    # A SIGTERM ends it as a Ctrl-C does, with everything stopped and taken down that was made for it; a shell that starts it in
    # the background has had it ignore the latter.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        report = torture(plan, chosen, hosts=options.hosts, power=options.power)
    except NoHosts as error:
        sys.stderr.write(f"ocelog: {error}; without --hosts all replicas are on this one\n")
        return error.exit_code
    except NoPower as error:
        sys.stderr.write(f"ocelog: {error}; without --power replicas share this machine's disk\n")
        return error.exit_code
    sys.stdout.write(f"{report}\n")
    for complaint in report.complaints[:50]:
        sys.stdout.write(f"  {complaint}\n")
    if options.history and (shown := keep(report.history, options.history)):
        sys.stdout.write(f"shown in {shown}\n")
    if options.results:
        row = {
            "began": round(began),
            "minutes": options.minutes,
            "seed": options.seed,
            "hosts": options.hosts,
            "power": options.power,
            "kills": sum(report.faults[name] for name in KILLS),
            "faults": dict(sorted(report.faults.items())),
            "skipped": report.skipped,
            "operations": len(report.history.operations) + len(report.history.objects),
            "complaints": report.complaints[:50],
        }
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return 1 if report.complaints else 0
