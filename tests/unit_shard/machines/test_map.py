"""The map beyond put and remove: times to live, conditions, versions, pages, and what listeners are told of them."""

from __future__ import annotations

from random import Random

import pytest
from ocelog.shard.machines import paging
from ocelog.shard.machines.map import MapMachine

from .driver import Driver


@pytest.fixture
def driver():
    driver = Driver(MapMachine)
    yield driver
    driver.check()


@pytest.mark.parametrize(
    "write",
    [
        ("put", b"a", b"1", 50),
        ("put_if_absent", b"a", b"1", 50),
        ("replace", b"old", b"1", 50),
        ("replace_if", b"old", b"0", b"1", 50),
        ("replace_if_version", b"old", 1, b"1", 50),
    ],
)
def test_every_write_may_have_a_time_to_live(driver, write):
    """It is an argument of the entry, so it is there after a restart: Atomix lost that of its values on the way to the log."""
    driver.run("put", b"old", b"0")
    driver.run(*write)
    driver.check()
    driver.pass_ms(49)
    assert driver.ask("get", write[1]) == b"1"
    driver.pass_ms(1)
    assert driver.ask("get", write[1]) is None
    assert driver.timers == []


def test_an_overwrite_ends_a_time_to_live(driver):
    driver.run("put", b"a", b"1", 50)
    driver.run("put", b"a", b"2")
    driver.run("put", b"b", b"1", 50)
    driver.run("replace", b"b", b"2", 80)
    driver.pass_ms(50)
    assert driver.ask("entries") == [[b"a", b"2"], [b"b", b"2"]]
    driver.pass_ms(30)
    assert driver.ask("entries") == [[b"a", b"2"]]


@pytest.mark.parametrize("name", ["remove", "clear"])
def test_what_was_removed_does_not_expire(driver, name):
    driver.run("put", b"a", b"1", 50)
    driver.run(*([name, b"a"] if name == "remove" else [name]))
    driver.run("put", b"a", b"2")
    driver.pass_ms(50)
    assert driver.ask("get", b"a") == b"2"


@pytest.mark.parametrize("ttl", [-1, 1 << 62, 1.5])
def test_what_is_no_time_to_live_changes_nothing(ttl):
    driver = Driver(MapMachine)
    driver.run("put", b"a", b"1")
    for write in (("put",), ("replace",)):
        with pytest.raises((TypeError, ValueError)):
            driver.run(*write, b"a", b"2", ttl)
    for write in (("replace_if", b"a", b"1"), ("replace_if_version", b"a", 1)):
        with pytest.raises((TypeError, ValueError)):
            driver.run(*write, b"2", ttl)
    assert driver.machine.live == {b"a": (1, b"1")}


def test_one_that_changed_nothing_leaves_no_entry(driver):
    driver.run("put", b"a", b"1")
    assert driver.run("put_if_absent", b"a", b"2", 50) == b"1"
    assert driver.run("replace", b"b", b"2", 50) is None
    assert driver.run("replace_if", b"a", b"2", b"3", 50) is False
    assert driver.run("replace_if", b"b", b"2", b"3", 50) is False
    assert driver.run("replace_if_version", b"a", 2, b"3", 50) is False
    assert driver.run("remove_if", b"a", b"2") is False
    assert driver.run("remove_if_version", b"a", 2) is False
    assert driver.live == {1}
    assert driver.timers == []


def test_versions_are_the_indexes_of_the_writes(driver):
    driver.run("put", b"a", b"1")
    assert driver.ask("get_versioned", b"a") == [b"1", 1]
    assert driver.run("replace_if_version", b"a", 1, b"2") is True
    assert driver.ask("get_versioned", b"a") == [b"2", 2]
    assert driver.run("remove_if_version", b"a", 2) is True
    assert driver.ask("get_versioned", b"a") is None
    assert driver.run("remove_if_version", b"a", 2) is False


def test_listeners_are_told_of_everything_that_changes_a_key(driver):
    """Atomix told nobody when a map was cleared."""
    driver.run("listen", None)
    driver.run("put", b"a", b"1", 50)
    driver.run("replace_if", b"a", b"1", b"2", 50)
    driver.run("replace_if", b"a", b"1", b"3")
    driver.pass_ms(50)
    driver.run("put", b"b", b"1")
    driver.run("remove_if", b"b", b"1")
    driver.run("put", b"c", b"1")
    driver.run("clear")
    driver.run("clear")
    assert driver.told() == [
        ["added", b"a", None, b"1"],
        ["updated", b"a", b"1", b"2"],
        ["expired", b"a", b"2", None],
        ["added", b"b", None, b"1"],
        ["removed", b"b", b"1", None],
        ["added", b"c", None, b"1"],
        ["cleared", None, None, None],
    ]


def test_many_keys_are_read_in_their_order(driver):
    driver.run("put", b"a", b"1")
    driver.run("put", b"b", b"")
    assert driver.ask("get_many", b"b", b"c", b"a", b"b") == [b"", None, b"1", b""]
    assert driver.ask("get_many") == []
    assert driver.ask("values") == [b"1", b""]
    assert driver.ask("contains_value", b"") is True
    assert driver.ask("contains_value", b"2") is False


def test_pages_follow_the_order_of_the_writes(driver, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    for key in (b"a", b"b", b"c", b"d", b"a"):
        driver.run("put", key, b"1")
    assert driver.ask("page", 0) == [False, 3, [[b"b", b"1"], [b"c", b"1"]]]
    assert driver.ask("page", 3) == [True, 5, [[b"d", b"1"], [b"a", b"1"]]]
    assert driver.ask("page", 5) == [True, 5, []]


def test_a_page_holds_one_entry_of_any_size(driver, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_BYTES_MAX", 4)
    for key, value in ((b"a", b"11"), (b"b", b"22"), (b"c", b"large"), (b"d", b"")):
        driver.run("put", key, value)
    assert driver.ask("page", 0) == [False, 1, [[b"a", b"11"]]]
    assert driver.ask("page", 1) == [False, 2, [[b"b", b"22"]]]
    assert driver.ask("page", 2) == [False, 3, [[b"c", b"large"]]]
    assert driver.ask("page", 3) == [True, 4, [[b"d", b""]]]


def count_looks(driver, monkeypatch):
    """A list that has an item for each look at an entry."""
    looks = []

    def index_of(held):
        looks.append(held)
        return held[0]

    monkeypatch.setattr(driver.machine._paging, "_index_of", index_of)
    return looks


def test_who_follows_the_newest_looks_at_nothing_else(driver, monkeypatch):
    """Asking again and again for what came since costs what came since."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 20)
    for number in range(1000):
        driver.run("put", b"%d" % number, b"")
    looks = count_looks(driver, monkeypatch)
    assert driver.ask("page", 1000) == [True, 1000, []]
    assert [key for key, _ in driver.ask("page", 995)[2]] == [b"995", b"996", b"997", b"998", b"999"]
    is_last, after, rows = driver.ask("page", 980)
    assert (is_last, after, len(rows)) == (True, 1000, 20)
    assert len(looks) <= 1 + 6 + 21


def test_a_page_does_not_walk_over_what_was_read(driver, monkeypatch):
    """Reading all of a map in pages takes a few looks at each entry; it took one at all before it, for each page."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 20)
    for number in range(1000):
        driver.run("put", b"%d" % number, b"")
    looks = count_looks(driver, monkeypatch)
    after, is_last, found = 0, False, []
    while not is_last:
        is_last, after, rows = driver.ask("page", after)
        found += [key for key, _ in rows]
    assert found == list(driver.machine.live)
    assert len(looks) < 3 * len(found)


def test_pages_of_a_map_that_changes_are_those_of_a_walk(driver, monkeypatch):
    """Whatever was written, removed or cleared since the page before, and whoever else reads pages at the same time."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 3)
    random = Random(1)
    readers = [0, 0]
    for _ in range(2000):
        key = b"%d" % random.randrange(20)
        driver.run(*random.choices([("put", key, b""), ("remove", key), ("clear",)], (60, 20, 1))[0])
        number = random.randrange(3)
        if number < 2:
            walk = [(index, key) for key, (index, _) in driver.machine.live.items() if index > readers[number]]
            is_last, after, rows = driver.ask("page", readers[number])
            assert [key for key, _ in rows] == [key for _, key in walk[:3]]
            assert (is_last, after) == (len(walk) <= 3, walk[:3][-1][0] if walk else readers[number])
            readers[number] = 0 if is_last else after
    assert driver.ask("size") == len(driver.machine.live)
