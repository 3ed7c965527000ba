"""What a caller asked for, on its way through the client: resources and calls.

A `Call` is made in the caller's thread, handed over once, and from then on belongs to the I/O thread until it is
delivered to its owner. It knows nothing of sockets, event loops or locks: `waiter` is opaque and `owner` knows what to
do with it.

Invariants: `sequence` is 0 until the command is sent and never changes afterwards; `done` is set exactly once, by
whoever finishes the call or gives it up; a call that gave up is never delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Resource:
    """One named resource: its shard, and its index there once the shard has told it.

    Made by callers, but `index` and `opening` are read and written by the I/O thread only.
    """

    __slots__ = ("index", "name", "opening", "shard", "type")

    def __init__(self, name: str, type_name: str, shard: int) -> None:
        self.name = name
        self.type = type_name
        self.shard = shard
        self.index: int | None = None
        self.opening = False

    def __repr__(self) -> str:
        return f"<{self.type} {self.name!r} on shard {self.shard}>"


class Owner(Protocol):
    """Who waits for calls: an event loop, or blocked threads."""

    def deliver(self, calls: Sequence[Call]) -> None:
        """Wake the waiters of these finished calls. Called in the I/O thread, once per batch."""


class Call:
    """One operation and its fate; exactly one of `result` and `error` counts once it is delivered.

    `parts` is the operation without its resource: `(name, argument...)`. Times are seconds of the monotonic clock.
    """

    __slots__ = (
        "attempts",
        "deadline",
        "done",
        "error",
        "is_query",
        "operation",
        "owner",
        "parts",
        "reopened",
        "resource",
        "result",
        "sequence",
        "started",
        "waiter",
    )

    def __init__(
        self,
        resource: Resource,
        parts: tuple[Any, ...],
        is_query: bool,
        started: float,
        deadline: float,
        owner: Owner | None,
        waiter: Any,
    ) -> None:
        self.resource = resource
        self.parts = parts
        self.is_query = is_query
        self.started = started
        self.deadline = deadline
        self.owner = owner
        self.waiter = waiter
        self.operation = b""
        self.sequence = 0
        self.attempts = 0
        self.done = False
        self.reopened = False
        self.result: Any = None
        self.error: Exception | None = None

    def __repr__(self) -> str:
        return f"<{self.parts[0]} on {self.resource!r}, sequence {self.sequence}, attempts {self.attempts}>"


class Outbox:
    """What a session wants done: messages to send (lists of frames, in order) and calls to deliver."""

    __slots__ = ("finished", "messages")

    def __init__(self) -> None:
        self.messages: list[list[bytes | memoryview]] = []
        self.finished: list[Call] = []

    def fail(self, call: Call, error: Exception) -> None:
        """Finish a call with an error, unless it is done; the session's own calls have no owner to tell."""
        if not call.done:
            call.done = True
            call.error = error
            if call.owner is not None:
                self.finished.append(call)
