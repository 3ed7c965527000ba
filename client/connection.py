"""Which router the client talks to: one endpoint after the other until one answers, and again when it is lost.

Decides only; the transport it is given opens and closes sockets. A router counts as found when it has answered HELLO
with a WELCOME of the cluster this client belongs to.

The routers that a WELCOME tells of are tried too, after the endpoints that the user gave.

Invariants: `number` rises with every connection, so replicas can tell an old route from a new one; `endpoint` is one of
`endpoints`, whatever is learnt meanwhile.
"""

from __future__ import annotations

import contextlib
import enum
import logging
from collections.abc import Sequence
from math import inf
from random import Random
from typing import Any, Protocol

import msgpack

from .backoff import Strategy, start
from .endpoints import parse
from .envelope import Envelope
from .protocol import errors, frames
from .protocol.frames import HELLO, NO_SHARD, Frame
from .protocol.routing import SlotTable

logger = logging.getLogger("ocelog.client")

ATTEMPT_SECONDS = 2.0
"""A router that has not said WELCOME by then is passed over."""

ROUND_SECONDS = (0.05, 1.0)
"""The pause after a round in which no endpoint answered, unless the user's strategy says otherwise."""

ROUTERS_MAX = 64
"""Routers learnt from others; more than these are not remembered."""


class Event(enum.Enum):
    """What a transport has to tell of its connection."""

    OPENED = "opened"
    LOST = "lost"


class Transport(Protocol):
    """One connection to one router at a time."""

    def open(self, endpoint: str) -> None:
        """Begin to connect. Raises OSError when the endpoint cannot be used."""

    def close(self) -> None:
        """Drop the connection and everything queued on it."""

    def send(self, message: Sequence[Frame]) -> None:
        """Send one message; one that cannot be sent now is dropped, and repeated by whoever needs it."""

    def receive(self) -> list[bytes] | None:
        """The next message, or None."""

    def event(self) -> Event | None:
        """The next event, or None."""


class _State(enum.Enum):
    PAUSED = "paused"
    OPENING = "opening"
    GREETING = "greeting"
    READY = "ready"


class Connection:
    """The connection to whichever router answers; `rounds` counts those in which none did since one did last."""

    def __init__(
        self, endpoints: Sequence[str], transport: Transport, random: Random, retry: Strategy | None = None
    ) -> None:
        self.endpoints = list(endpoints)
        self._given = tuple(endpoints)
        self.reasons: dict[str, str] = {}
        self.number = 0
        self.slots: SlotTable | None = None
        self.wake_at = -inf
        self.rounds = 0
        self._cluster: Any = None
        self._transport = transport
        self._envelope = Envelope(NO_SHARD)
        self._state = _State.PAUSED
        self._next = 0
        self._failures = 0
        self._pause = start(retry, random, *ROUND_SECONDS)

    @property
    def ready(self) -> bool:
        """Whether a router answers."""
        return self._state is _State.READY

    @property
    def endpoint(self) -> str:
        """The endpoint in use or being tried."""
        return self.endpoints[self._next]

    def tick(self, now: float) -> None:
        """Try the next endpoint when the pause is over, or when this one was silent for too long."""
        if now < self.wake_at:
            return
        if self._state is _State.PAUSED:
            self._open(now)
        elif self._state is _State.GREETING:
            self._failed("it accepts connections, but does not answer like an Ocelog router", now)
        elif self._state is _State.OPENING:
            self._failed("no connection could be made in time", now)

    def _open(self, now: float) -> None:
        self._state = _State.OPENING
        self.number += 1
        self.wake_at = now + ATTEMPT_SECONDS
        try:
            self._transport.open(self.endpoint)
        except OSError as error:
            self._failed(str(error), now)

    def event(self, event: Event, now: float) -> None:
        """The transport's connection came up or went down."""
        if event is Event.OPENED and self._state is _State.OPENING:
            self._state = _State.GREETING
            self._envelope.connection = self.number
            self._transport.send(self._envelope.message(HELLO, self._envelope.next_request()))
        elif event is Event.LOST and self._state is _State.READY:
            logger.info("lost the router at %s", self.endpoint)
            self._failures = 0
            self._leave(now)
        elif event is Event.LOST and self._state is not _State.PAUSED:
            self._failed("connection refused, or lost at once", now)

    def receive(self, message: Sequence[Frame], now: float) -> bool:
        """A message that is for no shard; True when it made the connection ready. Raises BadFrame."""
        reply, body = frames.parse_reply(message)
        if self._state is not _State.GREETING or reply.request != self._envelope.request:
            return False
        if reply.kind == frames.REFUSED:
            self._failed(f"refused: {errors.name_of(reply.code)}: {str(body, 'utf-8', 'replace')}", now)
        elif reply.kind == frames.WELCOME:
            return self._welcomed(body, now)
        return False

    def _welcomed(self, body: memoryview, now: float) -> bool:
        try:
            welcome = msgpack.unpackb(body, raw=False, max_ext_len=0)
            cluster, slots = welcome["cluster_id"], SlotTable(welcome["slots"])
        except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
            self._failed(f"its welcome cannot be read: {error}", now)
            return False
        if self._cluster not in (None, cluster):
            self._failed(f"it belongs to another cluster: {cluster}, not {self._cluster}", now)
            return False
        self._cluster, self.slots = cluster, slots
        self._learn(welcome.get("routers"))
        self._state, self.wake_at = _State.READY, inf
        self._failures = self.rounds = 0
        self._pause.reset()
        self.reasons.clear()
        return True

    def _learn(self, routers: Any) -> None:
        """Remember the endpoints of the cluster's other routers; what is no endpoint is passed over."""
        if not isinstance(routers, list):
            return
        current, known = self.endpoint, dict.fromkeys(self._given)
        for router in routers[:ROUTERS_MAX]:
            with contextlib.suppress(errors.BadArgument):
                known.update(dict.fromkeys(parse([router])))
        known.setdefault(current)
        self.endpoints = list(known)
        self._next = self.endpoints.index(current)

    def move_on(self, now: float) -> None:
        """This router answers and is of no use: try the others, and this one again after them."""
        if self.ready and len(self.endpoints) > 1:
            logger.info("leaving the router at %s for another one", self.endpoint)
            self._failures = 0
            self._leave(now)

    def _failed(self, reason: str, now: float) -> None:
        self.reasons[self.endpoint] = reason
        self._failures += 1
        self._leave(now)
        if self._failures >= len(self.endpoints):
            self._failures = 0
            self.rounds += 1
            self.wake_at = now + self._pause.next()

    def _leave(self, now: float) -> None:
        """Drop this endpoint; the next one is tried at once."""
        self._transport.close()
        self._state = _State.PAUSED
        self._next = (self._next + 1) % len(self.endpoints)
        self.wake_at = now
