"""`ocelog multimap`: keys with any number of values each.

ocelog multimap put members reds ada
ocelog multimap get members reds
ocelog multimap remove-entry members reds ada

"""

from __future__ import annotations

import argparse

from ..verbs import Operation, configure_operations, false, run_operation


def _none(result: object) -> bool:
    return result == []


MULTIMAP = {
    "put": Operation(("key", "value"), "give a key one more value; whether it is new: true or false", false, ("ttl",)),
    "put_many": Operation(
        ("pairs",), "put many entries, each as KEY=VALUE; the answer is how many are new", options=("ttl",)
    ),
    "remove": Operation(("key",), "remove a key; the answer is its values; 1 when it is absent", _none),
    "remove_entry": Operation(("key", "value"), "take this value from the key: true or false", false),
    "remove_value": Operation(("value",), "take this value from all keys; the answer is how many had it"),
    "get": Operation(("key",), "the values of a key; 1 when it is absent", _none),
    "count": Operation(("key",), "how many values the key has"),
    "contains_key": Operation(("key",), "true or false", false),
    "contains_entry": Operation(("key", "value"), "whether the key has this value: true or false", false),
    "contains_value": Operation(("value",), "whether any key has this value: true or false", false),
    "size": Operation((), "the number of entries"),
    "is_empty": Operation((), "whether there is no entry: true or false", false),
    "keys": Operation((), "every key, one a line"),
    "entries": Operation((), "every key with each of its values, of one moment, one a line"),
    "items": Operation((), "every key with each of its values, page by page, one a line"),
    "clear": Operation((), "remove everything"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog multimap`."""
    configure_operations(parser, MULTIMAP, "multimap")


def run(options: argparse.Namespace) -> int:
    """Carry out one operation on a multimap. Raises OcelogError."""
    return run_operation(options, MULTIMAP, "multimap")
