"""`ocelog resources`, `ocelog exists` and `ocelog delete`: which resources there are, whatever their types, and the end of one.

    ocelog resources --type map
    ocelog exists users
    ocelog delete users

A partitioned map is told by its own name; it is deleted by `ocelog partitioned-map delete`.
"""

from __future__ import annotations

import argparse
import sys

from ..options import PARTITIONED
from ..plain import to_json
from ..verbs import add_connection_options, show

LIST = "every resource and its type, one a line"
EXISTS = "the type of the resource of that name; 1 when there is none"
DELETE = "delete the resource of that name with all that it holds: true or false"


def configure_list(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog resources`."""
    parser.description = LIST
    parser.add_argument("--type", metavar="TYPE", help="those of this type only")
    add_connection_options(parser)


def run_list(options: argparse.Namespace) -> int:
    """List the resources of all shards, each of which answers for itself. Raises OcelogError."""
    from ..sync import connect

    stored = "map" if options.type == "partitioned_map" else options.type
    with connect(options.endpoints, timeout=options.timeout) as client:
        rows = sorted(_told(name, type_name) for name, type_name in client.resources(stored).items())
    rows = [row for row in rows if options.type in (None, row[1])]
    if options.json:
        sys.stdout.write(to_json([{"name": name, "type": type_name} for name, type_name in rows]) + "\n")
    else:
        sys.stdout.write("".join(f"{name}\t{type_name}\n" for name, type_name in rows))
    return 0


def _told(name: str, type_name: str) -> tuple[str, str]:
    """The name and type of a resource as its user knows them."""
    if name.startswith(PARTITIONED):
        return name.removeprefix(PARTITIONED), "partitioned_map"
    return name, type_name


def configure_exists(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog exists`."""
    parser.description = EXISTS
    _configure_one(parser)


def run_exists(options: argparse.Namespace) -> int:
    """Tell the type of a resource; 1 when there is none. Raises OcelogError."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        found = client.exists(options.name)
    show(found, as_json=options.json, to_person=False)
    return int(found is None)


def configure_delete(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog delete`."""
    parser.description = DELETE
    _configure_one(parser)


def run_delete(options: argparse.Namespace) -> int:
    """Delete a resource; 1 when there was none. Raises OcelogError."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        deleted = client.delete(options.name)
    show(deleted, as_json=options.json, to_person=False)
    return int(not deleted)


def _configure_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the resource's name")
    add_connection_options(parser)
