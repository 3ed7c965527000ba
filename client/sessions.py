"""All sessions of one client, one per shard that it uses. No sockets, no clock.

Invariants: a session is opened when the first call for its shard comes, not before; a reply is given to the session
of the shard it names, whatever else it says; nothing a router sends can raise out of `receive`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

from .backoff import Strategy
from .calls import Call, EventBatch, Outbox
from .protocol import frames
from .protocol.errors import Closed
from .protocol.frames import NO_SHARD, BadFrame, Frame, Reply
from .session import ShardSession

logger = logging.getLogger("ocelog.client")


class Sessions:
    """The sessions of a client by shard. `timeout` is the session timeout asked for, in seconds.

    `wants_router` is set when a shard does not answer through this router and another one may do better.
    """

    def __init__(
        self,
        random: Random,
        *,
        client_id: str,
        timeout: float,
        recovery: str = "recover",
        retry: Strategy | None = None,
    ) -> None:
        self.outbox = Outbox()
        self.wants_router = False
        self.shards: dict[int, ShardSession] = {}
        self._random = random
        self._client_id = client_id
        self._timeout = timeout
        self._recovery = recovery
        self._retry = retry
        self._terms: dict[int, tuple[int, int]] = {}
        self._closing = False
        self._connection: tuple[str, int] | None = None

    def session(self, shard: int, now: float) -> ShardSession:
        """The shard's session, made when first asked for."""
        session = self.shards.get(shard)
        if session is None:
            session = ShardSession(
                shard,
                self.outbox,
                self._random,
                client_id=self._client_id,
                timeout=self._timeout,
                recovery=self._recovery,
                retry=self._retry,
            )
            session.leader_changed(*self._terms.get(shard, (0, frames.NO_LEADER_KNOWN)), now)
            if self._connection:
                session.connected(*self._connection, now)
            self.shards[shard] = session
        return session

    def submit(self, call: Call, now: float) -> None:
        """Queue a call with its shard's session; fails it at once when the sessions are ending."""
        if self._closing:
            self.outbox.fail(call, Closed("the client is closed"))
            return
        self.session(call.resource.shard, now).submit(call)

    def ask(self, call: Call, now: float) -> None:
        """Ask a shard what became of a sequence; fails the call at once when the sessions are ending."""
        if self._closing:
            self.outbox.fail(call, Closed("the client is closed"))
            return
        self.session(call.resource.shard, now).asking.ask(call, now)

    def handled(self, batch: EventBatch, now: float) -> None:
        """Somebody has handled these events."""
        if batch.shard in self.shards:
            self.shards[batch.shard].handled(batch, now)

    def give_up(self, call: Call, now: float) -> None:
        """The caller of this call waits no longer."""
        self.session(call.resource.shard, now).give_up(call, now)

    def connected(self, endpoint: str, number: int, now: float) -> None:
        """A router answers; `number` is higher than that of any connection before."""
        self._connection = (endpoint, number)
        for session in self.shards.values():
            session.connected(endpoint, number, now)

    def disconnected(self) -> None:
        """No router at the moment."""
        self._connection = None
        for session in self.shards.values():
            session.disconnected()

    def unreachable(self) -> None:
        """Every router was tried and none answers."""
        for session in self.shards.values():
            session.unreachable()

    def receive(self, message: Sequence[Frame], now: float) -> None:
        """One message from a router; what cannot be read is logged and dropped."""
        try:
            reply, body = frames.parse_reply(message)
            self._dispatch(reply, body, now)
        except BadFrame as error:
            logger.warning("a message from the router cannot be read: %s", error)
        except Exception:  # hostile bytes find the exception nobody thought of; the client lives on
            logger.exception("a message from the router cannot be used")

    def _dispatch(self, reply: Reply, body: memoryview, now: float) -> None:
        session = self.shards.get(reply.shard)
        if reply.kind == frames.LEADER:
            if reply.shard != NO_SHARD and reply.leader != frames.NO_LEADER_KNOWN:
                self._terms[reply.shard] = max(self._terms.get(reply.shard, (0, 0)), (reply.term, reply.leader))
            if session:
                session.leader_changed(reply.term, reply.leader, now)
        elif session:
            session.receive(reply, body, now)

    def tick(self, now: float) -> None:
        """Do what is due in every session, then send what waits."""
        for session in self.shards.values():
            if now >= session.wake_at():
                session.tick(now)
                self.wants_router |= session.wants_router()
            session.pump(now)

    def wake_at(self) -> float:
        """When `tick` has something to do, if nothing else happens."""
        return min((session.wake_at() for session in self.shards.values()), default=float("inf"))

    def close(self, now: float) -> None:
        """Begin to end every session."""
        self._closing = True
        for session in self.shards.values():
            session.close(now)

    @property
    def closed(self) -> bool:
        """Whether every session is over for good."""
        return all(session.closed for session in self.shards.values())

    def abandon(self, now: float) -> None:
        """Fail whatever is left, in every session."""
        for session in self.shards.values():
            session.abandon(now)
