"""`ocelog sorted-set`: a set whose values are in order, with the operations of `ocelog set`.

    ocelog sorted-set add names ada
    ocelog sorted-set range names --low a --high c
    ocelog sorted-set poll-last names

Its values are texts and whole numbers, as keys are.

"""

from __future__ import annotations

import argparse

from ..verbs import configure_operations, run_operation
from .set import SET
from .sorted_map import RANGES

_AS_KEYS: dict[tuple[str, ...], tuple[str, ...]] = {("value",): ("key",), ("values",): ("keys",)}
_VALUES = {
    name: operation._replace(arguments=_AS_KEYS.get(operation.arguments, operation.arguments))
    for name, operation in SET.items()
}

SORTED_SET = {**_VALUES, **RANGES}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog sorted-set`."""
    configure_operations(parser, SORTED_SET, "sorted_set")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a sorted set. Raises OcelogError."""
    return run_operation(options, SORTED_SET, "sorted_set")
