"""Filling one message with operations, up to what the shard accepts."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from .calls import Call
from .protocol.frames import LINEARIZABLE, REQUEST_BYTES, TRACED
from .protocol.limits import Limits


class Parts:
    """The operations of the message that is being filled: at most `operations_max`, at most `message_bytes_max`.

    `flags` are those of the request; for queries there are also their level, and in `after` the last command sequence sent
    before them.
    """

    __slots__ = ("after", "calls", "flags", "level", "limits", "operations", "size")

    def __init__(self, limits: Limits, level: int = LINEARIZABLE, flags: int = 0) -> None:
        self.limits = limits
        self.level = level
        self.flags = flags
        self.after = 0
        self.clear()

    def clear(self) -> None:
        """Begin the next message."""
        self.calls: list[Call] = []
        self.operations: list[bytes] = []
        self.size = REQUEST_BYTES
        self.flags &= ~TRACED

    def add(self, call: Call, operation: bytes) -> bool:
        """Add one operation, unless the message is full; one alone always fits, its size was checked."""
        size = self.size + 4 + len(operation)
        if self.calls and (size > self.limits.message_bytes_max or len(self.calls) >= self.limits.operations_max):
            return False
        if call.traced:
            self.flags |= TRACED
        self.size = size
        self.calls.append(call)
        self.operations.append(operation)
        return True


def leaving(calls: Iterable[Call]) -> float:
    """Count one more attempt of each call; the earliest deadline of those that still wait, or infinity."""
    deadline = inf
    for call in calls:
        call.attempts += 1
        if call.deadline < deadline and not call.done:
            deadline = call.deadline
    return deadline
