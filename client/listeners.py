"""One who listens to one resource: where it stands, and how it takes an event. No sessions, no calls.

`StreamListener` keeps events in a bounded buffer until somebody iterates; `HandlerListener` hands each to a callback. Both
belong to `listening.Listening`, under whose lock every method here runs, except `StreamListener.poll`.

Invariants: a listener takes events in the order of their indexes, each once; what is not taken for want of room or of
a session is replaced by a Resync, before which no later event is taken.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from .changes import Event, Resync

BUFFER_EVENTS_MAX = 1024
"""Events that wait in a stream's buffer, unless its maker says otherwise."""

BUFFER_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of keys and values that wait in a stream's buffer, about."""


class Phase(enum.Enum):
    """Where a listener stands."""

    OPENING = "opening"  # its listen command is not answered
    FLOWING = "flowing"  # events are taken
    LOST = "lost"  # continuity is gone; the state is asked for when somebody wants it
    ASKING = "asking"  # the state was asked for; later events are held until it is here
    ENDED = "ended"


class Batch(Protocol):
    """What came in one batch, as the session gives it."""

    def done(self) -> None:
        """All of it was handled. Called once, in any thread."""


class Pending:
    """Counts who has not handled a batch yet; the last one tells the session. Under the lock of its `Listening`."""

    __slots__ = ("_batch", "_count")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._count = 1

    def retain(self) -> Pending:
        """One more has to handle it."""
        self._count += 1
        return self

    def release(self) -> None:
        """One has handled it."""
        self._count -= 1
        if not self._count:
            self._batch.done()


class Listener:
    """What streams and callbacks have in common. `key`: the one key listened to, encoded; None: all."""

    __slots__ = ("begins", "error", "held", "key", "phase", "wanting")
    needs_state: ClassVar[bool] = True
    """Whether it wants to know the state when continuity was lost, or only from where on events come again."""

    def __init__(self, key: bytes | None) -> None:
        self.key = key
        self.phase = Phase.OPENING
        self.begins = 0
        self.wanting = False
        self.error: Exception | None = None
        self.held: list[tuple[Event, Pending | None]] = []

    def opening(self, event_type: type[Event]) -> tuple[Any, ...]:
        """The command by which it begins, and begins again under another session."""
        return event_type.begin(self.key)

    def offer(self, event: Event, pending: Pending) -> None:
        """An event of the resource, of a key that is listened to."""
        if self.phase is Phase.FLOWING:
            if event.index > self.begins:
                self._take(event, self._claim(pending))
        elif self.phase is Phase.ASKING:
            self._hold(event, self._claim(pending))

    def begin(self, index: int) -> None:
        """It listens, to what comes after this index."""
        self.begins = index
        self.phase = Phase.FLOWING

    def lose(self) -> None:
        """Events may be missing from here on."""
        if self.phase is Phase.FLOWING or self.phase is Phase.ASKING:
            self.phase = Phase.LOST
            self._drop_held()

    def resume(self, resync: Resync) -> None:
        """The state that was asked for: what it contains is not told again, what came after it is."""
        self.begin(resync.index)
        self.wanting = False
        self._take(resync, None)
        held, self.held = self.held, []
        for event, pending in held:
            if event.index > self.begins and self.phase is Phase.FLOWING:
                self._take(event, pending)
            elif pending is not None:
                pending.release()

    def end(self, error: Exception | None = None) -> None:
        """It listens no more; `error` is why, unless it was closed."""
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self.error = error
            self._drop_held()

    @property
    def wants(self) -> bool:
        """Whether somebody waits for what comes next."""
        return self.wanting

    def _hold(self, event: Event, pending: Pending | None) -> None:
        self.held.append((event, pending))

    def _drop_held(self) -> None:
        held, self.held = self.held, []
        for _, pending in held:
            if pending is not None:
                pending.release()

    def _claim(self, pending: Pending) -> Pending | None:
        raise NotImplementedError

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        raise NotImplementedError


class StreamListener(Listener):
    """A bounded buffer of events. `wake` is called for each event that comes and when all has ended.

    An event counts as handled when it enters the buffer, so a consumer that is slow holds nobody up; when the buffer is
    full it is emptied, and the state asked for once the consumer comes for more.
    """

    __slots__ = ("_bytes", "_bytes_max", "_events_max", "_wake", "buffer")

    def __init__(
        self,
        key: bytes | None,
        wake: Callable[[], None],
        events_max: int = BUFFER_EVENTS_MAX,
        bytes_max: int = BUFFER_BYTES_MAX,
    ) -> None:
        super().__init__(key)
        self.buffer: deque[Event | Resync] = deque()
        self._wake = wake
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def poll(self) -> Event | Resync | None:
        """The next event, or None when there is none at the moment. Any thread, without the lock."""
        try:
            event = self.buffer.popleft()
        except IndexError:
            return None
        # Not exact when threads share a stream; begins anew from 0 whenever the buffer was empty.
        self._bytes -= event.size
        return event

    def begin(self, index: int) -> None:
        """It listens, to what comes after this index."""
        super().begin(index)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No more events; closed, it forgets those in the buffer, else they are still delivered before the error."""
        if self.phase is not Phase.ENDED:
            super().end(error)
            if error is None:
                self.buffer.clear()
            self._wake()

    def lose(self) -> None:
        """Events may be missing after those in the buffer."""
        super().lose()
        self._wake()

    def _claim(self, pending: Pending) -> None:
        return None

    def _hold(self, event: Event, pending: Pending | None) -> None:
        if len(self.held) < self._events_max:
            super()._hold(event, None)
        else:
            self.wanting = True  # what comes between answer and consumer is too much: ask once more
            self.lose()

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        buffer = self.buffer
        if not buffer:
            self._bytes = 0
        if buffer and (len(buffer) >= self._events_max or self._bytes + event.size > self._bytes_max):
            buffer.clear()
            self.lose()
            return
        self._bytes += event.size
        buffer.append(event)
        self._wake()


class HandlerListener(Listener):
    """Hands every event to `handle`, with what is to be released when the callback has run.

    `failed` is told when an error ends it after it has listened; one that never did fails its opening instead.
    """

    __slots__ = ("_failed", "_handle")

    def __init__(
        self,
        key: bytes | None,
        handle: Callable[[Any, Pending | None], None],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(key)
        self._handle = handle
        self._failed = failed

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is handed out."""
        listened = self.phase not in (Phase.OPENING, Phase.ENDED)
        super().end(error)
        if listened and error is not None:
            self._failed(error)

    @property
    def wants(self) -> bool:
        """A callback always waits for what comes next."""
        return True

    def _claim(self, pending: Pending) -> Pending:
        return pending.retain()

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        self._handle(event, pending)
