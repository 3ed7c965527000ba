"""The map's handles and `ocelog map`, what is beyond put, get and remove, against a real cluster."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.errors import BadArgument
from ocelog.client.resources.entries import Versioned

pytestmark = pytest.mark.system


def test_versions(client, name):
    users = client.map(name)
    assert users.get_versioned("ada") is None
    users.put("ada", 1)
    first = users.get_versioned("ada")
    assert first == Versioned(1, first.version) and first.version > 0
    assert users.replace_if_version("ada", first.version + 1, 2) is False
    assert users.replace_if_version("ada", first.version, 2) is True
    assert users.replace_if_version("ada", first.version, 3) is False
    second = users.get_versioned("ada")
    assert second.value == 2 and second.version > first.version
    assert users.remove_if_version("ada", first.version) is False
    assert users.remove_if_version("ada", second.version) is True
    assert users.remove_if_version("ada", second.version) is False
    assert users.get("ada") is None


def test_conditions_on_the_value(client, name):
    users = client.map(name)
    assert users.replace_if("ada", 1, 2) is False
    users.put("ada", {"a": 1, "b": 2})
    assert users.replace_if("ada", {"b": 2, "a": 1}, 2) is True
    assert users.remove_if("ada", 1) is False
    assert users.remove_if("ada", 2) is True
    assert users.remove_if("ada", 2) is False
    assert users.is_empty()


@pytest.mark.parametrize("write", ["put", "put_if_absent", "replace", "replace_if", "replace_if_version", "put_many"])
def test_a_time_to_live_ends(client, name, write):
    users = client.map(name)
    with users.events() as events:
        if write.startswith("replace"):
            users.put("ada", 0)
            assert events.next(10).kind == "added"
        if write == "put_many":
            users.put_many({"ada": 1}, ttl=0.05)
        elif write == "replace_if":
            assert users.replace_if("ada", 0, 1, ttl=0.05)
        elif write == "replace_if_version":
            assert users.replace_if_version("ada", users.get_versioned("ada").version, 1, ttl=0.05)
        else:
            getattr(users, write)("ada", 1, ttl=0.05)
        assert events.next(10).kind in ("added", "updated")
        expired = events.next(10)
    assert (expired.kind, expired.key, expired.old, expired.new) == ("expired", "ada", 1, None)
    assert users.get("ada") is None


def test_the_next_write_ends_a_time_to_live(client, name):
    users = client.map(name)
    users.put("ada", 1, ttl=0.2)
    users.put("bob", 1, ttl=0.2)
    users.put("ada", 2)
    with users.events() as events:
        assert (events.next(10).key, users.get("ada")) == ("bob", 2)
    with pytest.raises(BadArgument):
        users.put("ada", 1, ttl=0)


def test_many_at_once(client, name):
    users = client.map(name)
    users.put_many({f"user-{number}": number for number in range(500)})
    users.put_many([("user-0", "again"), ("user-0", "and again")])
    assert users.size() == 500
    assert users.get_many(["user-0", "nobody", "user-7"]) == {"user-0": "and again", "user-7": 7}
    assert users.get_many([]) == {}
    users.put_many({})
    with pytest.raises(BadArgument):
        users.put_many({"user-1": 1, "user-2": None})
    assert users.get("user-1") == 1


def test_pages(client, name):
    """More than one page holds, by number and by bytes; the order is that of writing."""
    users = client.map(name)
    assert list(users.items()) == []
    users.put_many((number, b"x" * 100) for number in range(2500))
    users.put(0, "last")
    found = list(users.items())
    assert [key for key, _ in found] == [*range(1, 2500), 0]
    assert found[-1] == (0, "last")
    assert found == users.entries()
    users.clear()
    users.put_many((number, b"x" * 40_000) for number in range(7))
    assert [key for key, _ in users.items()] == list(range(7))


def test_a_map_that_changes_while_it_is_read(client, name):
    """What is there all the time comes at least once, whatever happens to the rest."""
    users = client.map(name)
    users.put_many((number, 0) for number in range(2500))
    found = []
    for number, (key, value) in enumerate(users.items()):
        found.append((key, value))
        if number == 0:
            users.remove(2000)
            users.put(1500, "new")
            users.put(1, "new")
    assert {key for key, _ in found} == set(range(2500)) - {2000}
    assert [value for key, value in found if key == 1] == [0, "new"]
    assert [value for key, value in found if key == 1500] == ["new"]


def test_reading_all(client, name):
    users = client.map(name)
    assert users.is_empty() is True
    users.put_many({"ada": 1, "bob": [2], 3: b"c"})
    assert users.is_empty() is False
    assert users.values() == [1, [2], b"c"]
    assert users.entries() == [("ada", 1), ("bob", [2]), (3, b"c")]
    assert users.contains_value([2]) is True
    assert users.contains_value(2) is False
    assert users.get_or_default("ada", 7) == 1
    assert users.get_or_default("eve", 7) == 7


def test_command_line(run, name):
    assert run("map", "put-many", name, "ada=1", "bob=two", "c=[3]") == (0, "")
    assert run("map", "entries", name) == (0, "ada\t1\nbob\ttwo\nc\t[3]\n")
    assert run("map", "items", name, "--json") == (0, '[["ada", 1], ["bob", "two"], ["c", [3]]]\n')
    assert run("map", "values", name) == (0, "1\ntwo\n[3]\n")
    assert run("map", "get-many", name, "ada", "eve", "bob") == (0, '{"ada": 1, "bob": "two"}\n')
    assert run("map", "replace-if", name, "ada", "2", "3") == (1, "false\n")
    assert run("map", "replace-if", name, "ada", "1", "3", "--ttl", "60") == (0, "true\n")
    code, printed = run("map", "get-versioned", name, "ada")
    version = printed.strip("[]\n").split(", ")[1]
    assert code == 0
    assert run("map", "replace-if-version", name, "ada", version, "4") == (0, "true\n")
    assert run("map", "remove-if-version", name, "ada", version) == (1, "false\n")
    assert run("map", "remove-if", name, "ada", "4") == (0, "true\n")
    assert run("map", "get-or-default", name, "ada", "7") == (0, "7\n")
    assert run("map", "contains-value", name, "two") == (0, "true\n")
    assert run("map", "is-empty", name) == (1, "false\n")
    assert run("map", "put-many", name, "ada")[0] == 64
