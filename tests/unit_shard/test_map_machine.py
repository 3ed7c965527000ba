"""The map: results, releases, order, and restoring from what is live."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.map import MapMachine

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.binary(max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "put_if_absent", "replace"]), KEYS, VALUES),
        st.tuples(st.just("remove"), KEYS),
        st.tuples(st.just("clear")),
    ),
    max_size=40,
)


class Driver:
    """Applies commands at ascending indexes, and keeps the books on releases."""

    def __init__(self):
        self.machine = MapMachine()
        self.log = {}
        self.released = []

    def run(self, name, *arguments):
        index = len(self.log) + 1
        self.log[index] = (name, arguments)
        result = self.machine.operations[name].function(self.machine, Commit(index, 0, 1), *arguments)
        self.released += self.machine.pending_releases
        self.machine.pending_releases.clear()
        return result

    def ask(self, name, *arguments):
        return self.machine.operations[name].function(self.machine, Commit(len(self.log), 0, 1), *arguments)

    @property
    def live(self):
        return {index for index, _ in self.machine.live.values()}


@pytest.fixture
def driver():
    return Driver()


@given(STEPS)
def test_an_entry_is_released_exactly_when_it_is_not_live(steps):
    """Each index is released at most once, and the released ones are those that no key's value is in."""
    driver = Driver()
    for name, *arguments in steps:
        driver.run(name, *arguments)
        assert len(driver.released) == len(set(driver.released))
        assert set(driver.released) == set(driver.log) - driver.live


@given(STEPS)
def test_restoring_the_live_entries_gives_the_same_map(steps):
    """In index order, unconditionally; releasing nothing; with the same order of keys."""
    driver = Driver()
    for name, *arguments in steps:
        driver.run(name, *arguments)
    restored = MapMachine()
    for index in sorted(driver.live):
        name, arguments = driver.log[index]
        restored.operations[name].restoring(restored, Commit(index, 0, 1), *arguments)
    assert list(restored.live.items()) == list(driver.machine.live.items())
    assert restored.pending_releases == []


@given(STEPS)
def test_the_map_is_a_dictionary(steps):
    """Results and contents are those of the operations on a dictionary."""
    driver, model = Driver(), {}
    for name, *arguments in steps:
        previous = model.get(arguments[0]) if arguments else None
        assert driver.run(name, *arguments) == previous
        if name == "clear":
            model.clear()
        elif name == "remove":
            model.pop(arguments[0], None)
        elif name == "put" or (name == "put_if_absent") == (previous is None):
            model[arguments[0]] = arguments[1]
        assert {key: driver.ask("get", key) for key in driver.ask("keys")} == model
        assert driver.ask("size") == len(model)


@given(STEPS)
def test_keys_come_in_the_order_of_live_indexes(steps):
    """An overwrite re-inserts its key."""
    driver = Driver()
    for name, *arguments in steps:
        driver.run(name, *arguments)
    assert driver.ask("keys") == [key for key, _ in sorted(driver.machine.live.items(), key=lambda item: item[1][0])]


def test_an_empty_value_is_a_value(driver):
    """None means absent, nothing else does."""
    driver.run("put", b"k", b"")
    assert (driver.ask("get", b"k"), driver.ask("contains", b"k")) == (b"", True)
    assert driver.run("put_if_absent", b"k", b"x") == b""


def test_a_missing_key_has_no_value(driver):
    """Every operation that tells a value tells None."""
    assert driver.ask("get", b"k") is None
    assert driver.ask("contains", b"k") is False
    assert driver.run("replace", b"k", b"x") is None
    assert driver.run("remove", b"k") is None
