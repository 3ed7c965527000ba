"""The map beyond put and remove: times to live, conditions, versions, pages, and what listeners are told of them."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.shard.machines import paging
from ocelog.shard.machines.base import RELEASE, Commit
from ocelog.shard.machines.map import MapMachine

SESSION = 7


class Driver:
    """Applies commands at ascending indexes and times, fires timers, and keeps the books on live entries."""

    def __init__(self):
        self.machine = MapMachine()
        self.log = {}
        self.live = set()
        self.timers = []
        self.events = []
        self.time = 1000

    def run(self, name, *arguments):
        index = len(self.log) + 1
        operation = MapMachine.operations[name]
        self.log[index] = name, arguments, self.time
        if operation.mode == RELEASE:
            self.live.add(index)
        try:
            return operation.function(self.machine, Commit(index, self.time, SESSION), *arguments)
        finally:
            self._take(index)

    def ask(self, name, *arguments):
        return MapMachine.operations[name].function(self.machine, Commit(len(self.log), self.time, 1), *arguments)

    def _take(self, index):
        for released in self.machine.pending_releases:
            self.live.remove(released)  # a KeyError is an entry that was released twice
        self.timers += [(due, index, method, more) for due, method, more in self.machine.pending_timers]
        self.timers = [timer for timer in self.timers if timer[1] in self.live]
        for _, data in self.machine.pending_events:
            unpacker = msgpack.Unpacker()
            unpacker.feed(data)
            self.events.append(list(unpacker)[1])
        self.machine.forget_pending()

    def pass_ms(self, milliseconds):
        self.time += milliseconds
        for timer in sorted(self.timers):
            if timer[0] <= self.time:
                due, index, method, arguments = timer
                getattr(self.machine, method)(Commit(len(self.log) + 1, due, 0), *arguments)
                self._take(index)

    def told(self):
        events, self.events = self.events, []
        return events

    def check(self):
        """What is live is what the machine says, and another one made of it is the same, with the same timers."""
        assert sorted(self.machine.live_entries()) == sorted(self.live)
        machine, timers = MapMachine(), []
        machine.install(self.machine.snapshot())
        for index in sorted(self.live):
            name, arguments, time = self.log[index]
            MapMachine.operations[name].restoring(machine, Commit(index, time, SESSION), *arguments)
            assert not machine.pending_releases
            timers += [(due, index, method, more) for due, method, more in machine.pending_timers]
            machine.forget_pending()
        assert list(machine.live.items()) == list(self.machine.live.items())
        assert timers == sorted(self.timers, key=lambda timer: timer[1])


@pytest.fixture
def driver():
    driver = Driver()
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
    driver = Driver()
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
