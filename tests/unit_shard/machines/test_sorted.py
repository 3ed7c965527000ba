"""Sorted maps and sorted sets: the order of keys, ranges, both ends, and what of it is as in a map or a set."""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.machines import ordered, paging
from ocelog.shard.machines.ordered import Ordered
from ocelog.shard.machines.places import key_at, place_of
from ocelog.shard.machines.sorted_map import SortedMapMachine
from ocelog.shard.machines.sorted_set import SortedSetMachine

from .driver import Driver

KEYS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(), st.binary())
RANKS = {int: 0, str: 1, bytes: 2}


def key(value):
    return msgpack.packb(value)


def rank(value):
    return RANKS[type(value)], value


@given(st.lists(KEYS))
def test_keys_are_ordered_by_kind_and_then_by_value(values):
    """Integers by value, before texts by code point, before binaries byte by byte; and each is found again at its place."""
    places = sorted(place_of(key(value)) for value in values)
    assert [msgpack.unpackb(key_at(place)) for place in places] == sorted(values, key=rank)
    assert all(key_at(place_of(key(value))) == key(value) for value in values)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\xc3",
        b"\xcb" + bytes(8),
        b"\x90",
        b"\x80",
        b"\xd4\x01\x00",
        b"\xcc\x07",  # 7, but not in its shortest form
        b"\xd2\x00\x00\x00\x07",
        b"\xd9\x01a",
        b"\xc5\x00\x01a",
        b"\xa2a",
        b"\xa1ab",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",  # half of a surrogate pair
        b"\xc1",
    ],
)
def test_what_is_no_canonical_key_has_no_place(data):
    """Whoever sends it: two spellings of one key would be two keys, and the client need not be ours."""
    with pytest.raises(ValueError):
        place_of(data)
    driver = Driver(SortedMapMachine)
    for command in (("put", data, b"1"), ("put_if_absent", data, b"1", 50)):
        with pytest.raises(ValueError):
            driver.run(*command)
    with pytest.raises(ValueError):
        driver.ask("range", data, None, True, True, False, 0)
    assert (driver.machine.live, len(driver.machine.live.order), driver.timers) == ({}, 0, [])


@pytest.mark.parametrize("block", [2, 3, 8, 512])
def test_a_list_in_blocks_is_as_a_sorted_list(block, monkeypatch):
    monkeypatch.setattr(ordered, "BLOCK_MAX", block)
    random = Random(block)
    found, known = Ordered(), []
    for step in range(3000):
        place = b"%03d" % random.randrange(300)
        if place in known:
            known.remove(place)
            found.remove(place)
        elif random.random() < 0.7 or step % 1000 < 500:
            known = sorted([*known, place])
            found.add(place)
        bound = b"%03d" % random.randrange(-1, 301)
        assert found.rank(bound) == sum(other < bound for other in known)
        assert list(found.ascending(bound)) == [other for other in known if other >= bound]
        assert list(found.descending(bound)) == [other for other in reversed(known) if other < bound]
        assert list(found) == known and len(found) == len(known)
        assert all(len(some) <= block for some in found._blocks) and all(found._blocks)
    for place in known:
        found.remove(place)
    assert (list(found), found._blocks, found._firsts) == ([], [], [])


def test_blocks_that_become_small_are_joined(monkeypatch):
    """Else a list of which most was taken out would be as many blocks as before, each of one."""
    monkeypatch.setattr(ordered, "BLOCK_MAX", 8)
    found = Ordered()
    for number in range(1000):
        found.add(b"%04d" % number)
    for number in range(1000):
        if number % 10:
            found.remove(b"%04d" % number)
    assert len(found) == 100
    assert len(found._blocks) <= 70


@pytest.fixture
def scores():
    driver = Driver(SortedMapMachine)
    for number in (30, 10, 20):
        driver.run("put", key(number), b"%d" % number)
    yield driver
    driver.check()


@pytest.fixture
def names():
    driver = Driver(SortedSetMachine)
    for name in ("b", "d", "a", "c"):
        driver.run("add", key(name))
    yield driver
    driver.check()


def span(driver, low=None, high=None, low_is_in=True, high_is_in=True, reverse=False, limit=0):
    bounds = [None if bound is None else key(bound) for bound in (low, high)]
    is_last, rows = driver.ask("range", *bounds, low_is_in, high_is_in, reverse, limit)
    return is_last, [msgpack.unpackb(row[0] if type(row) is list else row) for row in rows]


def test_ranges_with_every_kind_of_bound(scores):
    assert span(scores) == (True, [10, 20, 30])
    assert span(scores, reverse=True) == (True, [30, 20, 10])
    assert span(scores, 10, 30) == (True, [10, 20, 30])
    assert span(scores, 10, 30, False, False) == (True, [20])
    assert span(scores, 10, 30, False, True, reverse=True) == (True, [30, 20])
    assert span(scores, 11, 29, False, False) == (True, [20])
    assert span(scores, 20, 20) == (True, [20])
    assert span(scores, 20, 20, True, False) == (True, [])
    assert span(scores, 30, 10) == (True, [])
    assert span(scores, 30, 10, reverse=True) == (True, [])
    assert span(scores, "", None) == (True, [])
    assert span(scores, None, "") == (True, [10, 20, 30])
    assert span(scores, limit=2) == (False, [10, 20])
    assert span(scores, limit=3) == (True, [10, 20, 30])
    assert span(scores, reverse=True, limit=1) == (False, [30])


def test_a_range_is_a_range_of_a_sorted_list():
    """Every combination of bounds, against the obvious."""
    driver = Driver(SortedSetMachine)
    there = (-5, 0, 3, "", "a", "ab", "b", b"", b"a")
    for value in there:
        driver.run("add", key(value))
    bounds = (None, -9, *there, 4, "aa", b"\xff")
    for low in bounds:
        for high in bounds:
            for ins in ((True, True), (True, False), (False, True), (False, False)):
                wanted = [
                    value
                    for value in there
                    if low is None or rank(value) > rank(low) or (ins[0] and value == low)
                    if high is None or rank(value) < rank(high) or (ins[1] and value == high)
                ]
                assert span(driver, low, high, *ins) == (True, wanted)
                assert span(driver, low, high, *ins, reverse=True) == (True, wanted[::-1])
                packed = [None if bound is None else key(bound) for bound in (low, high)]
                assert driver.ask("count", *packed, *ins) == len(wanted)


@pytest.mark.parametrize("arguments", [(7, None, True, True, False, 0), (None, None, True, True, False, -1)])
def test_what_is_no_range_is_refused(scores, arguments):
    with pytest.raises((TypeError, ValueError)):
        scores.ask("range", *arguments)


def test_a_page_holds_what_fits_and_the_next_begins_behind_it(scores, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    assert span(scores) == (False, [10, 20])
    scores.run("put", key(15), b"15")
    scores.run("remove", key(20))
    assert span(scores, low=20, low_is_in=False) == (True, [30])
    assert span(scores, reverse=True) == (False, [30, 15])
    monkeypatch.setattr(paging, "PAGE_BYTES_MAX", 3)
    assert span(scores) == (False, [10])


def test_a_sorted_map_tells_all_in_order_of_keys(scores):
    scores.run("put", key("x"), b"0")
    scores.run("put", key(10), b"again")
    assert scores.ask("keys") == [key(10), key(20), key(30), key("x")]
    assert scores.ask("values") == [b"again", b"20", b"30", b"0"]
    assert scores.ask("entries")[0] == [key(10), b"again"]
    assert [row[0] for row in scores.ask("page", 0)[2]] == [key(30), key(20), key("x"), key(10)]


def test_a_sorted_set_tells_all_in_order(names):
    assert names.ask("values") == [key(name) for name in "abcd"]
    assert names.run("add", key("a")) is False
    assert names.run("remove_many", key("a"), key("d"), key("z")) == 2
    assert names.ask("values") == [key("b"), key("c")]


def test_both_ends_are_taken_out(scores, names):
    scores.run("listen", None)
    assert scores.run("poll_first") == [key(10), b"10"]
    assert scores.run("poll_last") == [key(30), b"30"]
    assert scores.run("poll_last") == [key(20), b"20"]
    assert scores.run("poll_first") is None
    assert scores.run("poll_last") is None
    assert scores.live == set()
    assert [kind for kind, *_ in scores.told()] == ["removed"] * 3
    assert names.run("poll_last") == key("d")
    assert names.run("poll_first") == key("a")


def test_a_range_is_removed(scores):
    scores.run("listen", key(20))
    assert scores.run("remove_range", key(10), key(30), False, False) == [True, 1]
    assert scores.run("remove_range", key(10), key(30), False, False) == [True, 0]
    assert scores.told() == [["removed", key(20), b"20", None]]
    with pytest.raises(ValueError):
        scores.run("remove_range", key(10), b"\xc0", True, True)
    assert scores.run("remove_range", None, None, True, True) == [True, 2]
    assert scores.live == set()


def test_one_command_removes_as_much_as_a_page_holds(names, monkeypatch):
    """So that none takes the shard long, nor fills what is kept for a listener, however large the range is."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    names.run("listen", None)
    assert names.run("remove_range", key("a"), None, False, True) == [False, 2]
    assert names.ask("values") == [key("a"), key("d")]
    assert names.run("remove_range", key("a"), None, False, True) == [True, 1]
    assert names.told() == [["removed", key(name), None, None] for name in "bcd"]


def test_what_a_map_does_it_does_in_order_as_well(scores):
    """Conditions, versions and times to live are the map's; after each of them the order is right."""
    assert scores.run("put_if_absent", key(5), b"5", 50) is None
    assert scores.run("replace_if", key(5), b"5", b"6", 50) is True
    version = scores.ask("get_versioned", key(5))[1]
    assert scores.run("replace_if_version", key(5), version, b"7", 50) is True
    assert scores.run("remove_if", key(10), b"10") is True
    assert span(scores) == (True, [5, 20, 30])
    scores.check()
    scores.pass_ms(50)
    assert span(scores) == (True, [20, 30])
    scores.run("clear")
    assert span(scores) == (True, [])
    assert scores.run("put", key(1), b"1") is None
    assert span(scores) == (True, [1])


def test_a_value_of_a_sorted_set_may_have_a_time_to_live(names):
    names.run("add", key("aa"), 50)
    assert span(names, "a", "b", False, False) == (True, ["aa"])
    names.pass_ms(50)
    assert span(names, "a", "b", False, False) == (True, [])
