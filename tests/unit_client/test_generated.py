"""The blocking proxies are what the generator makes of the asyncio ones."""

from __future__ import annotations

import inspect

import pytest
from ocelog.client.resources import (
    counter,
    counter_sync,
    generate,
    map,
    map_sync,
    multimap,
    multimap_sync,
    partitioned_map,
    partitioned_map_sync,
    queue,
    queue_sync,
    sorted_map,
    sorted_map_sync,
    sorted_set,
    sorted_set_sync,
)

RETURNED = ("with_consistency", "shard_of")
"""Methods that make no call."""
ITERATED = ("events", "items", "range", "cached")
"""Methods that return what is iterated over."""


def methods_of(handle):
    """Its own and those of its bases, but for the internal ones."""
    found = {name: value for name, value in inspect.getmembers(handle, inspect.isfunction) if name[0] != "_"}
    return {name: value for name, value in found.items() if name not in RETURNED}


@pytest.mark.parametrize("name", generate.SOURCES)
def test_the_checked_in_twin_is_up_to_date(name):
    source = (generate.CLIENT / f"{name}.py").read_text(encoding="utf-8")
    twin = (generate.CLIENT / f"{name}_sync.py").read_text(encoding="utf-8")
    assert twin == generate.blocking(name, source), "run python -m ocelog.client.resources.generate"
    assert not [line for line in twin.splitlines() if "async " in line or "await " in line]


@pytest.mark.parametrize(
    ("written", "twin"),
    [
        (map.AsyncMap, map_sync.Map),
        (counter.AsyncCounter, counter_sync.Counter),
        (queue.AsyncQueue, queue_sync.Queue),
        (multimap.AsyncMultimap, multimap_sync.Multimap),
        (sorted_map.AsyncSortedMap, sorted_map_sync.SortedMap),
        (sorted_set.AsyncSortedSet, sorted_set_sync.SortedSet),
        (partitioned_map.AsyncPartitionedMap, partitioned_map_sync.PartitionedMap),
    ],
)
def test_both_have_the_same_methods_with_the_same_parameters(written, twin):
    methods = methods_of(written)
    assert len(methods) >= 6
    for name, method in methods.items():
        assert inspect.iscoroutinefunction(method) or name in ITERATED
        assert not inspect.iscoroutinefunction(getattr(twin, name))
        assert str(inspect.signature(method)).replace("Async", "") == str(inspect.signature(getattr(twin, name)))
        if name != "cached":
            assert inspect.signature(method).parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    "handle",
    [
        map.AsyncMap,
        counter.AsyncCounter,
        multimap.AsyncMultimap,
        sorted_map.AsyncSortedMap,
        sorted_set.AsyncSortedSet,
        partitioned_map.AsyncPartitionedMap,
    ],
)
def test_every_operation_takes_a_consistency_by_name(handle):
    for name, method in methods_of(handle).items():
        parameter = inspect.signature(method).parameters.get("consistency")
        assert (parameter is None) == (name in ("events", "on_change", "cached"))
        assert parameter is None or (parameter.kind is parameter.KEYWORD_ONLY and parameter.default is None)
