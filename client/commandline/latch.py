"""`ocelog latch`: count down, and wait until that is done.

ocelog latch set-count ready 3
ocelog latch count-down ready
ocelog latch wait ready --timeout 60
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..verbs import add_connection_options, missing, show

TEXTS = {
    "set-count": "set the count, if it was never set: true or false",
    "count-down": "take one off the count, or --by; the answer is how many are left",
    "wait": "wait until the count is 0, at most --timeout seconds",
    "count": "the count; 1 when it was never set",
    "reset": "begin anew with that count, or with none",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog latch`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation, text in TEXTS.items():
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the latch's name")
        if operation == "set-count":
            choice.add_argument("count", metavar="COUNT", type=int)
        elif operation == "reset":
            choice.add_argument("count", metavar="COUNT", type=int, nargs="?")
        elif operation == "count-down":
            choice.add_argument("--by", type=int, default=1, metavar="N", help="so many at once (1)")
        add_connection_options(choice)


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a latch. Raises OcelogError; 1 when it was set before, or has no count."""
    from ..sync import connect

    result: Any = None
    with connect(options.endpoints, timeout=options.timeout) as client:
        latch = client.latch(options.name)
        if options.operation == "set-count":
            result = latch.set_count(options.count)
        elif options.operation == "count-down":
            result = latch.count_down(options.by)
        elif options.operation == "wait":
            latch.wait(timeout=options.timeout)
        elif options.operation == "count":
            result = None if missing(client, options.name) else latch.count()
        else:
            latch.reset(options.count)
    if result is not None or options.operation == "count":
        show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return int(result is False or (options.operation == "count" and result is None))
