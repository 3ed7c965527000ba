"""The set's machine, alone: what is there, for how long, in which order, and what listeners are told."""

from __future__ import annotations

import pytest
from ocelog.shard.machines import paging
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.set import SetMachine

from .driver import SESSION, Driver


@pytest.fixture
def driver():
    driver = Driver(SetMachine)
    yield driver
    driver.check()


def test_adding_tells_whether_the_value_is_new(driver):
    """Atomix' set answered false whatever was added, since it asked for the value behind adding it."""
    assert driver.run("add", b"red") is True
    assert driver.run("add", b"red") is False
    assert driver.run("add", b"blue") is True
    assert driver.run("remove", b"red") is True
    assert driver.run("remove", b"red") is False
    assert driver.run("add", b"red") is True
    assert driver.live == {3, 6}


def test_what_is_there(driver):
    for value in (b"c", b"a", b"b", b"a"):
        driver.run("add", value)
    assert driver.ask("values") == [b"c", b"a", b"b"]
    assert driver.ask("size") == 3
    assert driver.ask("contains", b"a") is True
    assert driver.ask("contains", b"d") is False
    assert driver.ask("contains_many", b"a", b"d", b"a") == [True, False, True]
    assert driver.ask("contains_many") == []
    driver.run("remove", b"c")
    driver.run("add", b"c")
    assert driver.ask("values") == [b"a", b"b", b"c"]


def test_many_are_removed_in_one_step(driver):
    for value in (b"a", b"b", b"c"):
        driver.run("add", value)
    assert driver.run("remove_many", b"a", b"d", b"c", b"a") == 2
    assert driver.run("remove_many") == 0
    assert driver.ask("values") == [b"b"]


def test_one_command_removes_no_more_than_a_page_holds(driver, monkeypatch):
    """Each removal is told to who listens, and a session has a bound on what it is told at once."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    driver.run("add", b"a")
    with pytest.raises(ValueError, match="at most 2"):
        driver.run("remove_many", b"a", b"b", b"c")
    assert driver.ask("values") == [b"a"]
    assert driver.run("remove_many", b"a", b"b") == 1


def test_what_is_no_value_removes_nothing(driver):
    driver.run("add", b"a")
    with pytest.raises(TypeError):
        driver.run("remove_many", b"a", [b"b"])
    assert driver.ask("values") == [b"a"]


def test_a_value_may_have_a_time_to_live(driver):
    driver.run("add", b"a", 50)
    driver.run("add", b"b")
    driver.check()
    driver.pass_ms(49)
    assert driver.ask("values") == [b"a", b"b"]
    driver.pass_ms(1)
    assert driver.ask("values") == [b"b"]
    assert driver.run("add", b"a") is True
    driver.pass_ms(100)
    assert driver.ask("contains", b"a") is True


def test_adding_again_does_not_change_the_time_to_live(driver):
    driver.run("add", b"a", 50)
    driver.run("add", b"b")
    assert driver.run("add", b"a") is False
    assert driver.run("add", b"b", 10) is False
    driver.pass_ms(50)
    assert driver.ask("values") == [b"b"]


def test_what_was_removed_does_not_expire(driver):
    driver.run("add", b"a", 50)
    driver.run("remove", b"a")
    driver.run("add", b"a")
    driver.pass_ms(50)
    assert driver.ask("contains", b"a") is True
    driver.run("clear")
    assert driver.live == set()


@pytest.mark.parametrize("ttl", [-1, 1 << 62])
def test_what_is_no_time_to_live_adds_nothing(ttl):
    driver = Driver(SetMachine)
    with pytest.raises(ValueError):
        driver.run("add", b"a", ttl)
    assert not driver.machine.live


def test_listeners_are_told_of_all_that_changes(driver):
    """Atomix' set told nobody when a value expired, nor when it was cleared."""
    driver.run("listen", None)
    driver.run("add", b"a", 50)
    driver.run("add", b"a")
    driver.run("remove", b"b")
    driver.pass_ms(50)
    driver.run("add", b"b")
    driver.run("add", b"c")
    driver.run("remove", b"b")
    driver.run("remove_many", b"b", b"c")
    driver.run("clear")
    driver.run("add", b"d")
    driver.run("clear")
    assert driver.told() == [
        ["added", b"a", None, None],
        ["expired", b"a", None, None],
        ["added", b"b", None, None],
        ["added", b"c", None, None],
        ["removed", b"b", None, None],
        ["removed", b"c", None, None],
        ["added", b"d", None, None],
        ["cleared", None, None, None],
    ]


def test_one_may_listen_to_one_value(driver):
    driver.run("listen", b"a")
    driver.run("add", b"a")
    driver.run("add", b"b")
    driver.run("clear")
    driver.run("unlisten", b"a")
    driver.run("add", b"a")
    assert driver.told() == [["added", b"a", None, None], ["cleared", None, None, None]]


@pytest.mark.parametrize("ending", ["session_closed", "session_expired"])
def test_who_listened_leaves_nothing_behind(driver, ending):
    """Atomix never let go of the commands that registered and unregistered listeners: they stayed in the log for ever."""
    for value in (None, b"a", b"b"):
        driver.run("listen", value)
    driver.run("unlisten", b"a")
    assert driver.live == set()
    assert driver.machine.snapshot() == [[SESSION, [None, b"b"]]]
    assert driver.machine.watches(SESSION) is True
    getattr(driver.machine, ending)(Commit(9, driver.time, SESSION))
    assert driver.machine.snapshot() == []
    assert driver.machine.watches(SESSION) is False


def test_pages_follow_the_order_of_adding(driver, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    for value in (b"a", b"b", b"c"):
        driver.run("add", value)
    assert driver.ask("page", 0) == [False, 2, [b"a", b"b"]]
    driver.run("remove", b"c")
    driver.run("add", b"d")
    assert driver.ask("page", 2) == [True, 5, [b"d"]]
