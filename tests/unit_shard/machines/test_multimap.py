"""The multimap's machine, alone: keys with values, what is left of a key, and what listeners are told."""

from __future__ import annotations

import pytest
from ocelog.shard.machines import multimap, paging
from ocelog.shard.machines.multimap import MultimapMachine

from .driver import Driver


@pytest.fixture
def driver():
    driver = Driver(MultimapMachine)
    yield driver
    driver.check()


def fill(driver, *entries):
    for key, value in entries:
        driver.run("put", key, value)


def test_a_key_has_each_value_once_in_the_order_of_putting(driver):
    assert driver.run("put", b"a", b"2") is True
    assert driver.run("put", b"a", b"1") is True
    assert driver.run("put", b"a", b"2") is False
    assert driver.run("put", b"b", b"2") is True
    assert driver.ask("get", b"a") == [b"2", b"1"]
    assert driver.ask("get", b"c") == []
    assert driver.ask("count", b"a") == 2
    assert driver.ask("count", b"c") == 0
    assert driver.ask("size") == 3
    assert driver.ask("keys") == [b"a", b"b"]
    assert driver.ask("entries") == [(b"a", b"2"), (b"a", b"1"), (b"b", b"2")]
    assert driver.live == {1, 2, 4}


def test_the_shard_knows_whether_it_has_a_key_an_entry_or_a_value(driver):
    """Atomix' clients had containsEntry and containsValue; there was nothing on the server that answered them."""
    fill(driver, (b"a", b"1"), (b"b", b"2"))
    assert driver.ask("contains_key", b"a") is True
    assert driver.ask("contains_key", b"c") is False
    assert driver.ask("contains_entry", b"a", b"1") is True
    assert driver.ask("contains_entry", b"a", b"2") is False
    assert driver.ask("contains_entry", b"c", b"2") is False
    assert driver.ask("contains_value", b"2") is True
    assert driver.ask("contains_value", b"3") is False


def test_a_key_whose_last_value_has_expired_is_not_there(driver):
    """Atomix' multimap kept the key without values, which containsKey found and isEmpty did not."""
    driver.run("put", b"a", b"1", 50)
    driver.run("put", b"a", b"2", 80)
    driver.pass_ms(50)
    assert driver.ask("get", b"a") == [b"2"]
    driver.pass_ms(30)
    assert driver.ask("contains_key", b"a") is False
    assert driver.ask("keys") == []
    assert driver.ask("size") == 0
    assert driver.machine.by_key == {}


def test_a_key_goes_with_its_last_value_in_any_way(driver):
    for removal in (("remove_entry", b"a", b"1"), ("remove_value", b"1"), ("remove", b"a"), ("clear",)):
        driver.run("put", b"a", b"1")
        driver.run(*removal)
        assert driver.ask("contains_key", b"a") is False
        assert driver.machine.by_key == {}
        assert driver.live == set()


def test_removing(driver):
    fill(driver, (b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"c", b"3"))
    assert driver.run("remove_entry", b"a", b"3") is False
    assert driver.run("remove_entry", b"a", b"1") is True
    assert driver.run("remove", b"a") == [True, [b"2"]]
    assert driver.run("remove", b"a") == [True, []]
    fill(driver, (b"a", b"1"), (b"a", b"2"))
    assert driver.run("remove_value", b"1") == [True, 9, 2]
    assert driver.run("remove_value", b"1") == [True, 0, 0]
    assert driver.ask("entries") == [(b"c", b"3"), (b"a", b"2")]


def test_the_order_of_keys_is_that_of_what_they_still_have(driver):
    """It follows from the live entries alone, so that it is the same where the others are gone from the log."""
    fill(driver, (b"a", b"1"), (b"b", b"1"), (b"a", b"2"))
    assert driver.ask("keys") == [b"a", b"b"]
    driver.run("remove_entry", b"a", b"1")
    assert driver.ask("keys") == [b"b", b"a"]


def test_putting_again_does_not_change_the_time_to_live(driver):
    driver.run("put", b"a", b"1", 50)
    driver.run("put", b"a", b"2")
    assert driver.run("put", b"a", b"1") is False
    assert driver.run("put", b"a", b"2", 50) is False
    driver.pass_ms(50)
    assert driver.ask("get", b"a") == [b"2"]


def test_what_was_removed_does_not_expire(driver):
    for removal in (("remove_entry", b"a", b"1"), ("remove_value", b"1"), ("remove", b"a"), ("clear",)):
        driver.run("put", b"a", b"1", 50)
        driver.run(*removal)
        driver.run("put", b"a", b"1")
        driver.pass_ms(50)
        assert driver.ask("get", b"a") == [b"1"]
        driver.run("clear")


def test_one_command_removes_so_much_that_a_message_holds_it(driver, monkeypatch):
    """However many values a key has: what is answered has to arrive, and what is told must not fill what a session may have."""
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    driver.run("listen", None)
    fill(driver, (b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"a", b"3"), (b"c", b"1"))
    assert driver.run("remove_value", b"1") == [False, 4, 2]
    driver.run("put", b"d", b"1")
    assert driver.run("remove_value", b"1", 4) == [True, 8, 2]
    assert driver.run("remove", b"a") == [True, [b"2", b"3"]]
    fill(driver, (b"a", b"1"), (b"a", b"2"), (b"a", b"3"))
    assert driver.run("remove", b"a") == [False, [b"1", b"2"]]
    assert driver.run("remove", b"a") == [True, [b"3"]]
    assert len([event for event in driver.told() if event[0] == "removed"]) == 9
    monkeypatch.setattr(multimap, "REMOVED_BYTES_MAX", 4)
    fill(driver, (b"a", b"12345"), (b"a", b"123"), (b"a", b"1"))
    assert driver.run("remove", b"a") == [False, [b"12345"]]
    assert driver.run("remove", b"a") == [True, [b"123", b"1"]]


def test_listeners_are_told_of_each_value(driver):
    """Atomix' multimap had no events."""
    driver.run("listen", None)
    driver.run("put", b"a", b"1", 50)
    driver.run("put", b"a", b"1")
    driver.pass_ms(50)
    fill(driver, (b"a", b"1"), (b"a", b"2"), (b"b", b"1"))
    driver.run("remove_value", b"1")
    driver.run("remove_entry", b"a", b"2")
    driver.run("remove", b"a")
    fill(driver, (b"a", b"1"), (b"a", b"2"))
    driver.run("remove", b"a")
    driver.run("clear")
    driver.run("put", b"a", b"1")
    driver.run("clear")
    assert driver.told() == [
        ["added", b"a", None, b"1"],
        ["expired", b"a", b"1", None],
        ["added", b"a", None, b"1"],
        ["added", b"a", None, b"2"],
        ["added", b"b", None, b"1"],
        ["removed", b"a", b"1", None],
        ["removed", b"b", b"1", None],
        ["removed", b"a", b"2", None],
        ["added", b"a", None, b"1"],
        ["added", b"a", None, b"2"],
        ["removed", b"a", b"1", None],
        ["removed", b"a", b"2", None],
        ["added", b"a", None, b"1"],
        ["cleared", None, None, None],
    ]


def test_one_may_listen_to_one_key(driver):
    driver.run("listen", b"a")
    fill(driver, (b"a", b"1"), (b"b", b"1"))
    driver.run("remove", b"b")
    driver.run("remove", b"a")
    driver.run("unlisten", b"a")
    driver.run("put", b"a", b"1")
    assert driver.told() == [["added", b"a", None, b"1"], ["removed", b"a", b"1", None]]


def test_pages_follow_the_order_of_putting(driver, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ENTRIES_MAX", 2)
    fill(driver, (b"a", b"1"), (b"b", b"1"), (b"a", b"2"))
    assert driver.ask("page", 0) == [False, 2, [(b"a", b"1"), (b"b", b"1")]]
    driver.run("remove_value", b"1")
    assert driver.ask("page", 2) == [True, 3, [(b"a", b"2")]]
