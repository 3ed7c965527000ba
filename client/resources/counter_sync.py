# Generated from counter.py by generate.py: change that one and run this again.
"""A replicated counter: a signed integer of 64 bits.

    hits = client.counter("hits")
    hits.increment()
    hits.add(10)
    hits.compare_and_set(11, 0)
    hits.get()

A counter begins at 0. Going over the ends of 64 bits is an error and changes nothing. Reads are linearizable.
"""

from __future__ import annotations

from ..protocol.values import checked_int
from .base import Handle


class Counter(Handle):
    """The counter of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for a number out of range, DeadlineExceeded or OutcomeUnknown when the timeout
    passes, SessionExpired, MachineError on overflow, Refused and Closed.
    """

    __slots__ = ()

    def get(self, *, timeout: float | None = None) -> int:
        """The value."""
        value: int = self._query(("get",), timeout)
        return value

    def set(self, value: int, *, timeout: float | None = None) -> None:
        """Set the value."""
        self._command(("set", checked_int(value)), timeout)

    def add(self, delta: int, *, timeout: float | None = None) -> int:
        """Add to the value; the new value."""
        value: int = self._command(("add", checked_int(delta)), timeout)
        return value

    def increment(self, delta: int = 1, *, timeout: float | None = None) -> int:
        """Add `delta`; the new value."""
        value: int = self._command(("add", checked_int(delta)), timeout)
        return value

    def decrement(self, delta: int = 1, *, timeout: float | None = None) -> int:
        """Subtract `delta`; the new value."""
        value: int = self._command(("add", checked_int(-checked_int(delta))), timeout)
        return value

    def compare_and_set(self, expected: int, new: int, *, timeout: float | None = None) -> bool:
        """Set the value to `new` if it is `expected`; whether it was."""
        was: bool = self._command(("compare_and_set", checked_int(expected), checked_int(new)), timeout)
        return was
