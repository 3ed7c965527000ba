"""`ocelog election`: run a command while this program leads, or tell and change who does.

    ocelog election run scheduler --id host-1 -- ./schedule
    ocelog election leader scheduler
    ocelog election candidates scheduler
    ocelog election anoint scheduler host-2

The command of `run` is started when the candidate leads, and finds the term in OCELOG_TERM. It is stopped with TERM when the
leadership is lost: the candidate was evicted, another one anointed, the election deleted, or the session has ended. A client that
is cut off cannot know that, and stops the command when its session's timeout has passed since the shard answered. When the
command has ended, the next in line leads, and its exit code is this one's; 75 when it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .. import watch
from ..plain import bare
from ..protocol.errors import BadArgument
from ..verbs import add_connection_options, missing, show
from . import guarded

TERM = "OCELOG_TERM"

CHANGES = {
    "anoint": "a candidate leads at once: true or false",
    "promote": "a candidate is the next to lead: true or false",
    "demote": "a candidate is the last to lead: true or false",
    "evict": "a candidate stands no more: true or false",
}
TEXTS = {
    "leader": "who leads, and its term; 1 when nobody does",
    "candidates": "the ids of all candidates, one a line, the leader first",
    "watch": "print each change as JSON, or run a command for it; until Ctrl-C",
    **CHANGES,
}
RUN = "stand, and run a command while this candidate leads"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog election`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    leads = choices.add_parser("run", help=RUN, description=RUN)
    leads.add_argument("--id", required=True, metavar="ID", help="what the candidate is called, unlike all others")
    guarded.configure_taking(leads, "election")
    for operation, text in TEXTS.items():
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the election's name")
        if operation in CHANGES:
            choice.add_argument("id", metavar="ID", help="what the candidate is called")
        add_connection_options(choice)
        if operation == "watch":
            watch.configure(choice)


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on an election. Raises OcelogError; 1 when nobody leads, or nothing was changed."""
    from ..sync import connect

    if options.operation == "run":
        return _lead(options)
    with connect(options.endpoints, timeout=options.timeout) as client:
        election = client.election(options.name)
        if options.operation == "watch":
            with election.events() as events:
                return watch.watch(events, options.command)
        result: Any = None
        if options.operation in ("leader", "candidates") and missing(client, options.name):
            result = [] if options.operation == "candidates" else None
        else:
            result = _result(election, options)
    if options.operation == "candidates" and not options.json:
        sys.stdout.write("".join(f"{bare(id)}\n" for id in result))
        return 0
    show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return int(result is None or result is False)


def _result(election: Any, options: argparse.Namespace) -> Any:
    if options.operation in CHANGES:
        return getattr(election, options.operation)(options.id)
    if options.operation == "candidates":
        return election.candidates()
    leader = election.leader()
    return leader and leader._asdict()


def _lead(options: argparse.Namespace) -> int:
    if not options.command:
        raise BadArgument("what is to run while the candidate leads is given behind --")
    return guarded.guard(
        options,
        lambda client: client.election(options.name),
        lambda election, **keywords: election.lead(options.id, **keywords),
        TERM,
    )
