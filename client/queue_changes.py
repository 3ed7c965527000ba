"""The events of queues, as `changes` has those of maps and counters. They know nothing of sessions, streams or threads."""

from __future__ import annotations

from typing import Any

import msgpack

from .changes import ADDED, CLEARED, REMOVED, EncodedEvent, Event
from .protocol.values import decode

RETURNED = "returned"


class QueueEvent(EncodedEvent):
    """A change of a queue: `kind` is "added", "returned" (to the head), "removed" or "cleared" (all items)."""

    __slots__ = ()
    kinds = frozenset((ADDED, RETURNED, REMOVED, CLEARED))

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state."""
        return ("values",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> list[Any]:
        """A list of the items, the head first. Raises ValueError."""
        return [decode(item) for item in answer]


class MessageEvent(EncodedEvent):
    """A message of a topic: `kind` is "published", `new` and `message` are the message."""

    __slots__ = ()
    kinds = frozenset(("published",))

    @property
    def message(self) -> Any:
        """The message."""
        return self.new

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """What was missed cannot be asked for; this tells from which index on messages come."""
        return ("size",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> None:
        """A topic has no state."""


class TaskEvent(Event):
    """A task that was handed to a worker; `key` is the worker, a msgpack list of its number and how much it takes."""

    __slots__ = ()
    kinds = frozenset(("task",))

    @property
    def task(self) -> tuple[int, int, bytes]:
        """Its index, the attempt, and what was submitted."""
        index, attempt, payload = self._fields[3]
        return index, attempt, payload

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 100 + len(self._fields[3][2])

    @staticmethod
    def begin(key: bytes | None) -> tuple[Any, ...]:
        """The command by which a worker subscribes."""
        assert key is not None
        return ("subscribe", key, msgpack.unpackb(key)[1])

    @staticmethod
    def end(key: bytes | None) -> tuple[Any, ...]:
        """The command by which it ends."""
        return ("unsubscribe", key)

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """What was under way went back when the session ended; nothing is missed."""
        return ("size",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> None:
        """Nothing that a worker needs."""
