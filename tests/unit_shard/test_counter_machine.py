"""The counter: one signed 64-bit integer that never wraps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import errors
from ocelog.shard.machines.counter import VALUE_MAX, VALUE_MIN, CounterMachine

INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
"""What msgpack can carry: more than what a counter can hold."""


@pytest.fixture
def session(entries):
    return entries.register()


@pytest.fixture
def counter(entries, session):
    return entries.open(session, 1, "counter")


def value(entries, counter):
    return entries.executor.resources[counter].machine.value


def test_a_counter_starts_at_zero(entries, counter):
    """Nothing is zero."""
    assert value(entries, counter) == 0


def test_add_answers_the_new_value(entries, kit, session, counter):
    """Up and down."""
    assert entries.command(session, 2, kit.operation(counter, "add", 5)) == (errors.OK, 5)
    assert entries.command(session, 3, kit.operation(counter, "add", -7)) == (errors.OK, -2)


def test_compare_and_set_answers_whether_it_did(entries, kit, session, counter):
    """Only if the value is the expected one."""
    assert entries.command(session, 2, kit.operation(counter, "compare_and_set", 1, 9)) == (errors.OK, False)
    assert entries.command(session, 3, kit.operation(counter, "compare_and_set", 0, 9)) == (errors.OK, True)
    assert value(entries, counter) == 9


@pytest.mark.parametrize(
    ("name", "arguments"), [("add", [1]), ("set", [VALUE_MAX + 1]), ("compare_and_set", [VALUE_MAX, VALUE_MAX + 1])]
)
def test_overflow_is_an_error_and_changes_nothing(entries, kit, session, counter, name, arguments):
    """A counter is a signed 64-bit integer; overflow is an error."""
    entries.command(session, 2, kit.operation(counter, "set", VALUE_MAX))
    code, text = entries.command(session, 3, kit.operation(counter, name, *arguments))
    assert (code, text.split(":")[0], value(entries, counter)) == (errors.MACHINE_ERROR, "CounterOverflow", VALUE_MAX)


@given(st.lists(st.tuples(st.sampled_from(["set", "add"]), INTEGERS), max_size=20))
def test_the_value_never_leaves_its_bounds(steps):
    """Whatever arrives, and an error leaves the value as it was."""
    machine = CounterMachine()
    for name, number in steps:
        before = machine.value
        try:
            machine.operations[name].function(machine, None, number)
        except ArithmeticError:
            assert machine.value == before
        assert VALUE_MIN <= machine.value <= VALUE_MAX


@given(st.integers(VALUE_MIN, VALUE_MAX))
def test_a_snapshot_is_the_whole_state(number):
    """What `snapshot` returned is taken back by `install`."""
    machine, other = CounterMachine(), CounterMachine()
    machine.value = number
    other.install(machine.snapshot())
    assert other.value == number
