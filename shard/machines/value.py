"""The value: one value, opaque bytes, or none.

    leader = client.value("leader")
    leader.set("host-1", ttl=30)                  # for 30 seconds; without ttl for ever
    leader.get()                                  # None when there is none
    leader.compare_and_set("host-1", "host-2")    # whether it was "host-1"
    leader.on_change(print)                       # called with each change from here on

RELEASE: set, get_and_set and compare_and_set. The value lives in the entry that set it, which is released when another one
takes its place or the time to live is over; a compare_and_set that found something else is released at once. clear
releases its victim and itself. So at most one entry is live, the last that set the value, and restoring it is
right without looking at any condition: only an entry whose effect is in the state is live. The timer of a time to live
belongs to that entry and is armed again with it, from the time of the entry, not from that of restoring.

SNAPSHOT: who listens. Listeners get an event `change` when the value has changed, [kind, None, old, new]; kind is
"changed", or "expired" when the time to live is over; old and new are None where there was or is no value. Setting the
value that is there already publishes nothing, but its time to live begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from .base import RELEASE, Commit, command, query
from .listened import Listened
from .ttl import due_ms


class ValueMachine(Listened):
    """Keeps `value`, None when there is none, `index`, the live entry that set it or 0, and `listeners`."""

    type_name: ClassVar[str] = "value"

    def __init__(self) -> None:
        super().__init__()
        self.value: bytes | None = None
        self.index = 0

    def _change(self, kind: str, index: int, value: bytes | None) -> bytes | None:
        old = self.value
        if self.index:
            self.release(self.index)
        self.index, self.value = index, value
        if self.listeners and old != value:
            self.publish(self.listeners.of(None), "change", [kind, None, old, value])
        return old

    def _set(self, commit: Commit, value: bytes, ttl_ms: int) -> bytes | None:
        due = due_ms(commit, ttl_ms)
        if due:
            self.schedule(due, "expire")
        return self._change("changed", commit.index, value)

    @command(mode=RELEASE)
    def set(self, commit: Commit, value: bytes, ttl_ms: int = 0) -> None:
        """Set the value, for so many ms of log time or, with 0, for ever."""
        self._set(commit, value, ttl_ms)

    @command(mode=RELEASE)
    def get_and_set(self, commit: Commit, value: bytes, ttl_ms: int = 0) -> bytes | None:
        """Set the value; returns the one before, or None."""
        return self._set(commit, value, ttl_ms)

    @command(mode=RELEASE)
    def compare_and_set(self, commit: Commit, expected: bytes | None, value: bytes, ttl_ms: int = 0) -> bool:
        """Set the value if it is `expected`, None: if there is none; returns whether it was."""
        if expected is not None and type(expected) is not bytes:
            raise TypeError(f"a value is bytes, or None for none, not {expected!r:.60}")
        if self.value != expected:
            due_ms(commit, ttl_ms)
            self.release(commit.index)
            return False
        self._set(commit, value, ttl_ms)
        return True

    @set.restore
    @get_and_set.restore
    def _restore(self, commit: Commit, value: bytes, ttl_ms: int = 0) -> None:
        if self.index:
            raise ValueError(f"the value has a second live entry, beside that of index {self.index}")
        self.index, self.value = commit.index, value
        due = due_ms(commit, ttl_ms)
        if due:
            self.schedule(due, "expire")

    @compare_and_set.restore
    def _restore_compared(self, commit: Commit, expected: bytes | None, value: bytes, ttl_ms: int = 0) -> None:
        self._restore(commit, value, ttl_ms)

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> bytes | None:
        """Have no value; returns the one that was there, or None."""
        self.release(commit.index)
        return self._change("changed", 0, None)

    def expire(self, commit: Commit) -> None:
        """The time to live of the live entry is over: an entry that was released has no timer any more."""
        self._change("expired", 0, None)

    def live_entries(self) -> Iterable[int]:
        """The entry that set the value, if there is one."""
        return (self.index,) if self.index else ()

    @query
    def get(self, commit: Commit) -> bytes | None:
        """The value, or None."""
        return self.value
