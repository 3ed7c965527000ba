"""`ocelog value`: one value, or none.

    ocelog value set leader host-1 --ttl 30
    ocelog value get leader
    ocelog value compare-and-set leader host-1 host-2

The OLD of compare-and-set is a value, or `null` for none.
"""

from __future__ import annotations

import argparse

from ..verbs import Operation, absent, configure_operations, false, nothing, run_operation

VALUE = {
    "get": Operation((), "the value; 1 when there is none", absent, empty=nothing),
    "set": Operation(("value",), "set the value", options=("ttl",)),
    "get_and_set": Operation(("value",), "set the value; the answer is the one before", options=("ttl",)),
    "compare_and_set": Operation(
        ("old", "value"), "set the value if it is OLD, or null for none: true or false", false, options=("ttl",)
    ),
    "clear": Operation((), "have no value; the answer is the one before; 1 when there was none", absent),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog value`."""
    configure_operations(parser, VALUE, "value")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a value. Raises OcelogError."""
    return run_operation(options, VALUE, "value")
