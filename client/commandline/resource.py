"""`ocelog resource`: operations on a machine of one's own; and `ocelog machines`: which there are, in which versions.

    ocelog resource accounts bank command transfer a b 5
    ocelog resource accounts bank query balance a
    ocelog machines
    ocelog machines switch bank 2

Arguments are JSON where they are that, else texts.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..plain import to_json
from ..verbs import add_connection_options, missing, parse_value, show


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog resource`."""
    parser.add_argument("name", metavar="NAME", help="the resource's name")
    parser.add_argument("type", metavar="TYPE", help="the type of its machine")
    parser.add_argument("kind", choices=("command", "query"), help="what the operation is")
    parser.add_argument("operation", metavar="OPERATION", help="its name")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*", help="JSON, or a text")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out one operation. Raises OcelogError; 1 when the answer is null or false, or there is nothing to ask."""
    from ..sync import connect

    arguments = [parse_value(argument) for argument in options.arguments]
    with connect(options.endpoints, timeout=options.timeout) as client:
        if options.kind == "query" and missing(client, options.name):
            # Only its machine knows what it would answer then, and asking that one would create the resource.
            sys.stderr.write(f"ocelog: there is no resource {options.name!r}; the first command to it creates it\n")
            return 1
        resource = client.resource(options.name, options.type)
        operation = resource.command if options.kind == "command" else resource.query
        result = operation(options.operation, *arguments)
    if result is not None:
        show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return int(result is None or result is False)


def configure_machines(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog machines`."""
    add_connection_options(parser)
    choices = parser.add_subparsers(dest="operation", metavar="switch TYPE VERSION")
    switch = choices.add_parser("switch", help="put another version in force, on every shard")
    switch.add_argument("type", metavar="TYPE", help="the type of the machine")
    switch.add_argument("version", metavar="VERSION", type=int, help="a version that every replica has")
    add_connection_options(switch)


def run_machines(options: argparse.Namespace) -> int:
    """List the machines, or switch one. Raises OcelogError."""
    from ..status import fetch
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        if options.operation == "switch":
            client.switch_machine(options.type, options.version)
            return 0
        found = client.machines()
    report = fetch(options.endpoints, options.timeout)
    rows = [_row(report, type_name, found) for type_name in sorted({row.type for row in found})]
    if options.json:
        sys.stdout.write(to_json(rows) + "\n")
        return 0
    for row in rows:
        where = "; ".join(f"{version} on {', '.join(replicas)}" for version, replicas in row["installed"].items())
        sys.stdout.write(f"{row['type']:20} {_versions(row['in force']):12} {where or 'comes with Ocelog'}\n")
    return 0


def _row(report: dict[str, Any], type_name: str, found: list[Any]) -> dict[str, Any]:
    """One type: the version in force by shard, and for each version the replicas that have it, as SHARD/REPLICA."""
    in_force = {str(row.shard): row.version for row in found if row.type == type_name}
    installed: dict[str, list[str]] = {}
    for shard in report["shards"]:
        for replica in shard["replicas"]:
            for version in (replica.get("machines") or {}).get(type_name, ()):
                installed.setdefault(str(version), []).append(f"{shard['id']}/{replica['id']}")
    return {"type": type_name, "in force": in_force, "installed": installed}


def _versions(in_force: dict[str, int | None]) -> str:
    """The version in force, `-` for none; by shard where they differ."""
    texts = {shard: "-" if version is None else str(version) for shard, version in in_force.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return " ".join(f"{shard}:{text}" for shard, text in texts.items())
