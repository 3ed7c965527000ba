"""`ocelog partitioned-map`: a map whose keys are spread over all shards, with the operations of `ocelog map`.

ocelog partitioned-map put users ada 1815
ocelog partitioned-map size users
"""

from __future__ import annotations

import argparse

from ..verbs import MAP, Operation, configure_operations, run_operation

PARTITIONED_MAP = {**MAP, "delete": Operation((), "delete it on every shard")}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog partitioned-map`."""
    configure_operations(parser, PARTITIONED_MAP, "partitioned_map")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a partitioned map. Raises OcelogError."""
    return run_operation(options, PARTITIONED_MAP, "partitioned_map")
