"""A machine class that cannot be right is refused when it is defined, with the reason."""

from __future__ import annotations

import pytest
from ocelog.shard.machines.base import (
    RELEASE,
    SNAPSHOT,
    Commit,
    MachineDefinitionError,
    StateMachine,
    command,
    query,
)
from ocelog.shard.machines.counter import CounterMachine
from ocelog.shard.machines.registry import BUILT_IN, registry


def test_a_snapshot_command_needs_a_snapshot():
    """A SNAPSHOT command on a machine without `snapshot` is refused when the class is defined."""
    with pytest.raises(MachineDefinitionError, match="add keep their state in the snapshot"):

        class Broken(StateMachine):
            type_name = "broken"

            @command(mode=SNAPSHOT)
            def add(self, commit: Commit) -> None: ...


def test_there_is_no_default_mode():
    """A command declares where its state lives."""
    with pytest.raises(TypeError):
        command()
    with pytest.raises(MachineDefinitionError):
        command(mode=2)


def test_only_a_release_command_has_a_restore():
    """A SNAPSHOT command's entries are dead once a snapshot covers them."""
    with pytest.raises(MachineDefinitionError, match="only a RELEASE command"):

        class Broken(StateMachine):
            @command(mode=SNAPSHOT)
            def add(self, commit: Commit) -> None: ...

            @add.restore
            def _(self, commit: Commit) -> None: ...


def test_snapshot_and_install_come_together():
    """What is put into a snapshot has to come out of it."""
    for name in ("snapshot", "install"):
        with pytest.raises(MachineDefinitionError, match="need each other"):
            type("Broken", (StateMachine,), {name: lambda self, state=None: state})


@pytest.mark.parametrize(
    "restore",
    [
        lambda self: None,
        lambda self, commit: None,
        lambda self, commit, key: None,
        lambda self, commit, key, value, more: None,
        lambda self, commit, key, *, value: None,
    ],
)
def test_a_restore_takes_what_its_command_takes(restore):
    """It is called with the arguments of the live entry."""
    with pytest.raises(MachineDefinitionError, match="restore"):

        class Broken(StateMachine):
            @command(mode=RELEASE)
            def put(self, commit: Commit, key: bytes, value: bytes = b"") -> None: ...

            put.restore(restore)


def test_a_restore_may_take_more_than_its_command():
    """One restore can serve several commands."""

    class Fine(StateMachine):
        @command(mode=RELEASE)
        def put(self, commit: Commit, key: bytes, value: bytes = b"") -> None: ...

        @put.restore
        def _(self, commit: Commit, *arguments: bytes) -> None: ...

    assert Fine.operations["put"].restoring is not Fine.operations["put"].function


def test_operations_take_positional_arguments_only():
    """Operations travel as arrays."""
    with pytest.raises(MachineDefinitionError, match="positional"):

        @query
        def get(self, commit, *, default): ...


def test_operations_take_a_commit():
    """`self` and `commit` come before what clients send."""
    with pytest.raises(MachineDefinitionError, match="commit"):

        @query
        def get(self): ...


@pytest.mark.parametrize("name", ["release", "schedule", "snapshot", "install", "restored", "live_entries"])
def test_operations_do_not_hide_what_the_base_gives(name):
    """A command called `release` would be what `self.release` calls."""
    with pytest.raises(MachineDefinitionError, match=name):
        type("Broken", (StateMachine,), {name: query(named(name))})


def named(name):
    def function(self, commit): ...

    function.__name__ = name
    return function


class Typed(StateMachine):
    type_name = "typed"

    @query
    def get(self, commit: Commit, key: bytes, default: int = 0, *more: str) -> None: ...

    @query
    def any(self, commit: Commit, value, other: object = None) -> None: ...


@pytest.mark.parametrize(
    ("name", "arguments", "fits"),
    [
        ("get", [b"k"], True),
        ("get", [b"k", 1], True),
        ("get", [b"k", 1, "x", "y"], True),
        ("get", [b"k", 1, "x", b"y"], False),
        ("get", [b"k", 1, []], False),
        ("get", [], False),
        ("get", ["k"], False),
        ("get", [b"k", True], False),
        ("get", [b"k", None], False),
        ("any", [None], True),
        ("any", [[1], {}], True),
        ("any", [1, 2, 3], False),
    ],
)
def test_arguments_are_checked_by_number_and_exact_type(name, arguments, fits):
    """What a handler gets is what its annotations say: exactly, since True is an int to Python."""
    assert (Typed.operations[name].refusal(arguments) is None) == fits


def test_what_is_refused_among_any_number_of_arguments_is_named():
    """A set would say of a list that it is unhashable, and of a text that it is not there."""
    refusal = registry()["set"].operations["remove_many"].refusal
    assert refusal([]) is None and refusal([b"a"] * 1000) is None
    assert refusal([b"a", [b"b"]]) == "remove_many: argument 2 must be bytes, not list"
    assert refusal([b"a", b"b", "c"]) == "remove_many: argument 3 must be bytes, not str"


def test_a_subclass_inherits_operations():
    """And may add its own."""

    class More(CounterMachine):
        type_name = "more"

        @query
        def twice(self, commit: Commit) -> int:
            return 2 * self.value

    assert set(More.operations) == {*CounterMachine.operations, "twice"}


def test_a_subclass_of_two_inherits_the_operations_of_both():
    """In the order in which Python finds methods: the base that both have in common comes behind them."""

    class Common(StateMachine):
        type_name = "common"

        @query
        def size(self, commit): ...

        @query
        def keys(self, commit): ...

    class First(Common):
        @query
        def first(self, commit): ...

    class Second(Common):
        @query
        def keys(self, commit): ...

        @query
        def second(self, commit): ...

    class Both(First, Second):
        pass

    assert set(Both.operations) == {"size", "keys", "first", "second"}
    assert Both.operations["keys"] is Second.operations["keys"]


def test_the_default_restore_is_the_command():
    """Right for unconditional writes of one key."""

    class Plain(StateMachine):
        @command(mode=RELEASE)
        def put(self, commit: Commit) -> None: ...

    assert Plain.operations["put"].restoring is Plain.operations["put"].function


def test_the_built_in_machines_are_found_by_name():
    """The registry names every type once."""
    assert set(registry()) == {machine.type_name for machine in BUILT_IN}


def test_a_name_names_one_machine():
    """Repeated and missing names are refused."""
    with pytest.raises(ValueError, match="two machines"):
        registry([CounterMachine, CounterMachine])
    with pytest.raises(ValueError, match="no type_name"):
        registry([StateMachine])


@pytest.mark.parametrize("index", [0, -1, "5", 5.0, None, True])
def test_only_an_index_can_be_released(index):
    """What is no index would stop every replica when it is told to the log."""
    machine = CounterMachine()
    with pytest.raises((TypeError, ValueError), match="released by its index"):
        machine.release(index)
    assert machine.pending_releases == []


@pytest.mark.parametrize("argument", [object(), 1 << 70, {1, 2}, {(1, 2): 3}, "\ud800"])
def test_only_what_a_snapshot_can_hold_is_given_to_a_timer(argument):
    """The handler fails, not the snapshot."""
    machine = CounterMachine()
    with pytest.raises((TypeError, ValueError, OverflowError)):
        machine.schedule(1, "install", argument)
    assert machine.pending_timers == []


def test_a_timer_gets_what_a_snapshot_would_give_back():
    """Else it would get something else on a replica that was rebuilt."""
    machine = CounterMachine()
    machine.schedule(1, "install", (1, [2, (3,)]), {"a": ()})
    assert machine.pending_timers == [(1, "install", ([1, [2, [3]]], {"a": []}))]
