"""What is left behind: what counts as that, and a short run with real processes."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from ocelog.bench import leftovers
from ocelog.bench.leftovers import BYTES_ALLOWED, MEMORY_ALLOWED, SLACK, Found, Leftovers, calls_of, rows
from ocelog.cluster import LocalCluster
from ocelog.shard.machines.registry import registry

SEGMENT_BYTES = 2 << 20


def found(**after: int) -> Leftovers:
    before = Found(
        live_entries=0, live_bytes=10, log_bytes=100, waiting_events=0, memory=1 << 24, client_memory=1 << 24
    )
    return Leftovers(
        resources=10,
        types=2,
        commands=30,
        refused=1,
        seconds=1.0,
        segment_bytes=SEGMENT_BYTES,
        left=0,
        before=before,
        after=replace(before, **after),
    )


def test_nothing_left_behind_is_told():
    assert found().wrong == []
    assert dict(rows(found()))["check"].startswith("passed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("live_entries", 1),
        ("live_bytes", 11 + BYTES_ALLOWED),
        ("log_bytes", 101 + 2 * SEGMENT_BYTES),
        ("waiting_events", 1),
        ("memory", (1 << 24) + SLACK + 10 * MEMORY_ALLOWED + 1),
        ("client_memory", (1 << 24) + SLACK + 10 * MEMORY_ALLOWED + 1),
    ],
)
def test_whatever_is_left_behind_is_told(name, value):
    assert len(found(**{name: value}).wrong) == 1
    assert found(**{name: value - 1}).wrong == []
    assert dict(rows(found(**{name: value})))["check"].startswith("failed")


def test_resources_that_are_still_there_are_told():
    assert replace(found(), left=1).wrong == ["1 resources are still there"]


@pytest.mark.parametrize("machine", registry().values())
def test_every_command_of_every_machine_is_called_with_arguments_that_it_takes(machine):
    """A new machine needs no entry here or there; what its handler makes of them is its own."""
    calls = calls_of(machine, itertools.count(1))
    assert {name for name, *_ in calls} == {name for name, one in machine.operations.items() if one.mode is not None}
    for name, *arguments in calls:
        assert machine.operations[name].refusal(arguments) is None


@pytest.mark.system
def test_a_short_run():
    with LocalCluster(shards=1, replicas=1, log={"segment_bytes_max": SEGMENT_BYTES}) as cluster:
        measured = asyncio.run(leftovers.measure(cluster, 150, SEGMENT_BYTES))
    assert not measured.wrong, measured
    assert measured.types == len(registry()) and measured.commands > 150
    assert measured.refused < measured.commands / 4
