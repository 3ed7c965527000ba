"""`ocelog sorted-map`: a map whose keys are in order, with the operations of `ocelog map`.

ocelog sorted-map put scores 17 ada
ocelog sorted-map range scores --low 10 --high 20
ocelog sorted-map poll-first scores

"""

from __future__ import annotations

import argparse

from ..verbs import MAP, Operation, absent, configure_operations, no_rows, nothing, run_operation, zero

_RANGE = ("low", "high", "include_low", "include_high")

RANGES = {
    "first": Operation((), "the first; 1 when there is none", absent, empty=nothing),
    "last": Operation((), "the last; 1 when there is none", absent, empty=nothing),
    "lower": Operation(("key",), "the last before KEY; 1 when there is none", absent, empty=nothing),
    "floor": Operation(("key",), "that of KEY, or the last before it; 1 when there is none", absent, empty=nothing),
    "ceiling": Operation(("key",), "that of KEY, or the first behind it; 1 when there is none", absent, empty=nothing),
    "higher": Operation(("key",), "the first behind KEY; 1 when there is none", absent, empty=nothing),
    "range": Operation(
        (), "what is in a range, page by page, one a line", options=(*_RANGE, "reverse", "limit"), empty=no_rows
    ),
    "count": Operation((), "how many are in a range", options=_RANGE, empty=zero),
    "remove_range": Operation((), "remove a range; the answer is how many were removed", options=_RANGE),
    "poll_first": Operation((), "take out the first; 1 when there is none", absent),
    "poll_last": Operation((), "take out the last; 1 when there is none", absent),
}

SORTED_MAP = {**MAP, **RANGES}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog sorted-map`."""
    configure_operations(parser, SORTED_MAP, "sorted_map")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a sorted map. Raises OcelogError."""
    return run_operation(options, SORTED_MAP, "sorted_map")
