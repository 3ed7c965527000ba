"""The blocking proxies are what the generator makes of the asyncio ones."""

from __future__ import annotations

import inspect

import pytest
from ocelog.client.resources import counter, counter_sync, generate, map, map_sync, queue, queue_sync


@pytest.mark.parametrize("name", generate.SOURCES)
def test_the_checked_in_twin_is_up_to_date(name):
    source = (generate.CLIENT / f"{name}.py").read_text(encoding="utf-8")
    twin = (generate.CLIENT / f"{name}_sync.py").read_text(encoding="utf-8")
    assert twin == generate.blocking(name, source), "run python -m ocelog.client.resources.generate"
    assert not [line for line in twin.splitlines() if "async " in line or "await " in line]


@pytest.mark.parametrize(
    ("written", "twin"),
    [(map.AsyncMap, map_sync.Map), (counter.AsyncCounter, counter_sync.Counter), (queue.AsyncQueue, queue_sync.Queue)],
)
def test_both_have_the_same_methods_with_the_same_parameters(written, twin):
    methods = {name: value for name, value in vars(written).items() if inspect.isfunction(value)}
    assert len(methods) >= 6
    for name, method in methods.items():
        assert inspect.iscoroutinefunction(method) or name in (
            "events",
            "items",
            "cached",
        )  # they return what is iterated over
        assert not inspect.iscoroutinefunction(getattr(twin, name))
        assert str(inspect.signature(method)).replace("Async", "") == str(inspect.signature(getattr(twin, name)))
        if not name.startswith("_") and name != "cached":
            assert inspect.signature(method).parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("handle", [map.AsyncMap, counter.AsyncCounter])
def test_every_operation_takes_a_consistency_by_name(handle):
    methods = {name: value for name, value in vars(handle).items() if inspect.isfunction(value) and name[0] != "_"}
    for name, method in methods.items():
        parameter = inspect.signature(method).parameters.get("consistency")
        assert (parameter is None) == (name in ("events", "on_change", "cached"))
        assert parameter is None or (parameter.kind is parameter.KEYWORD_ONLY and parameter.default is None)
