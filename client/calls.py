"""What travels between callers and sessions: resources, calls, and what sessions tell unasked.

A `Call` is made in the caller's thread, handed over once, and from then on belongs to the I/O thread until it is
delivered to its owner. It knows nothing of sockets, event loops or locks: `waiter` is opaque and `owner` knows what to
do with it. Batches of events and changes of state go the other way only, to the owner of the client.

Invariants: `sequence` is 0 until the command is sent and never changes afterwards; `done` is set exactly once, by
whoever finishes the call or gives it up; a call that gave up is never delivered.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from .protocol.events import Event
from .protocol.frames import LINEARIZABLE, SEQUENTIAL


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


class ClientState(enum.Enum):
    """Where the session on one shard stands; the later in this list, the worse."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    CLOSED = "closed"


class StateChange(NamedTuple):
    """The session on a shard went into another state; `session` is the id it has in that state (0: none yet)."""

    shard: int
    state: ClientState
    session: int
    reason: str

    @property
    def owner(self) -> None:
        """Nobody's in particular: it goes to the owner of the client."""
        return None


class EventBatch:
    """What one log index published to this client's session on one shard, to be handled in order.

    `error` is why the batch cannot be read, then `events` is empty: something was missed. Whoever gets a batch calls
    `done` when its events are handled, from any thread; the shard counts them as handled from then on.
    """

    __slots__ = ("_done", "error", "events", "handled", "index", "session", "shard")
    owner = None

    def __init__(
        self,
        shard: int,
        session: int,
        index: int,
        events: Sequence[Event],
        done: Callable[[EventBatch], None],
        error: Exception | None = None,
    ) -> None:
        self.shard = shard
        self.session = session
        self.index = index
        self.events = events
        self.error = error
        self.handled = False
        self._done = done

    def done(self) -> None:
        """The events were handled, well or not; to be told once."""
        self._done(self)

    def __repr__(self) -> str:
        return f"<{len(self.events)} events of index {self.index} to session {self.session} on shard {self.shard}>"


class Owner(Protocol):
    """Who waits for calls, events and changes of state: an event loop, or blocked threads."""

    def deliver(self, items: Sequence[Any], /) -> None:
        """Wake the waiters of these finished calls, in this order. Called in the I/O thread, once per batch.

        The owner of a client (`IoThread.owner`) gets batches of events and changes of state too, among the calls.
        """


class Call:
    """One operation and its fate; exactly one of `result` and `error` counts once it is delivered.

    `parts` is the operation without its resource: `(name, argument...)`. Times are seconds of the monotonic clock. `level`
    is that of the query, or for a command SEQUENTIAL or LINEARIZABLE (not finished before the events it published are
    handled, unless `nested`: made while an event is handled). `selection` is 0, TO_LEADER or TO_FOLLOWERS, for queries.
    When finished, `index` is the log index of the result, and `receipt` what the shard told of it if it is `traced`.
    """

    __slots__ = (
        "attempts",
        "deadline",
        "done",
        "error",
        "index",
        "is_query",
        "level",
        "nested",
        "operation",
        "owner",
        "parts",
        "receipt",
        "reopened",
        "resource",
        "result",
        "selection",
        "sequence",
        "started",
        "traced",
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
        *,
        level: int | None = None,
        selection: int = 0,
        nested: bool = False,
        traced: bool = False,
    ) -> None:
        self.resource = resource
        self.parts = parts
        self.is_query = is_query
        self.started = started
        self.deadline = deadline
        self.owner = owner
        self.waiter = waiter
        self.level = (LINEARIZABLE if is_query else SEQUENTIAL) if level is None else level
        self.selection = selection
        self.nested = nested
        self.traced = traced
        self.operation = b""
        self.sequence = 0
        self.attempts = 0
        self.done = False
        self.reopened = False
        self.result: Any = None
        self.error: Exception | None = None
        self.index = 0
        self.receipt: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<{self.parts[0]} on {self.resource!r}, sequence {self.sequence}, attempts {self.attempts}>"


Delivery = Call | EventBatch | StateChange
"""What is delivered to an owner."""


class Outbox:
    """What a session wants done: messages to send (lists of frames, in order) and what is to be delivered, in order.

    `batch_done` takes the batches of events that were handled, from any thread; unless somebody else does, they are
    kept in `handled`.
    """

    __slots__ = ("batch_done", "finished", "handled", "messages")

    def __init__(self) -> None:
        self.messages: list[list[bytes | memoryview]] = []
        self.finished: list[Delivery] = []
        self.handled: list[EventBatch] = []
        self.batch_done: Callable[[EventBatch], None] = self.handled.append

    def fail(self, call: Call, error: Exception) -> None:
        """Finish a call with an error, unless it is done; the session's own calls have no owner to tell."""
        if not call.done:
            call.done = True
            call.error = error
            if call.owner is not None:
                self.finished.append(call)
