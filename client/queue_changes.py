"""The events of queues, as `changes` has those of maps and counters. They know nothing of sessions, streams or threads."""

from __future__ import annotations

from typing import Any

from .changes import ADDED, CLEARED, REMOVED, Event
from .protocol.values import decode

RETURNED = "returned"


def decoded(field: bytes | None) -> Any:
    """A value of an event, or None where there is none."""
    return None if field is None else decode(field)


class QueueEvent(Event):
    """A change of a queue: `kind` is "added", "returned" (to the head), "removed" or "cleared" (all items)."""

    __slots__ = ()
    kinds = frozenset((ADDED, RETURNED, REMOVED, CLEARED))

    @property
    def old(self) -> Any:
        """The item that was removed, else None."""
        return decoded(self._fields[2])

    @property
    def new(self) -> Any:
        """The item that was added or returned, else None."""
        return decoded(self._fields[3])

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 100 + sum([len(field) for field in self._fields[2:] if field is not None])

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state."""
        return ("values",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> list[Any]:
        """A list of the items, the head first. Raises ValueError."""
        return [decode(item) for item in answer]
