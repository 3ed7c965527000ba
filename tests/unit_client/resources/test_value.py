"""The value's handles and `ocelog value`, operation by operation, against a real cluster."""

from __future__ import annotations

import pytest
from ocelog.client.changes import Resync
from ocelog.client.protocol.errors import BadArgument

pytestmark = pytest.mark.system


def test_operations(client, name):
    value = client.value(name)
    assert value.get() is None
    assert value.set({"host": 1}) is None
    assert value.get() == {"host": 1}
    assert value.get_and_set("b") == {"host": 1}
    assert value.compare_and_set("a", "c") is False
    assert value.compare_and_set("b", "c") is True
    assert value.get() == "c"
    assert value.clear() == "c"
    assert value.clear() is None
    assert value.compare_and_set(None, "d") is True
    assert value.compare_and_set(None, "e") is False
    assert value.get() == "d"


def test_a_time_to_live_ends(client, name):
    value = client.value(name)
    for write in (value.set, value.get_and_set, lambda new, ttl: value.compare_and_set(None, new, ttl=ttl)):
        with value.events(timeout=10) as events:
            write("brief", ttl=0.05)
            assert [event.kind for event in (events.next(10), events.next(10))] == ["changed", "expired"]
        assert value.get() is None
    value.set("brief", ttl=0.05)
    value.set("lasting")
    value.set("other", ttl=60)
    assert value.get() == "other"


def test_events(client, name):
    value = client.value(name)
    with value.events() as events:
        value.set("a")
        value.set("a")
        value.set("b")
        value.clear()
        found = [events.next(10) for _ in range(3)]
    assert [(event.kind, event.key, event.old, event.new) for event in found] == [
        ("changed", None, None, "a"),
        ("changed", None, "a", "b"),
        ("changed", None, "b", None),
    ]
    assert not any(isinstance(event, Resync) for event in found)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "1", True])
def test_what_is_no_time_to_live(client, name, ttl):
    with pytest.raises(BadArgument):
        client.value(name).set("a", ttl=ttl)


def test_none_is_no_value(client, name):
    with pytest.raises(BadArgument):
        client.value(name).set(None)


def test_command_line(run, name):
    assert run("value", "get", name) == (1, "")
    assert run("value", "set", name, '{"a": 1}', "--ttl", "60") == (0, "")
    assert run("value", "get-and-set", name, "b") == (0, '{"a": 1}\n')
    assert run("value", "compare-and-set", name, "null", "c") == (1, "false\n")
    assert run("value", "compare-and-set", name, "b", "c", "--ttl", "60") == (0, "true\n")
    assert run("value", "get", name, "--json") == (0, '"c"\n')
    assert run("value", "clear", name) == (0, "c\n")
    assert run("value", "clear", name) == (1, "")
    assert run("value", "set", name, "b", "--ttl", "0")[0] == 64
