"""The multimap's handles and `ocelog multimap`, against a real cluster."""

from __future__ import annotations

import pytest
from ocelog import MultimapEvent
from ocelog.client.protocol.errors import BadArgument
from ocelog.client.protocol.values import encode_key, encode_value

pytestmark = pytest.mark.system


def test_a_key_has_several_values(client, name):
    """containsEntry and containsValue of Atomix had nobody on the server to ask."""
    members = client.multimap(name)
    assert members.is_empty() is True
    assert members.put("reds", "ada") is True
    assert members.put("reds", "ada") is False
    assert members.put("reds", {"name": "bob"}) is True
    assert members.put(7, "ada") is True
    assert members.get("reds") == ["ada", {"name": "bob"}]
    assert members.get("greens") == []
    assert (members.size(), members.count("reds"), members.count("greens")) == (3, 2, 0)
    assert members.keys() == ["reds", 7]
    assert members.entries() == [("reds", "ada"), ("reds", {"name": "bob"}), (7, "ada")]
    assert members.contains_key(7) is True
    assert members.contains_key("7") is False
    assert members.contains_entry("reds", {"name": "bob"}) is True
    assert members.contains_entry(7, {"name": "bob"}) is False
    assert members.contains_value("ada") is True
    assert members.contains_value("eve") is False
    with pytest.raises(BadArgument):
        members.put("reds", None)
    with pytest.raises(BadArgument):
        members.get(1.5)


def test_removing(client, name):
    members = client.multimap(name)
    assert members.put_many([("a", 1), ("a", 2), ("b", 1), ("c", 3), ("c", 3)]) == 4
    assert members.remove_entry("a", 3) is False
    assert members.remove_entry("a", 2) is True
    assert members.remove_value(1) == 2
    assert members.contains_key("a") is False
    assert members.remove("c") == [3]
    assert members.remove("c") == []
    members.put_many([("many", number) for number in range(2500)])
    members.put_many([(number, "x") for number in range(2500)])
    assert members.remove("many") == list(range(2500))
    assert members.remove_value("x") == 2500
    assert members.remove_value("x") == 0
    assert members.put_many({"a": 1, "b": [1]}) == 2
    members.clear()
    assert members.is_empty() is True


def test_a_key_is_gone_with_its_last_value_when_that_expires(client, name):
    """Atomix' multimap kept an empty key."""
    members = client.multimap(name)
    with members.events("a") as events:
        members.put("a", 1, ttl=0.05)
        assert [events.next(10).kind for _ in range(2)] == ["added", "expired"]
    assert members.contains_key("a") is False
    assert members.keys() == []
    assert members.is_empty() is True


def test_pages(client, name):
    members = client.multimap(name)
    members.put_many((number % 3, number) for number in range(2500))
    assert list(members.items()) == [(number % 3, number) for number in range(2500)] == members.entries()


def test_events(client, name):
    members = client.multimap(name)
    with members.events() as events:
        members.put("a", 1)
        members.put("a", 2)
        members.remove_entry("a", 1)
        members.remove("a")
        members.put("b", 1)
        members.clear()
        told = [events.next(10) for _ in range(6)]
    assert [(event.kind, event.key, event.old, event.new) for event in told] == [
        ("added", "a", None, 1),
        ("added", "a", None, 2),
        ("removed", "a", 1, None),
        ("removed", "a", 2, None),
        ("added", "b", None, 1),
        ("cleared", None, None, None),
    ]


def test_the_state_is_a_dictionary_of_lists():
    assert MultimapEvent.question(None) == ("entries",)
    assert MultimapEvent.question(b"a") == ("get", b"a")
    a, b, one, two = encode_key("a"), encode_key("b"), encode_value(1), encode_value(2)
    assert MultimapEvent.state_of(None, [[a, one], [b, one], [a, two]]) == {"a": [1, 2], "b": [1]}
    assert MultimapEvent.state_of(a, [one, two]) == {"a": [1, 2]}
    assert MultimapEvent.state_of(a, []) == {}
    assert MultimapEvent(["removed", a, one, None], 7).size == 103


def test_command_line(run_here, name):
    assert run_here("multimap", "put", name, "reds", "ada", "--ttl", "60") == (0, "true\n")
    assert run_here("multimap", "put", name, "reds", "ada") == (1, "false\n")
    assert run_here("multimap", "put-many", name, "reds=bob", "blues=eve") == (0, "2\n")
    assert run_here("multimap", "get", name, "reds") == (0, "ada\nbob\n")
    assert run_here("multimap", "get", name, "greens") == (1, "")
    assert run_here("multimap", "count", name, "reds") == (0, "2\n")
    assert run_here("multimap", "keys", name) == (0, "reds\nblues\n")
    assert run_here("multimap", "items", name) == (0, "reds\tada\nreds\tbob\nblues\teve\n")
    assert run_here("multimap", "contains-entry", name, "reds", "eve") == (1, "false\n")
    assert run_here("multimap", "remove-entry", name, "reds", "ada") == (0, "true\n")
    assert run_here("multimap", "remove-value", name, "eve") == (0, "1\n")
    assert run_here("multimap", "remove", name, "reds") == (0, "bob\n")
    assert run_here("multimap", "is-empty", name) == (0, "true\n")
