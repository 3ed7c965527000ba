"""What simulated clients do with the machines of the registry: any operation at all, or requests as an application makes them.

Of every machine that a plan names there are two resources. On the wild one anything is tried that the rebuild proofs try,
in any order and with numbers and indexes that mean something or nothing; on the tame one clients do what applications do
(`requests.py`), so that it is known what must be left in the end. A new machine needs its rows in `drawing.OPERATIONS` and
`test_kit.QUERIES`, which it has anyway; whoever waits at it, a row in `requests.REQUESTS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from ..unit_shard.machines.test_kit import QUERIES
from ..unit_shard.rebuild.drawing import OPERATIONS

WILD, TAME = "wild", "tame"

FRESH = {
    ("queue", "offer"): 0,
    ("task_queue", "submit"): 0,
    ("task_queue", "submit_and_wait"): 2,
    ("topic", "send"): 0,
}
"""Which argument carries something that nobody else sends, so that its effect is known again."""

INDEXES_MIN = 8
"""Choices of so many numbers are indexes of entries; here recent ones are drawn instead."""

RECENT = 80


def name_of(type_name: str, kind: str) -> str:
    """The name of that resource."""
    return f"{type_name}-{kind}"


def type_of(name: str) -> str:
    """The type of the machine of that resource."""
    return name.rpartition("-")[0]


def resources_of(machines: Iterable[str]) -> list[str]:
    """The names of the resources that a run has for these machines."""
    return [name_of(machine, kind) for machine in machines for kind in (WILD, TAME)]


def queries_of(machines: Iterable[str]) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """What is asked of each resource."""
    return {name: QUERIES.get(type_of(name), ()) for name in resources_of(machines)}


def draw_command(rng: Random, type_name: str, serial: int, known_index: int) -> tuple[Any, ...]:
    """Any command of a machine, with any arguments."""
    name, choices = rng.choice(list(OPERATIONS[type_name].items()))
    arguments = [_argument(rng, values, known_index) for values in choices]
    if (type_name, name) in FRESH:
        arguments[FRESH[type_name, name]] = fresh(serial)
    return (name, *arguments)


def _argument(rng: Random, values: tuple[Any, ...], known_index: int) -> Any:
    value = rng.choice(values)
    if len(values) >= INDEXES_MIN and type(value) is int:
        return recent(rng, known_index)
    if type(value) is list and value:
        return [recent(rng, known_index) for _ in value]
    return value


def recent(rng: Random, known_index: int) -> int:
    """The index of an entry of late, committed or not."""
    return max(1, known_index - rng.randrange(-5, RECENT))


def fresh(serial: int) -> bytes:
    """A payload that nobody else sends."""
    return b"w%d" % serial
