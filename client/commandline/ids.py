"""`ocelog ids`: numbers that nobody else is given.

ocelog ids orders
ocelog ids orders --count 100
"""

from __future__ import annotations

import argparse
import json
import sys

from ..verbs import add_connection_options


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog ids`."""
    parser.add_argument("name", metavar="NAME", help="the id generator's name")
    parser.add_argument("--count", type=_count, default=1, metavar="N", help="so many, one a line (1)")
    add_connection_options(parser)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1000000")
    return count


def run(options: argparse.Namespace) -> int:
    """Print new ids; exactly so many are used up. Raises OcelogError."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        # One block of exactly these, and no other behind it.
        last = client.counter(options.name).add(options.count)
    ids = range(last - options.count + 1, last + 1)
    sys.stdout.write(f"{json.dumps(list(ids))}\n" if options.json else "".join(f"{number}\n" for number in ids))
    return 0
