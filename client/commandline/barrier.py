"""`ocelog barrier`: wait for one another, again and again, or run a command while all are there.

    ocelog barrier wait step 3 --timeout 60
    ocelog barrier enter step 3 -- ./work
    ocelog barrier reset step

The command of `enter` runs when so many have entered, and finds OCELOG_BARRIER_GENERATION and OCELOG_BARRIER_ARRIVAL in its
environment. When it has ended, that of all others is waited for, and its exit code is this one's. A barrier that is broken,
or breaks, ends with 75; it is of no use to anybody before it is reset.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .. import child, watch
from ..gates import BarrierStatus, BrokenBarrier
from ..protocol.errors import BadArgument, DeadlineExceeded
from ..verbs import add_connection_options, missing, show

TEXTS = {
    "wait": "pass when so many have come; the answer is the generation, and which one in the order of coming this was",
    "enter": "run a command when so many have entered, and wait until all have left",
    "reset": "let a broken barrier be used again: true or false",
    "status": "which generation gathers, how many wait, whether it is broken, and how many are inside",
}

NEW = BarrierStatus(generation=1, parties=None, waiting=0, broken=False, inside=0)
"""The status of a barrier that nobody has come to yet."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog barrier`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation, text in TEXTS.items():
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the barrier's name")
        if operation in ("wait", "enter"):
            choice.add_argument("parties", metavar="PARTIES", type=int, help="how many there are")
        if operation == "reset":
            choice.add_argument("--generation", type=int, metavar="N", help="only if this one is the broken one")
        add_connection_options(choice)
        if operation == "enter":
            watch.configure(choice)
            choice.usage = f"{choice.prog} NAME PARTIES [OPTIONS] -- COMMAND ..."


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a barrier. Raises OcelogError; 1 when there was nothing to reset."""
    try:
        return _run(options)
    except BrokenBarrier as error:
        error.message += f"; `ocelog barrier reset {options.name}` lets it be used again"
        raise
    except DeadlineExceeded as error:
        if options.operation in ("wait", "enter"):
            error.message += f"; if it broke by that, `ocelog barrier reset {options.name}` lets it be used again"
        raise


def _run(options: argparse.Namespace) -> int:
    from ..sync import connect

    if options.operation == "enter" and not options.command:
        raise BadArgument("what is to run inside the barrier is given behind --")
    with connect(options.endpoints, timeout=options.timeout) as client:
        barrier = client.barrier(options.name)
        if options.operation == "enter":
            return _run_inside(barrier, options)
        result: Any
        if options.operation == "wait":
            passed = barrier.wait(options.parties, timeout=options.timeout)
            result = {"generation": passed.generation, "arrival": passed.arrival}
        elif options.operation == "reset":
            result = barrier.reset(options.generation)
        else:
            status = NEW if missing(client, options.name) else barrier.status()
            result = status._asdict()
    show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return int(result is False)


def _run_inside(barrier: Any, options: argparse.Namespace) -> int:
    with barrier.inside(options.parties, timeout=options.timeout) as entered:
        place = {
            "OCELOG_BARRIER_GENERATION": str(entered.generation),
            "OCELOG_BARRIER_ARRIVAL": str(entered.arrival),
        }
        code, _ = child.run(options.command, place)
    return code if code >= 0 else 128 - code
