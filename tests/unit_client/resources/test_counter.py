"""The counter's handles and `ocelog counter`: the operations that answer with the value before."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.errors import BadArgument, MachineError

pytestmark = pytest.mark.system


def test_the_value_before(client, name):
    counter = client.counter(name)
    assert counter.get_and_set(5) == 0
    assert counter.get_and_add(3) == 5
    assert counter.get_and_increment() == 8
    assert counter.get_and_increment(2) == 9
    assert counter.get_and_decrement() == 11
    assert counter.get_and_decrement(10) == 10
    assert counter.get() == 0
    assert counter.get_and_set(2**63 - 1) == 0
    assert counter.get_and_set(-(2**63)) == 2**63 - 1


def test_over_the_end(client, name):
    counter = client.counter(name)
    counter.set(2**63 - 1)
    for over in (counter.get_and_increment, lambda: counter.get_and_decrement(-1), lambda: counter.get_and_add(1)):
        with pytest.raises(MachineError, match="CounterOverflow"):
            over()
    assert counter.get() == 2**63 - 1
    with pytest.raises(BadArgument):
        counter.get_and_set(2**63)


def test_events(client, name):
    counter = client.counter(name)
    with counter.events() as events:
        counter.get_and_set(5)
        counter.get_and_set(5)
        counter.get_and_add(1)
        assert [(event.old, event.new) for event in (events.next(10), events.next(10))] == [(0, 5), (5, 6)]


def test_command_line(run, name):
    assert run("counter", "get-and-set", name, "5") == (0, "0\n")
    assert run("counter", "get-and-add", name, "2") == (0, "5\n")
    assert run("counter", "get-and-increment", name) == (0, "7\n")
    assert run("counter", "get_and_decrement", name) == (0, "8\n")
    assert run("counter", "get", name) == (0, "7\n")
