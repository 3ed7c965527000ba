"""Beginning, keeping and ending the registration of one session; no operations, no sockets, no clock.

A session begins when the first call needs it. Registering is repeated under one random key, so that a repeat cannot
open a second session. A third of the session's timeout after the last answered keep-alive the next one leaves.

Invariant: `envelope.session` is not 0 exactly while the state is OPEN.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import msgpack

from .backoff import Backoff, Strategy, start
from .envelope import Envelope
from .protocol.frames import KEEP_ALIVE, NO_KEY, REGISTER, Frame
from .protocol.limits import Limits
from .window import REFUSED_SECONDS, RESEND_SECONDS

logger = logging.getLogger("ocelog.client")


KEEP_ALIVE_SECONDS_MIN = 0.1


class State(enum.Enum):
    """Where a session stands; CLOSED is final, IDLE may register again."""

    IDLE = "idle"
    REGISTERING = "registering"
    OPEN = "open"
    CLOSED = "closed"


class Lifecycle:
    """Registration and keep-alives of one session.

    `send` takes messages; `timeout` is in seconds, as granted; `handled` is the body of a keep-alive: what was received
    and handled of the session's events.
    """

    def __init__(
        self,
        envelope: Envelope,
        client_id: str,
        timeout: float,
        random: Random,
        send: Callable[[list[Frame]], None],
        handled: Callable[[], bytes] = bytes,
        retry: Strategy | None = None,
    ) -> None:
        self.state = State.IDLE
        self.limits = Limits()
        self.timeout = timeout
        self.wake_at = inf
        self.request = 0
        self._envelope = envelope
        self._registration = msgpack.packb([client_id, round(timeout * 1000)])
        self._random = random
        self._send = send
        self._handled = handled
        self._silence = Backoff(random, *RESEND_SECONDS)
        self._refusals = start(retry, random, *REFUSED_SECONDS)
        self._planned_at = inf

    def begin(self, now: float) -> None:
        """Register, unless that is under way already."""
        if self.state is State.IDLE:
            self.state = State.REGISTERING
            self._envelope.key = self._random.randbytes(16)
            self._patience_again()
            self.request = self._envelope.next_request()
            self._register(now)

    def _register(self, now: float) -> None:
        # Repeats keep request id and key: whichever answer comes first is as good as any.
        self._send(self._envelope.message(REGISTER, self.request, self._registration))
        self.wake_at = now + self._silence.next()

    def registered(self, session: int, fields: dict[str, Any], now: float) -> None:
        """The shard opened the session; `fields` are its limits and the timeout it granted. Raises on bad fields."""
        limits, timeout = Limits.from_dict(fields), int(fields["timeout_ms"]) / 1000
        self.limits, self.timeout = limits, timeout
        self.state = State.OPEN
        self._envelope.session = self._envelope.seen = session
        self.request = 0
        self._patience_again()
        self._plan(now)

    @property
    def _interval(self) -> float:
        # Bounded below, so that a shard that grants nonsense is not flooded with keep-alives.
        return max(self.timeout / 3, KEEP_ALIVE_SECONDS_MIN)

    def _plan(self, now: float) -> None:
        self.wake_at = self._planned_at = now + self._interval

    def kept_alive(self, request: int, now: float) -> None:
        """The shard answered a keep-alive; a second answer to the same counts for nothing."""
        if self.state is State.OPEN and request == self.request:
            self.request = 0
            self._patience_again()
            self._plan(now)

    def refused(self, retry_after: float, now: float) -> None:
        """The register or keep-alive was not taken this time: repeat it later, not before `retry_after` seconds."""
        self.wake_at = now + self._refusals.after(retry_after)

    def tick(self, acknowledged: int, now: float) -> None:
        """Repeat a register, or send the keep-alive that is due, and tell when this process was late with it."""
        if now < self.wake_at:
            return
        if self.state is State.REGISTERING:
            self._register(now)
        elif self.state is State.OPEN:
            self._keep_alive(acknowledged, now)

    def _keep_alive(self, acknowledged: int, now: float) -> None:
        self._tell_lateness(now - self._planned_at)
        self._planned_at = inf
        self.request = self.request or self._envelope.next_request()
        message = self._envelope.message(KEEP_ALIVE, self.request, self._handled(), acknowledged=acknowledged)
        self._send(message)
        self.wake_at = now + min(self._silence.next(), self._interval)

    def _tell_lateness(self, late: float) -> None:
        if late > self.timeout / 3:
            logger.warning(
                "the keep-alive of session %d on shard %d leaves %.1f s late (the session's timeout is %.1f s): "
                "this process was busy or paused, or no router answered",
                self._envelope.session,
                self._envelope.shard,
                late,
                self.timeout,
            )

    def repeat(self, now: float) -> None:
        """A new leader or a new connection: whatever waits for an answer leaves again with the next tick."""
        if self.state in (State.REGISTERING, State.OPEN):
            self.wake_at = now

    def end(self, *, final: bool = False) -> None:
        """The session is over; unless `final`, a later call may begin another."""
        self.state = State.CLOSED if final else State.IDLE
        self.wake_at = self._planned_at = inf
        self.request = 0
        self._envelope.session = 0
        self._envelope.key = NO_KEY

    def _patience_again(self) -> None:
        self._silence.reset()
        self._refusals.reset()
