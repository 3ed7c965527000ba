"""The value: each operation, its time to live, its events, and what is left of it in the log."""

from __future__ import annotations

import pytest
from ocelog.shard.machines.base import RELEASE, Commit
from ocelog.shard.machines.ttl import TTL_MS_MAX
from ocelog.shard.machines.value import ValueMachine

SESSION = 7


class Driver:
    """Applies commands at ascending indexes and times, fires timers, and keeps the books on live entries."""

    def __init__(self) -> None:
        self.machine = ValueMachine()
        self.log: dict[int, tuple[str, tuple, int]] = {}
        self.live: set[int] = set()
        self.timers: list[tuple[int, int, str]] = []
        self.events: list = []
        self.time = 1000
        self.index = 0

    def run(self, name, *arguments):
        self.index += 1
        operation = ValueMachine.operations[name]
        self.log[self.index] = name, arguments, self.time
        if operation.mode == RELEASE:
            self.live.add(self.index)
        try:
            return operation.function(self.machine, Commit(self.index, self.time, SESSION), *arguments)
        finally:
            self._take()

    def _take(self):
        for released in self.machine.pending_releases:
            self.live.remove(released)  # a KeyError is an entry that was released twice
        self.timers += [(due, self.index, method) for due, method, _ in self.machine.pending_timers]
        self.timers = [timer for timer in self.timers if timer[1] in self.live]
        self.events += self.machine.pending_events
        self.machine.forget_pending()

    def pass_ms(self, milliseconds):
        self.time += milliseconds
        for timer in sorted(self.timers):
            if timer[0] <= self.time and timer in self.timers:
                self.timers.remove(timer)
                getattr(self.machine, timer[2])(Commit(self.index + 1, timer[0], 0))
                self._take()

    def get(self):
        return ValueMachine.operations["get"].function(self.machine, Commit(self.index, self.time, SESSION))

    def restored(self):
        """Another machine and its timers, out of what is left."""
        machine, timers = ValueMachine(), []
        machine.install(self.machine.snapshot())
        for index in sorted(self.live):
            name, arguments, time = self.log[index]
            ValueMachine.operations[name].restoring(machine, Commit(index, time, SESSION), *arguments)
            assert not machine.pending_releases
            timers += [(due, index, method) for due, method, _ in machine.pending_timers]
            machine.forget_pending()
        return machine, timers

    def check(self):
        """What is live is what the machine says, and another one made of it is the same."""
        assert sorted(self.machine.live_entries()) == sorted(self.live)
        machine, timers = self.restored()
        assert (machine.value, machine.index) == (self.machine.value, self.machine.index)
        assert timers == self.timers


@pytest.fixture
def driver():
    driver = Driver()
    yield driver
    driver.check()


def changes(driver):
    import msgpack

    found = []
    for _, data in driver.events:
        unpacker = msgpack.Unpacker()
        unpacker.feed(data)
        name, value = unpacker
        assert name == "change"
        found.append(value)
    driver.events.clear()
    return found


def test_there_is_no_value_at_first(driver):
    assert driver.get() is None
    assert list(driver.machine.live_entries()) == []


def test_the_last_one_that_was_set_stays(driver):
    assert driver.run("set", b"1") is None
    assert driver.run("get_and_set", b"2") == b"1"
    assert driver.get() == b"2"
    assert driver.live == {2}


def test_compare_and_set_asks_first(driver):
    assert driver.run("compare_and_set", b"0", b"1") is False
    assert driver.run("compare_and_set", None, b"1") is True
    assert driver.run("compare_and_set", None, b"2") is False
    assert driver.run("compare_and_set", b"1", b"2") is True
    assert driver.get() == b"2"
    assert driver.live == {4}


def test_clear_leaves_nothing_in_the_log(driver):
    driver.run("set", b"1")
    assert driver.run("clear") == b"1"
    assert driver.run("clear") is None
    assert driver.get() is None
    assert driver.live == set()


@pytest.mark.parametrize("write", [("set", b"1", 50), ("get_and_set", b"1", 50), ("compare_and_set", None, b"1", 50)])
def test_a_time_to_live_is_in_the_entry(driver, write):
    """Atomix did not serialize the TTL of set, get_and_set and compare_and_set: it was lost on the way to the log."""
    driver.run(*write)
    driver.check()
    driver.pass_ms(49)
    assert driver.get() == b"1"
    driver.check()
    driver.pass_ms(1)
    assert driver.get() is None
    assert driver.live == set()


def test_a_restored_time_to_live_counts_from_the_write(driver):
    driver.run("set", b"1", 50)
    driver.pass_ms(30)
    assert driver.restored()[1] == [(1050, 1, "expire")]


def test_the_next_set_ends_a_time_to_live(driver):
    driver.run("set", b"1", 50)
    driver.run("set", b"1")
    driver.pass_ms(1000)
    assert driver.get() == b"1"


def test_one_that_fails_leaves_the_time_to_live_alone(driver):
    driver.run("set", b"1", 50)
    assert driver.run("compare_and_set", b"0", b"2", 500) is False
    driver.pass_ms(50)
    assert driver.get() is None


@pytest.mark.parametrize("ttl", [-1, TTL_MS_MAX + 1, 1.5, None, True])
def test_what_is_no_time_to_live_changes_nothing(ttl):
    driver = Driver()
    driver.run("set", b"1", 50)
    driver.run("listen", None)
    for write in (
        ("set", b"2"),
        ("get_and_set", b"2"),
        ("compare_and_set", b"1", b"2"),
        ("compare_and_set", b"0", b"2"),
    ):
        with pytest.raises((TypeError, ValueError)):
            driver.run(*write, ttl)
    assert driver.get() == b"1"
    assert changes(driver) == []


def test_the_value_is_in_the_log_until_it_is_replaced(driver):
    """Atomix closed the entry of a long's set and compare_and_set at once, so that compaction could lose the value."""
    driver.run("set", b"1")
    driver.run("compare_and_set", b"1", b"2")
    machine, _ = driver.restored()
    assert machine.value == b"2"


def test_listeners_are_told_of_changes_and_of_nothing_else(driver):
    driver.run("set", b"0")
    driver.run("listen", None)
    driver.run("set", b"1")
    driver.run("set", b"1")
    driver.run("compare_and_set", b"0", b"2")
    driver.run("compare_and_set", b"1", b"2")
    driver.run("clear")
    driver.run("clear")
    driver.run("set", b"3")
    assert changes(driver) == [
        ["changed", None, b"0", b"1"],
        ["changed", None, b"1", b"2"],
        ["changed", None, b"2", None],
        ["changed", None, None, b"3"],
    ]
    driver.run("unlisten", None)
    driver.run("set", b"4")
    assert changes(driver) == []


def test_listeners_are_told_when_it_expires(driver):
    """Atomix told nobody."""
    driver.run("listen", None)
    driver.run("set", b"1", 50)
    driver.pass_ms(50)
    assert changes(driver)[1:] == [["expired", None, b"1", None]]


def test_a_session_that_ended_listens_no_more(driver):
    driver.run("listen", None)
    assert driver.machine.watches(SESSION)
    driver.machine.session_expired(Commit(9, driver.time, SESSION))
    assert not driver.machine.watches(SESSION)
    assert driver.machine.snapshot() == []


def test_a_value_has_no_keys(driver):
    for name in ("listen", "unlisten"):
        with pytest.raises(TypeError):
            driver.run(name, b"key")


def test_a_second_live_entry_is_noticed():
    machine = ValueMachine()
    restore = ValueMachine.operations["set"].restoring
    restore(machine, Commit(1, 0, 1), b"1")
    with pytest.raises(ValueError, match="second live entry"):
        restore(machine, Commit(2, 0, 1), b"2")
