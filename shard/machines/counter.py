"""The counter: one signed 64-bit integer.

    hits = client.counter("hits")
    hits.increment()                 # the new value
    hits.add(5)
    hits.compare_and_set(6, 0)       # whether it was 6

SNAPSHOT: every command changes the one number that `snapshot` returns, so no entry needs to stay; a sum of live
entries would keep every increment for ever. Nothing is restored: the number is the whole state, and whatever led to it
is in it.
"""

from __future__ import annotations

from typing import ClassVar

from .base import SNAPSHOT, Commit, StateMachine, command, query

VALUE_MIN = -(1 << 63)
VALUE_MAX = (1 << 63) - 1


class CounterOverflow(ArithmeticError):
    """The result would not fit a signed 64-bit integer; the counter is unchanged."""


class CounterMachine(StateMachine):
    """Keeps `value`, which starts at 0."""

    type_name: ClassVar[str] = "counter"

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    @command(mode=SNAPSHOT)
    def set(self, commit: Commit, value: int) -> None:
        """Set the value."""
        self.value = _checked(value)

    @command(mode=SNAPSHOT)
    def add(self, commit: Commit, delta: int) -> int:
        """Add delta (may be negative); returns the new value."""
        self.value = _checked(self.value + delta)
        return self.value

    @command(mode=SNAPSHOT)
    def compare_and_set(self, commit: Commit, expected: int, value: int) -> bool:
        """Set the value if it is `expected`; returns whether it was."""
        if self.value != expected:
            return False
        self.value = _checked(value)
        return True

    @query
    def get(self, commit: Commit) -> int:
        """The value."""
        return self.value

    def snapshot(self) -> int:
        """The whole state: the value."""
        return self.value

    def install(self, state: int) -> None:
        """Take a value that `snapshot` returned. Raises TypeError or CounterOverflow for any other."""
        if type(state) is not int:
            raise TypeError(f"a counter's value is a whole number, not {state!r:.60}")
        self.value = _checked(state)


def _checked(value: int) -> int:
    if not VALUE_MIN <= value <= VALUE_MAX:
        raise CounterOverflow(f"{value} does not fit a signed 64-bit integer")
    return value
