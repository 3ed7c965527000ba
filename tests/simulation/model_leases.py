"""The leases machine, its timers and the ends of sessions, written a second time for the model. See `leases.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .leases import RUNG_MAX

Publish = Callable[[list[int], str, Any], None]
"""Publishes to these sessions, as far as they are open."""

Wrote = Callable[[bytes, Any], None]
"""Told of every change of a key: its new value, None when it is gone."""


class ModelLeases:
    """The state of one leases resource. Keys are (index, value, owner, lives in its entry); `timers` in their order."""

    def __init__(self, publish: Publish) -> None:
        self.publish = publish
        self.watchers: list[int] = []
        self.keys: dict[bytes, tuple[int, bytes, int, bool]] = {}
        self.rung: list[tuple[int, int]] = []
        self.timers: list[tuple[int, int, int, tuple[Any, ...]]] = []

    def run(self, index: int, time: int, session: int, wrote: Wrote, operation: str, arguments: tuple[Any, ...]) -> Any:
        """One command; returns its result."""
        if operation == "alarm":
            self._arm(max(time + arguments[0], time + 1), index, 0, ("ring", index, *arguments))
            return None
        if operation == "watch":
            self.watchers = sorted({*self.watchers, session})
            return None
        if operation == "clear":
            keys = list(self.keys)
            for key in keys:
                self._drop(key, wrote)
            return len(keys)
        if operation == "put_both":
            for key in arguments[:2]:
                self._set(key, (index, arguments[2], 0, False), wrote)
            return None
        key, *rest = arguments
        present = self.keys.get(key, (0, None))[1]
        if operation == "remove":
            self._drop(key, wrote)
        elif operation == "hold":
            self._set(key, (index, rest[0], session, True), wrote)
        elif operation == "put" or present is None:
            self._set(key, (index, rest[0], 0, True), wrote)
            if rest[1]:
                self._arm(time + rest[1], index, 0, ("expire", key, index))
        return present

    def fire(self, index: int, time: int, numbers: Iterator[int], wrote: Wrote) -> None:
        """The first timer fires: log time has moved to `time`, before the entry at `index`. What it arms is numbered."""
        what, *arguments = self.timers.pop(0)[3]
        if what == "expire":
            key, armed_at = arguments
            if self.keys.get(key, (0,))[0] == armed_at:
                self._drop(key, wrote)
                self._note(index, armed_at)
        else:
            armed_at, delay, more = arguments
            self._note(index, armed_at)
            if more:
                self._arm(max(time + delay, time + 1), index, next(numbers), ("ring", armed_at, delay, more - 1))

    def _arm(self, *timer: Any) -> None:
        self.timers = sorted([*self.timers, timer], key=lambda each: each[:3])

    def ended(self, session: int, wrote: Wrote) -> None:
        """A session is over, closed or expired."""
        self.watchers = [watcher for watcher in self.watchers if watcher != session]
        for key in [key for key, known in self.keys.items() if known[2] == session]:
            self.publish(self.watchers, "dropped", key)
            self._drop(key, wrote)

    def live(self) -> list[int]:
        """Indexes of the entries that keys live in."""
        return [index for index, _, _, in_entry in self.keys.values() if in_entry]

    def state(self) -> Any:
        """Everything, in an order that does not depend on how it came about."""
        return sorted(self.keys.items()), self.rung, sorted(timer[:3] for timer in self.timers), self.watchers

    def _set(self, key: bytes, known: tuple[int, bytes, int, bool], wrote: Wrote) -> None:
        self._drop(key, wrote)
        self.keys[key] = known
        wrote(key, known[1])

    def _drop(self, key: bytes, wrote: Wrote) -> None:
        index, _, _, in_entry = self.keys.pop(key, (0, b"", 0, False))
        if in_entry:
            # An entry's own timers go with it.
            self.timers = [timer for timer in self.timers if timer[1:3] != (index, 0)]
        if index:
            wrote(key, None)

    def _note(self, at: int, armed_at: int) -> None:
        self.publish(self.watchers, "rung", armed_at)
        self.rung = [*self.rung, (at, armed_at)][-RUNG_MAX:]
