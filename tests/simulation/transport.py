"""A simulated connection of a client to one router at a time: what `client/transport.py` is with sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ocelog.client.connection import Event
from ocelog.client.protocol.frames import Frame

from .network import Frames, Network
from .router import HEARTBEAT, SimRouter
from .scheduler import MS, Scheduler


class SimTransport:
    """Part of `connection.Transport`. `wake` is called when there is something to read."""

    def __init__(
        self, owner: str, scheduler: Scheduler, network: Network, routers: Sequence[SimRouter], wake: Callable[[], None]
    ) -> None:
        self.owner = owner
        self.scheduler = scheduler
        self.network = network
        self.routers = {router.listen: router for router in routers}
        self._wake = wake
        self._router: SimRouter | None = None
        self._identity = b""
        self._count = 0
        self._inbox: deque[Frames] = deque()
        self._events: deque[Event] = deque()
        network.attach(owner, self._receive)

    def open(self, endpoint: str) -> None:
        """Connect anew; it takes a while to know whether somebody is there."""
        self.close()
        self._count += 1
        self._identity = f"{self.owner}/{self._count}".encode()
        self._router = self.routers[endpoint]
        self.scheduler.after(self.scheduler.between(0, 2 * MS), self._opened, self._identity)

    def _opened(self, identity: bytes) -> None:
        if identity != self._identity or self._router is None:
            return
        if not self._cut() and self._router.connect(identity, lambda: self._lost(identity)):
            self._tell(Event.OPENED)
            self.scheduler.after(HEARTBEAT, self._beat, identity, False)
        elif not self._cut():
            self._tell(Event.LOST)

    def _beat(self, identity: bytes, missed: bool) -> None:
        """Heartbeats in both directions, seen from above: two in a row that cannot have passed, and it is over."""
        if identity != self._identity or self._router is None:
            return
        cut = self._cut()
        if cut and missed:
            self._router.disconnect(identity)
            self._lost(identity)
        else:
            self.scheduler.after(HEARTBEAT, self._beat, identity, cut)

    def _cut(self) -> bool:
        assert self._router is not None
        pair = (self.owner, self._router.name)
        return pair in self.network.cut or pair[::-1] in self.network.cut

    def _lost(self, identity: bytes) -> None:
        if identity == self._identity and self._router is not None:
            self._tell(Event.LOST)

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def drop(self) -> None:
        """The connection breaks."""
        if self._router is not None:
            self._router.disconnect(self._identity)
            self._lost(self._identity)

    def close(self) -> None:
        """Drop the connection and what has arrived over it."""
        if self._router is not None:
            self._router.disconnect(self._identity)
        self._router = None
        self._identity = b""
        self._inbox.clear()
        self._events.clear()

    def send(self, message: Sequence[Frame]) -> None:
        """Send one message."""
        if self._router is not None:
            self.network.send(self.owner, self._router.name, [self._identity, *message])

    def _receive(self, source: str, frames_in: Frames) -> None:
        if frames_in[0] == self._identity:
            self._inbox.append(frames_in[1:])
            self._wake()

    def receive(self) -> list[bytes] | None:
        """The next message, or None."""
        return self._inbox.popleft() if self._inbox else None

    def event(self) -> Event | None:
        """The next event of the connection, or None."""
        return self._events.popleft() if self._events else None
