"""Every built-in machine goes through the testing kit, with the commands of the rebuild property and the queries of `QUERIES`.

A new machine needs its row in `OPERATIONS` (rebuild/drawing.py) and one here.
"""

from __future__ import annotations

from typing import Any

import pytest
from ocelog.shard.machines.registry import registry
from ocelog.shard.testing import check

from ..rebuild.drawing import OPERATIONS, PLACED

INDEXES = tuple(range(4, 12))
"""Where the entries of the kit's histories begin: its shard has one resource only."""

TASKS = dict.fromkeys(("ack", "give_back"), (INDEXES, (1, 2))) | {"fail": (INDEXES, (1, 2), ("why",))}
COMMANDS: dict[str, dict[str, Any]] = {
    "map": {
        "remove_if_version": ((b"a", b"b"), INDEXES),
        "replace_if_version": ((b"a", b"b"), INDEXES, (b"4",), (0, 3)),
    },
    "sorted_map": {
        "remove_if_version": (PLACED, INDEXES),
        "replace_if_version": (PLACED, INDEXES, (b"4",), (0, 3)),
    },
    "queue": {"take": ((0, 1), (0, 2, None), ([], list(INDEXES[:3])))},
    "task_queue": TASKS,
    "set_partitioner": {"claim": ((0, 1), (0, 2, None), (b"m", b"n"), INDEXES, ([b"a"], [b"a", b"b"], []))},
    "group": {
        "ack": ((b"a", b"b"), INDEXES, (1, 2)),
        "fail": ((b"a", b"b"), INDEXES, (1, 2), ("why",)),
        "reply": ((b"a", b"b"), INDEXES, (1, 2), (b"2",)),
    },
}
"""Commands that name entries by their index, which are others here."""

QUERIES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "barrier": (("status",),),
    "map": (("get", b"a"), ("get_versioned", b"b"), ("size",), ("keys",), ("entries",), ("page", 0), ("page", 6)),
    "multimap": (
        ("get", b"a"),
        ("count", b"a"),
        ("contains_key", b"b"),
        ("keys",),
        ("entries",),
        ("page", 0),
        ("page", 6),
    ),
    "set": (("contains", b"a"), ("contains_many", b"a", b"b"), ("size",), ("values",), ("page", 0), ("page", 6)),
    "sorted_map": (
        *(
            ("get", PLACED[1]),
            ("keys",),
            ("entries",),
            ("page", 0),
            ("page", 6),
            ("count", PLACED[0], None, False, True),
        ),
        *(("range", PLACED[1], None, True, True, reverse, 0) for reverse in (False, True)),
    ),
    "sorted_set": (
        ("values",),
        ("page", 0),
        ("count", None, None, True, True),
        ("range", None, None, True, True, True, 1),
    ),
    "counter": (("get",),),
    "election": (("leader",), ("all",), ("status",), ("size",)),
    "group": (("all",), ("get", b"a"), ("leader",), ("size",), ("unhandled", b"b")),
    "latch": (("status",),),
    "lock": (("status",),),
    "read_write_lock": (("status",),),
    "semaphore": (("status",), ("permits",)),
    "queue": (("peek",), ("size",), ("values",)),
    "task_queue": (("size",), ("stats",)),
    "set_partitioner": (("all",), ("allotments",), ("size",)),
    "topic": (("size",),),
    "value": (("get",),),
}
"""By type name: asked after every step, they may change nothing."""


def commands_of(name: str) -> dict[str, Any]:
    """Every command of a machine, with the values of its arguments."""
    declared = registry()[name].operations
    choices = {command: those for command, those in OPERATIONS[name].items() if command in declared}
    assert set(choices) == {command for command, operation in declared.items() if operation.mode is not None}
    return choices | COMMANDS.get(name, {})


@pytest.mark.parametrize("name", registry())
def test_a_built_in_machine_is_right(name: str) -> None:
    check(registry()[name], commands_of(name), queries=QUERIES.get(name, ()), examples=15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", registry())
def test_a_built_in_machine_is_right_in_many_histories(name: str, seed: int) -> None:
    check(registry()[name], commands_of(name), queries=QUERIES.get(name, ()), examples=300, length=50, seed=seed)
