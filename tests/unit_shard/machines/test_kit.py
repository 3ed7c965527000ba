"""Every built-in machine goes through the testing kit: `TABLE` says with which commands. A new machine needs a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from ocelog.shard.machines.registry import registry
from ocelog.shard.testing import check
from ocelog.shard.testing.steps import Choices


class Row(NamedTuple):
    """The values that each command's arguments are drawn from, and the queries asked after every step."""

    commands: Choices
    queries: tuple[tuple[Any, ...], ...]


TABLE: dict[str, Row] = {
    "map": Row(
        {
            "put": ((b"a", b"b"), (b"1", b"2")),
            "put_if_absent": ((b"a", b"b"), (b"3",)),
            "replace": ((b"a", b"b"), (b"4",)),
            "remove": ((b"a", b"b"),),
            "clear": (),
            "listen": ((b"a", None),),
            "unlisten": ((b"a", None),),
        },
        (("get", b"a"), ("size",), ("entries",)),
    ),
    "counter": Row(
        {
            "set": ((0, 5, (1 << 63) - 1),),
            "add": ((1, -1),),
            "compare_and_set": ((0, 1), (2,)),
            "listen": ((None,),),
            "unlisten": ((None,),),
        },
        (("get",),),
    ),
}
"""By type name."""


@pytest.mark.parametrize("name", registry())
def test_a_built_in_machine_is_right(name: str) -> None:
    row = TABLE[name]
    machine = registry()[name]
    declared = {name for name, operation in machine.operations.items() if operation.mode is not None}
    assert set(row.commands) == declared, "every command takes part"
    check(machine, row.commands, queries=row.queries, examples=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry())
@pytest.mark.parametrize("seed", range(5))
def test_a_built_in_machine_is_right_in_many_histories(name: str, seed: int) -> None:
    row = TABLE[name]
    check(registry()[name], row.commands, queries=row.queries, examples=300, length=50, seed=seed + 1)
