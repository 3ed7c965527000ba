"""`ocelog partition`: be one of those who divide a set among themselves.

    ocelog partition hold tables --items users,orders,stock
    ocelog partition hold tables --items users,orders,stock -- ./work
    ocelog partition show tables

`hold` prints items and token as JSON whenever they change, until Ctrl-C. With a command it runs that instead, with
OCELOG_ITEMS (JSON) and OCELOG_TOKEN; the command is stopped with TERM before the items are given up, and started again with the
next ones. When it ends by itself, so does this, with its exit code.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from .. import child, watch
from ..partitioning import Allotment, PartitionerState
from ..plain import to_json
from ..protocol.errors import DeadlineExceeded
from ..verbs import add_connection_options, missing, parse_key

if TYPE_CHECKING:
    from ..resources.set_partitioner_sync import SetPartitioner

LOOK_SECONDS = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog partition`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    text = "be a member, and print the items that are its own, or run a command with them"
    hold = choices.add_parser("hold", help=text, description=text)
    hold.add_argument("name", metavar="NAME", help="the set partitioner's name")
    hold.add_argument(
        "--items", required=True, type=_items, metavar="A,B,C", help="the whole set, the same for all members"
    )
    hold.add_argument("--id", metavar="ID", help="what the member is called, unlike all others (a new one)")
    add_connection_options(hold)
    watch.configure(hold)
    text = "what each member holds, one a line"
    show = choices.add_parser("show", help=text, description=text)
    show.add_argument("name", metavar="NAME", help="the set partitioner's name")
    add_connection_options(show)


def _items(text: str) -> list[object]:
    items = [parse_key(part.strip()) for part in text.split(",") if part.strip()]
    if not items:
        raise argparse.ArgumentTypeError("there is nothing to divide")
    return items


def run(options: argparse.Namespace) -> int:
    """Hold, or show. Raises OcelogError."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        items = options.items if options.operation == "hold" else ()
        partitioner = client.set_partitioner(options.name, items, id=getattr(options, "id", None))
        if options.operation == "show":
            if missing(client, options.name):
                return 0
            for member, allotment in sorted(partitioner.allotments().items()):
                _say({"id": member, **allotment._asdict()})
            return 0
        with partitioner:
            for allotment in partitioner:
                if not options.command:
                    _say(allotment._asdict())
                    continue
                code = _work(partitioner, allotment, options.command)
                if code is not None:
                    return code
    return 0


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(to_json(what) + "\n")
    sys.stdout.flush()


def _work(partitioner: SetPartitioner, allotment: Allotment, command: list[str]) -> int | None:
    """Run the command as long as the items are held; its exit code if it has ended by itself."""
    environment = {"OCELOG_ITEMS": to_json(allotment.items), "OCELOG_TOKEN": str(allotment.token)}
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        while process.poll() is None:
            try:
                if partitioner.wait_for_change(timeout=LOOK_SECONDS) is not PartitionerState.ACQUIRED:
                    return None
            except DeadlineExceeded:
                continue
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
    finally:
        child.stop(process)
