"""Which client holds which session, so that a new leader can be told at once where to push every session's events.

Pure. It is learnt from answers: a leader that answered a client for a session has checked the session's key.

Invariants: a session has one holder at most, and a connection never takes it from a later one of the same client (the
number is the client's own, said in its HELLO); at most `SESSIONS_MAX` sessions are remembered; what a forgotten client
held is forgotten with it. To forget is harmless: the session's next answer teaches it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...client.protocol.events import Route

SESSIONS_MAX = 262_144
"""Over all shards; what was learnt first is forgotten first."""

PORTION = 1024
"""Routes in one message to a leader, so that other messages find their place between two of them."""


class Holders:
    """The holders of every shard's sessions: `routes[shard][session]` is the router's number for the client."""

    def __init__(self, shards: int, sessions_max: int = SESSIONS_MAX) -> None:
        self.routes: list[dict[int, int]] = [{} for _ in range(shards)]
        self._sessions_max = sessions_max
        self._count = 0
        self._connections: dict[int, int] = {}
        self._held: dict[int, set[tuple[int, int]]] = {}

    def __len__(self) -> int:
        return self._count

    def connected(self, route: int, connection: int) -> None:
        """The client has said the number of its connection."""
        self._connections[route] = connection

    def learn(self, shard: int, session: int, route: int) -> None:
        """The shard's leader has answered that client for the session."""
        routes = self.routes[shard]
        before = routes.get(session)
        if before is not None:
            if self._connections.get(route, 0) < self._connections.get(before, 0):
                return  # a late answer over a connection that its client has left
            self.end(shard, session)
        elif self._count >= self._sessions_max:
            self._forget_first()
        routes[session] = route
        self._held.setdefault(route, set()).add((shard, session))
        self._count += 1

    def _forget_first(self) -> None:
        shard = max(range(len(self.routes)), key=lambda shard: len(self.routes[shard]))
        self.end(shard, next(iter(self.routes[shard])))

    def end(self, shard: int, session: int) -> None:
        """The session is over, or another client's."""
        route = self.routes[shard].pop(session, None)
        if route is None:
            return
        self._count -= 1
        held = self._held[route]
        held.discard((shard, session))
        if not held:
            del self._held[route]

    def forget(self, route: int) -> dict[int, list[Route]]:
        """The client is gone: what it held, by shard."""
        gone: dict[int, list[Route]] = {}
        connection = self._connections.pop(route, 0)
        for shard, session in sorted(self._held.pop(route, ())):
            del self.routes[shard][session]
            self._count -= 1
            gone.setdefault(shard, []).append(Route(session, route, connection))
        return gone

    def of_shard(self, shard: int) -> list[Route]:
        """Where the sessions of a shard are."""
        connection_of = self._connections.get
        return [Route(session, route, connection_of(route, 0)) for session, route in self.routes[shard].items()]


def portions(routes: list[Route]) -> Iterator[list[Route]]:
    """The same, at most PORTION at a time."""
    return (routes[start : start + PORTION] for start in range(0, len(routes), PORTION))
