"""The partitioned map's handles and `ocelog partitioned-map`, against a real cluster of two shards."""

from __future__ import annotations

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, Closed, DeadlineExceeded
from ocelog.client.protocol.routing import slot_of
from ocelog.client.protocol.values import encode_key

pytestmark = pytest.mark.system

NUMBERS = {f"user-{number}": number for number in range(300)}


def test_keys_are_on_all_shards(client, name):
    users = client.partitioned_map(name)
    users.put_many(NUMBERS)
    by_shard = {}
    for key in NUMBERS:
        by_shard.setdefault(users.shard_of(key), []).append(key)
    assert sorted(by_shard) == [0, 1] and min(map(len, by_shard.values())) > 100
    assert users.shard_of("ada") == (slot_of(encode_key("ada")) >= 8192), "the slots of two shards are two halves"
    assert users.size() == 300
    assert users.is_empty() is False
    assert sorted(users.keys()) == sorted(NUMBERS)
    assert sorted(users.values()) == sorted(NUMBERS.values())
    assert dict(users.entries()) == NUMBERS
    assert users.entries() == list(users.items())
    assert [users.shard_of(key) for key, _ in users.entries()] == sorted(map(users.shard_of, NUMBERS))
    assert users.get_many(["user-1", "nobody", "user-2", "user-3"]) == {"user-1": 1, "user-2": 2, "user-3": 3}
    assert users.contains_value(299) is True
    assert users.contains_value(300) is False
    users.clear()
    assert users.is_empty() is True
    assert users.keys() == []


def test_one_key(client, name):
    users = client.partitioned_map(name)
    for key in ("ada", "bob", 7, b"x"):
        assert users.put(key, 1) is None
        assert users.put_if_absent(key, 2) == 1
        assert users.replace(key, 2) == 1
        assert users.replace_if(key, 1, 3) is False
        version = users.get_versioned(key).version
        assert users.replace_if_version(key, version, 3) is True
        assert users.remove_if_version(key, version) is False
        assert users.remove_if(key, 1) is False
        assert users.contains(key) is True
        assert users.get(key) == users.get_or_default(key, 0) == 3
        assert users.remove(key) == 3
        assert users.get_or_default(key, 0) == 0
    assert users.is_empty()


def test_events_of_all_shards_and_of_one_key(client, name):
    users = client.partitioned_map(name)
    with users.events() as events, users.events("user-1") as of_one:
        users.put_many(NUMBERS)
        users.put("user-1", 0, ttl=0.05)
        found = [events.next(10) for _ in range(302)]
        assert [of_one.next(10).kind for _ in range(3)] == ["added", "updated", "expired"]
        with pytest.raises(DeadlineExceeded):
            events.next(0.01)
        users.clear()
        assert [events.next(10).kind, events.next(10).kind] == ["cleared", "cleared"]
    added = [event for event in found if event.kind == "added"]
    assert {event.key: event.new for event in added} == NUMBERS
    for shard in (0, 1):
        indexes = [event.index for event in found if users.shard_of(event.key) == shard]
        assert indexes == sorted(indexes)
    with pytest.raises(Closed):
        events.next(1)


def test_iterating_over_events_ends_when_nothing_comes(client, name):
    users = client.partitioned_map(name)
    with users.events(timeout=0.3) as events:
        users.put_many(NUMBERS)
        assert len(list(events)) == 300


def test_callbacks(endpoints, name):
    import queue

    seen = queue.SimpleQueue()
    with ocelog.connect(endpoints) as client:
        users = client.partitioned_map(name)
        subscription = users.on_change(seen.put)
        users.put_many(NUMBERS)
        assert {seen.get(timeout=10).key for _ in NUMBERS} == set(NUMBERS)
        subscription.close()
        users.put_many(NUMBERS)
        with users.on_change(seen.put, "user-7"):
            users.put_many(NUMBERS)
            assert seen.get(timeout=10).key == "user-7"
        assert seen.empty()


def test_levels_of_consistency(client, name):
    users = client.partitioned_map(name).with_consistency(queries=ocelog.SEQUENTIAL, commands=ocelog.LINEARIZABLE)
    users.put_many(NUMBERS)
    assert users.size() == 300
    assert users.get("user-1", consistency=ocelog.CAUSAL) == 1
    with pytest.raises(BadArgument):
        users.size(consistency=7)


def test_names_do_not_collide(client, name):
    """A partitioned map, a map, and nothing that could be taken for a part of either."""
    users = client.partitioned_map(name)
    users.put("ada", 1)
    client.map(name).put("ada", 2)
    assert users.get("ada") == 1
    for taken in (f"partitioned/{name}", "partitioned/"):
        for make in (client.map, client.counter, client.partitioned_map, client.exists):
            with pytest.raises(BadArgument, match="partitioned"):
                make(taken)
    with pytest.raises(BadArgument):
        client.partitioned_map("x" * 244)
    with pytest.raises(BadArgument):
        client.partitioned_map("")


def test_deleting(client, name):
    users = client.partitioned_map(name)
    users.put_many(NUMBERS)
    assert f"partitioned/{name}" in client.resources("map")
    users.delete()
    assert f"partitioned/{name}" not in client.resources("map")
    assert users.size() == 0
    users.put("ada", 1)
    assert users.size() == 1


def test_command_line(run, name):
    assert run("partitioned-map", "put-many", name, "ada=1", "bob=2", "eve=3", "--ttl", "60") == (0, "")
    assert run("partitioned-map", "size", name) == (0, "3\n")
    assert run("partitioned-map", "get", name, "bob") == (0, "2\n")
    assert sorted(run("partitioned-map", "items", name)[1].splitlines()) == ["ada\t1", "bob\t2", "eve\t3"]
    assert run("partitioned-map", "delete", name) == (0, "")
    assert run("partitioned-map", "get", name, "bob") == (1, "")
