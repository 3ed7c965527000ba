"""`ocelog queue`: first in, first out.

ocelog queue offer jobs '{"page": 7}'
ocelog queue poll jobs
ocelog queue take jobs --timeout 60
"""

from __future__ import annotations

import argparse
import sys

from ..protocol.errors import DeadlineExceeded
from ..verbs import Operation, absent, configure_operations, false, no, nothing, run_operation, show, yes, zero

QUEUE = {
    "offer": Operation(("value",), "add an item at the end"),
    "poll": Operation((), "take the head; 1 when the queue is empty", absent),
    "take": Operation((), "take the head, and wait for one, at most --timeout seconds; 75 when none came"),
    "peek": Operation((), "the head, which stays; 1 when the queue is empty", absent, empty=nothing),
    "remove": Operation(("value",), "remove the first item that is equal: true or false", false),
    "contains": Operation(("value",), "true or false", false, empty=no),
    "size": Operation((), "the number of items", empty=zero),
    "is_empty": Operation((), "whether there is no item: true or false", false, empty=yes),
    "clear": Operation((), "remove every item"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog queue`."""
    configure_operations(parser, QUEUE, "queue")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a queue. Raises OcelogError."""
    if options.operation == "take":
        return _take(options)
    return run_operation(options, QUEUE, "queue")


def _take(options: argparse.Namespace) -> int:
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        item = client.queue(options.name).take(timeout=options.timeout)
    if item is None:
        raise DeadlineExceeded(f"no item came in {options.timeout:g} s")
    show(item, as_json=options.json, to_person=sys.stdout.isatty())
    return 0
