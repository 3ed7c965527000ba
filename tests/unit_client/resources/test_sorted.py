"""The handles of sorted maps and sorted sets, `ocelog sorted-map` and `ocelog sorted-set`, against a real cluster."""

from __future__ import annotations

import asyncio
import threading

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, EventsPending, MachineError

pytestmark = pytest.mark.system

ORDERED = [-(2**63), -1, 0, 2**63 - 1, "", "a", "ab", "b", "é", "\U0001f600", b"", b"a"]


@pytest.fixture
def scores(client, name):
    scores = client.sorted_map(name)
    scores.put_many({30: "c", 10: "a", 20: "b"})
    return scores


def test_keys_come_in_one_order(client, name):
    keys = client.sorted_map(name)
    keys.put_many((key, 1) for key in reversed(ORDERED))
    assert keys.keys() == ORDERED
    assert [key for key, _ in keys.items()] == ORDERED
    assert [key for key, _ in keys.range(reverse=True)] == ORDERED[::-1]
    values = client.sorted_set(f"{name}/set")
    values.add_many(reversed(ORDERED))
    assert values.values() == list(values.items()) == list(values.range()) == ORDERED


def test_both_ends_and_neighbours(scores, client, name):
    assert (scores.first(), scores.last()) == ((10, "a"), (30, "c"))
    assert (scores.first_key(), scores.last_key()) == (10, 30)
    assert [scores.lower(key) for key in (10, 20, 25)] == [None, (10, "a"), (20, "b")]
    assert [scores.floor(key) for key in (9, 20, 25)] == [None, (20, "b"), (20, "b")]
    assert [scores.ceiling(key) for key in (15, 20, 31)] == [(20, "b"), (20, "b"), None]
    assert [scores.higher(key) for key in (10, 25, 30)] == [(20, "b"), (30, "c"), None]
    assert [scores.lower_key(20), scores.floor_key(20), scores.ceiling_key(20), scores.higher_key(20)] == [
        10,
        20,
        20,
        30,
    ]
    assert scores.higher_key(30) is None
    names = client.sorted_set(f"{name}/set")
    assert (names.first(), names.last(), names.poll_first()) == (None, None, None)
    names.add_many(["b", "a", "c"])
    assert (names.first(), names.last(), names.lower("b"), names.higher("b")) == ("a", "c", "a", "c")


def test_ranges(scores):
    assert list(scores.range(10, 30)) == [(10, "a"), (20, "b")]
    assert list(scores.range(10, 30, include_low=False, include_high=True)) == [(20, "b"), (30, "c")]
    assert list(scores.range(high=20)) == [(10, "a")]
    assert list(scores.range(15, reverse=True)) == [(30, "c"), (20, "b")]
    assert list(scores.range(limit=2)) == [(10, "a"), (20, "b")]
    assert list(scores.range(limit=0)) == []
    assert list(scores.range(limit=9, reverse=True)) == [(30, "c"), (20, "b"), (10, "a")]
    assert (scores.count(), scores.count(10, 30), scores.count(31)) == (3, 2, 0)
    for limit in (-1, 1.5, True):
        with pytest.raises(BadArgument):
            list(scores.range(limit=limit))
    with pytest.raises(BadArgument):
        list(scores.range(1.5))


def test_a_large_range_comes_in_pages_whatever_changes(client, name):
    """Each page begins behind the last key of the one before: what is there all the time comes once."""
    numbers = client.sorted_set(name)
    numbers.add_many(range(0, 5000, 2))
    found = []
    for number in numbers.range(100, reverse=True):
        found.append(number)
        if len(found) == 1:
            numbers.remove_many([500, 4998])
            numbers.add_many([101, 4999])
    assert found == [*(number for number in range(4998, 101, -2) if number != 500), 101, 100]
    assert list(numbers.range(limit=1500)) == numbers.values()[:1500]


PATHS = {
    ocelog.LINEARIZABLE: ("read index",),
    ocelog.BOUNDED_LINEARIZABLE: ("lease", "read index"),
    ocelog.SEQUENTIAL: ("local",),
    ocelog.CAUSAL: ("local",),
}
"""How a query of each level is served: a lease may just not hold."""


@pytest.mark.parametrize("level", PATHS, ids=str)
def test_ranges_at_every_level_of_consistency(endpoints, scores, level):
    """The level that was asked for is the one that is used: Atomix' queries kept it and never told, so all were linearizable."""
    with ocelog.connect(endpoints) as client, client.receipts() as receipts:
        same = client.sorted_map(scores.resource.name)
        assert list(same.range(15, consistency=level)) == [(20, "b"), (30, "c")]
        assert same.first(consistency=level) == (10, "a")
        assert same.with_consistency(queries=level).count(10) == 3
    assert len(receipts) == 3
    assert all(receipt.fields["path"] in PATHS[level] for receipt in receipts)


def test_the_same_in_an_event_loop(endpoints, scores):
    async def paths() -> list[str]:
        async with ocelog.connect_async(endpoints) as client:
            same = client.sorted_map(scores.resource.name)
            with client.receipts() as receipts:
                assert [row async for row in same.range(15, consistency=ocelog.CAUSAL)] == [(20, "b"), (30, "c")]
                assert await same.first(consistency=ocelog.LINEARIZABLE) == (10, "a")
            return [receipt.fields["path"] for receipt in receipts]

    assert asyncio.run(paths()) == ["local", "read index"]


def test_polling(scores, client, name):
    with scores.events() as events:
        assert scores.poll_first() == (10, "a")
        assert scores.poll_last() == (30, "c")
        told = [events.next(10) for _ in range(2)]
    assert [(event.kind, event.key, event.old) for event in told] == [("removed", 10, "a"), ("removed", 30, "c")]
    assert scores.poll_first() == (20, "b")
    assert scores.poll_first() is None
    assert scores.poll_last() is None
    names = client.sorted_set(f"{name}/set")
    names.add_many("abc")
    assert (names.poll_last(), names.poll_first(), names.values()) == ("c", "a", ["b"])


def test_a_range_is_removed_however_large_it_is(client, name):
    numbers = client.sorted_set(name)
    numbers.add_many(range(3000))
    assert numbers.remove_range(10, 2990) == 2980
    assert numbers.remove_range(10, 2990) == 0
    assert numbers.size() == 20
    assert numbers.remove_range(9, 2990, include_low=False, include_high=True) == 1
    assert numbers.remove_range() == 19


def test_what_is_done_is_told_also_when_listeners_are_slow(endpoints, name):
    """EventsPending has the result as the call would have returned it, for whoever does not want to wait for listeners."""
    held = threading.Event()
    with ocelog.connect(endpoints) as slow, ocelog.connect(endpoints) as client:
        scores, teams = client.sorted_map(name), client.multimap(f"{name}/teams")
        scores.put_many({1: "a", 2: "b", 3: "c", 4: "d"})
        teams.put_many([("reds", "ada"), ("reds", "bob")])
        slow.sorted_map(name).on_change(lambda event: held.wait(60))
        slow.multimap(f"{name}/teams").on_change(lambda event: held.wait(60))
        waiting = {"timeout": 0.2, "consistency": ocelog.LINEARIZABLE}
        calls = [
            (lambda: scores.poll_first(**waiting), (1, "a")),
            (lambda: scores.remove(4, **waiting), "d"),
            (lambda: scores.remove_range(2, **waiting), 2),
            (lambda: scores.poll_last(**waiting), None),
            (lambda: teams.remove("reds", **waiting), ["ada", "bob"]),
        ]
        try:
            for call, result in calls:
                if result is None:
                    assert call() is None, "nothing has changed, so nobody is waited for"
                    continue
                with pytest.raises(EventsPending) as pending:
                    call()
                assert pending.value.result == result
        finally:
            held.set()


def test_it_is_a_map(scores):
    version = scores.get_versioned(10).version
    assert scores.replace_if_version(10, version, "x") is True
    assert scores.put_if_absent(10, "y") == "x"
    assert scores.replace_if(10, "x", "z") is True
    assert scores.get_many([10, 11]) == {10: "z"}
    assert (scores.values(), scores.entries()[0]) == (["z", "b", "c"], (10, "z"))
    with scores.events(5) as events:
        scores.put(5, "short", ttl=0.05)
        assert [events.next(10).kind for _ in range(2)] == ["added", "expired"]
    assert scores.first() == (10, "z")
    with scores.cached() as cached:
        assert cached.get(20) == "b"
        scores.remove_range(20, 21)
        assert cached.get(20, consistency=ocelog.LINEARIZABLE) is None
    scores.clear()
    assert scores.is_empty() is True


def test_what_has_no_place_in_order_is_refused(client, name):
    """The shard does not trust the client: it reads the key, and refuses what is none."""
    names = client.sorted_set(name)
    for value in (1.5, True, ["a"], None):
        with pytest.raises(BadArgument):
            names.add(value)
    with pytest.raises(MachineError):
        client.perform(names.resource, ("add", b"\xc3"), False, None, ocelog.SEQUENTIAL)
    assert names.is_empty() is True


def test_command_line(run_here, name):
    assert run_here("sorted-map", "put-many", name, "20=b", "10=a", "x=c") == (0, "")
    assert run_here("sorted-map", "items", name) == (0, "10\ta\n20\tb\nx\tc\n")
    assert run_here("sorted-map", "range", name, "--low", "10", "--no-include-low", "--reverse") == (0, "x\tc\n20\tb\n")
    assert run_here("sorted-map", "range", name, "--high", "20", "--include-high", "--limit", "1") == (0, "10\ta\n")
    assert run_here("sorted-map", "count", name, "--high", "x") == (0, "2\n")
    assert run_here("sorted-map", "floor", name, "15") == (0, '[10, "a"]\n')
    assert run_here("sorted-map", "lower", name, "10") == (1, "")
    assert run_here("sorted-map", "poll-last", name) == (0, '["x", "c"]\n')
    assert run_here("sorted-map", "remove-range", name, "--low", "11") == (0, "1\n")
    assert run_here("sorted-map", "get", name, "10") == (0, "a\n")
    names = f"{name}/set"
    assert run_here("sorted-set", "add-many", names, "b", "a", "7") == (0, "3\n")
    assert run_here("sorted-set", "values", names) == (0, "7\na\nb\n")
    assert run_here("sorted-set", "first", names) == (0, "7\n")
    assert run_here("sorted-set", "higher", names, "a") == (0, "b\n")
    assert run_here("sorted-set", "remove", names, "7") == (0, "true\n")
    assert run_here("sorted-set", "poll-first", names, "--json") == (0, '"a"\n')
