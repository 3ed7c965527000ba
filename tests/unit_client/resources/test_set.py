"""The set's handles and `ocelog set`, against a real cluster."""

from __future__ import annotations

import pytest
from ocelog import Resync, SetEvent
from ocelog.client.protocol.errors import BadArgument
from ocelog.client.protocol.values import encode_value

pytestmark = pytest.mark.system


def test_adding_and_removing(client, name):
    """Adding tells whether the value is new: Atomix' set always answered false."""
    tags = client.set(name)
    assert tags.is_empty() is True
    assert tags.add("red") is True
    assert tags.add("red") is False
    assert tags.add(["a", {"b": 1, "a": 2}]) is True
    assert tags.contains(["a", {"a": 2, "b": 1}]) is True
    assert tags.contains("blue") is False
    assert tags.values() == ["red", ["a", {"a": 2, "b": 1}]]
    assert tags.size() == 2
    assert tags.remove("red") is True
    assert tags.remove("red") is False
    tags.clear()
    assert tags.is_empty() is True
    for call in (tags.add, tags.remove, tags.contains):
        with pytest.raises(BadArgument):
            call(None)


def test_many_at_once(client, name):
    numbers = client.set(name)
    assert numbers.add_many(range(500)) == 500
    assert numbers.add_many([499, 500, 500]) == 1
    assert numbers.contains_many([0, 501, 500]) == [True, False, True]
    assert numbers.contains_many([]) == []
    assert numbers.remove_many([0, 1, 501, 1]) == 2
    assert numbers.remove_many([]) == 0
    assert numbers.size() == 499
    assert numbers.add_many(bytes(100) + number.to_bytes(2, "big") for number in range(2500)) == 2500
    assert numbers.remove_many(bytes(100) + number.to_bytes(2, "big") for number in range(2600)) == 2500
    assert numbers.size() == 499


def test_pages(client, name):
    numbers = client.set(name)
    assert list(numbers.items()) == []
    numbers.add_many(range(2500))
    found = []
    for number in numbers.items():
        found.append(number)
        if len(found) == 1:
            numbers.remove_many([1500, 2499])
            numbers.add("new")
    assert found == [*(number for number in range(2499) if number != 1500), "new"]


def test_a_time_to_live_ends(client, name):
    tags = client.set(name)
    with tags.events() as events:
        assert tags.add("guest", ttl=0.05) is True
        assert tags.add_many(["a", "b"], ttl=60) == 2
        told = [events.next(10) for _ in range(4)]
    assert [event.value for event in told if event.kind == "expired"] == ["guest"]
    assert tags.add("guest") is True
    assert tags.add("a") is False
    with pytest.raises(BadArgument):
        tags.add("c", ttl=0)


def test_events(client, name):
    tags = client.set(name)
    with tags.events() as events, tags.events("blue") as of_blue:
        tags.add("red")
        tags.add("blue")
        tags.remove_many(["red", "green"])
        tags.clear()
        told = [events.next(10) for _ in range(4)]
        told_of_blue = [of_blue.next(10) for _ in range(2)]
    assert [(event.kind, event.value, event.old, event.new) for event in told] == [
        ("added", "red", None, "red"),
        ("added", "blue", None, "blue"),
        ("removed", "red", "red", None),
        ("cleared", None, None, None),
    ]
    assert told_of_blue == [told[1], told[3]]


def test_on_change(client, name):
    tags = client.set(name)
    told = []
    with tags.on_change(told.append):
        tags.add("red")
        assert tags.size() == 1
        while not told:
            tags.size()
    assert (told[0].kind, told[0].key) == ("added", "red")


def test_an_event_tells_of_its_value_and_the_state_is_a_list():
    event = SetEvent(["expired", encode_value("red"), None, None], 7)
    assert (event.kind, event.value, event.old, event.new, event.index) == ("expired", "red", "red", None, 7)
    assert event.size == 104
    assert SetEvent(["cleared", None, None, None], 8).size == 100
    assert SetEvent.question(None) == ("values",)
    assert SetEvent.question(b"a") == ("contains", b"a")
    assert SetEvent.state_of(None, [encode_value(1), encode_value("a")]) == [1, "a"]
    assert SetEvent.state_of(encode_value(1), True) == [1]
    assert SetEvent.state_of(encode_value(1), False) == []
    with pytest.raises(ValueError):
        SetEvent(["updated", b"a", None, None], 7)


def test_missed_events_are_replaced_by_the_values_that_are_there(client, name):
    tags = client.set(name)
    with tags.events(buffer=2) as events:
        tags.add_many(range(50))
        tags.remove_many(range(48))
        event = events.next(10)
        while not isinstance(event, Resync):
            event = events.next(10)
    assert event.state[-1] == 49


def test_command_line(run_here, name):
    assert run_here("set", "add", name, "red", "--ttl", "60") == (0, "true\n")
    assert run_here("set", "add", name, "red") == (1, "false\n")
    assert run_here("set", "add-many", name, "blue", "7", "[1]") == (0, "3\n")
    assert run_here("set", "values", name) == (0, "red\nblue\n7\n[1]\n")
    assert run_here("set", "items", name, "--json") == (0, '["red", "blue", 7, [1]]\n')
    assert run_here("set", "contains", name, "7") == (0, "true\n")
    assert run_here("set", "contains-many", name, "7", '"7"') == (0, "[true, false]\n")
    assert run_here("set", "remove", name, "8") == (1, "false\n")
    assert run_here("set", "remove-many", name, "7", "8") == (0, "1\n")
    assert run_here("set", "size", name) == (0, "3\n")
    assert run_here("set", "clear", name) == (0, "")
    assert run_here("set", "is-empty", name) == (0, "true\n")
    assert run_here("set", "add", name)[0] == 64
