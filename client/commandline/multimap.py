"""`ocelog multimap`: keys with any number of values each.

ocelog multimap put members reds ada
ocelog multimap get members reds
ocelog multimap remove-entry members reds ada

"""

from __future__ import annotations

import argparse

from ..verbs import Operation, configure_operations, false, no, no_rows, run_operation, yes, zero


def _none(result: object) -> bool:
    return result == []


MULTIMAP = {
    "put": Operation(("key", "value"), "give a key one more value; whether it is new: true or false", false, ("ttl",)),
    "put_many": Operation(
        ("pairs",), "put many entries, each as KEY=VALUE; the answer is how many are new", options=("ttl",)
    ),
    "remove": Operation(
        ("key",), "remove a key; the answer is its values, one a line; 1 when it is absent", _none, lines=True
    ),
    "remove_entry": Operation(("key", "value"), "take this value from the key: true or false", false),
    "remove_value": Operation(("value",), "take this value from all keys; the answer is how many had it"),
    "get": Operation(
        ("key",), "the values of a key, one a line; 1 when it is absent", _none, empty=no_rows, lines=True
    ),
    "count": Operation(("key",), "how many values the key has", empty=zero),
    "contains_key": Operation(("key",), "true or false", false, empty=no),
    "contains_entry": Operation(("key", "value"), "whether the key has this value: true or false", false, empty=no),
    "contains_value": Operation(("value",), "whether any key has this value: true or false", false, empty=no),
    "size": Operation((), "the number of entries", empty=zero),
    "is_empty": Operation((), "whether there is no entry: true or false", false, empty=yes),
    "keys": Operation((), "every key, one a line", empty=no_rows),
    "entries": Operation((), "every key with each of its values, of one moment, one a line", empty=no_rows),
    "items": Operation((), "every key with each of its values, page by page, one a line", empty=no_rows),
    "clear": Operation((), "remove everything"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog multimap`."""
    configure_operations(parser, MULTIMAP, "multimap")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a multimap. Raises OcelogError."""
    return run_operation(options, MULTIMAP, "multimap")
