"""`ocelog set`: values that are there or not.

ocelog set add tags red
ocelog set contains tags red
ocelog set items tags

"""

from __future__ import annotations

import argparse

from ..verbs import Operation, configure_operations, false, no, no_rows, run_operation, yes, zero

SET = {
    "add": Operation(("value",), "add a value; whether it is new: true or false", false, options=("ttl",)),
    "add_many": Operation(("values",), "add many values; the answer is how many are new", options=("ttl",)),
    "remove": Operation(("value",), "remove a value: true or false", false),
    "remove_many": Operation(("values",), "remove these values in one step; the answer is how many were there"),
    "contains": Operation(("value",), "true or false", false, empty=no),
    "contains_many": Operation(
        ("values",), "of each of the values, true or false", empty=lambda values: [False for value in values]
    ),
    "size": Operation((), "the number of values", empty=zero),
    "is_empty": Operation((), "whether there is no value: true or false", false, empty=yes),
    "values": Operation((), "every value, of one moment, one a line", empty=no_rows),
    "items": Operation((), "every value, page by page, one a line", empty=no_rows),
    "clear": Operation((), "remove every value"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog set`."""
    configure_operations(parser, SET, "set")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a set. Raises OcelogError."""
    return run_operation(options, SET, "set")
