"""The counter: one signed 64-bit integer.

    hits = client.counter("hits")
    hits.increment()                 # the new value
    hits.add(5)
    hits.compare_and_set(6, 0)       # whether it was 6
    hits.on_change(print)            # called with each change from here on

SNAPSHOT: every command changes the one number that `snapshot` returns, so no entry needs to stay; a sum of live
entries would keep every increment for ever. Nothing is restored: the number is the whole state, and whatever led to it
is in it.

Whoever listens gets an event `change` when the value has changed, in the form that all resources share: [kind, key, old,
new], here ["changed", None, old, new].
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, command, query
from .listened import Listened

VALUE_MIN = -(1 << 63)
VALUE_MAX = (1 << 63) - 1


class CounterOverflow(ArithmeticError):
    """The result would not fit a signed 64-bit integer; the counter is unchanged."""


class CounterMachine(Listened):
    """Keeps `value`, which starts at 0, and `listeners`."""

    type_name: ClassVar[str] = "counter"

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    def _change(self, value: int) -> None:
        old, self.value = self.value, _checked(value)
        if self.listeners and old != value:
            self.publish(self.listeners.of(None), "change", ["changed", None, old, value])

    @command(mode=SNAPSHOT)
    def set(self, commit: Commit, value: int) -> None:
        """Set the value."""
        self._change(value)

    @command(mode=SNAPSHOT)
    def get_and_set(self, commit: Commit, value: int) -> int:
        """Set the value; returns the one before."""
        before = self.value
        self._change(value)
        return before

    @command(mode=SNAPSHOT)
    def add(self, commit: Commit, delta: int) -> int:
        """Add delta (may be negative); returns the new value."""
        self._change(self.value + delta)
        return self.value

    @command(mode=SNAPSHOT)
    def compare_and_set(self, commit: Commit, expected: int, value: int) -> bool:
        """Set the value if it is `expected`; returns whether it was."""
        if self.value != expected:
            return False
        self._change(value)
        return True

    @query
    def get(self, commit: Commit) -> int:
        """The value."""
        return self.value

    def snapshot(self) -> Any:
        """The whole state: the value, and who listens."""
        return [self.value, self.listeners.state()]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError, ValueError or CounterOverflow for anything else."""
        value, listeners = state
        if type(value) is not int:
            raise TypeError(f"a counter's value is a whole number, not {value!r:.60}")
        self.value = _checked(value)
        self.listeners.install(listeners)


def _checked(value: int) -> int:
    if not VALUE_MIN <= value <= VALUE_MAX:
        raise CounterOverflow(f"{value} does not fit a signed 64-bit integer")
    return value
