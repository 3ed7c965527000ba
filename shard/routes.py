"""Where the clients of sessions are, as far as a leader has heard: from their own requests, and from routers.

A client raises its connection number whenever it connects anew, and no route is taken from a lower one: a late message of
an old connection cannot draw events to where nobody listens. That number is kept when a router says that a client is gone.
Routes may be known before their sessions are, since routers tell a new leader at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..client.protocol.events import Route
from .outbox import Origin
from .sessions import SessionTable

NOWHERE = Origin(b"", 0)


class Place(NamedTuple):
    """A client's place, and the number of its connection there; NOWHERE once a router has said that it is gone."""

    origin: Origin
    connection: int


class Routes:
    """The places of sessions, by session id."""

    def __init__(self) -> None:
        self._places: dict[int, Place] = {}

    def of(self, session_id: int) -> Origin | None:
        """Where to send a session's events, if that is known."""
        place = self._places.get(session_id)
        return None if place is None or place.origin is NOWHERE else place.origin

    def take(self, session_id: int, origin: Origin, connection: int) -> bool:
        """A session's client was heard there; returns whether that is news: another place, or another connection there."""
        known = self._places.get(session_id)
        if known is not None and (connection < known.connection or known == (origin, connection)):
            return False
        self._places[session_id] = Place(origin, connection)
        return True

    def gone(self, router: bytes, routes: Iterable[Route]) -> None:
        """The router cannot reach these clients any more; connection 0 is whatever connection was there."""
        for session_id, route, connection in routes:
            known = self._places.get(session_id)
            if known is not None and known.origin == (router, route) and connection in (0, known.connection):
                self._places[session_id] = Place(NOWHERE, known.connection)

    def forget_router(self, router: bytes) -> None:
        """The router itself cannot be reached any more."""
        for session_id, place in self._places.items():
            if place.origin.router == router:
                self._places[session_id] = Place(NOWHERE, place.connection)

    def forget(self, session_id: int) -> None:
        """The session has ended."""
        self._places.pop(session_id, None)

    def forget_unknown(self, sessions: SessionTable) -> None:
        """Drop the places of sessions that are not open."""
        self._places = {id_: place for id_, place in self._places.items() if sessions.get(id_) is not None}
