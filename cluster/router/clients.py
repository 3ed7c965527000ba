"""Numbers for clients: a replica sees a route of 8 bytes, the router finds the client's socket identity by it.

Invariants: a number is never given twice, 0 is the router itself, and at most `CLIENTS_MAX` clients are remembered.
Forgetting is harmless: a client that speaks again gets another number, and repeats what was not answered.
"""

from __future__ import annotations

from collections.abc import Iterable

CLIENTS_MAX = 65536
IDLE_S = 3600.0
"""A client silent for this long is forgotten; keep-alives come at least three times in it."""


class Clients:
    """Identities and their numbers, in two generations: who has not spoken for a whole one is dropped with it."""

    def __init__(self, clients_max: int = CLIENTS_MAX) -> None:
        self.identities: dict[int, bytes] = {}
        self._recent: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}
        self._generation_max = max(1, clients_max // 2)
        self._last = 0
        self._turned_at = 0.0
        self._forgotten: list[int] = []

    def __len__(self) -> int:
        return len(self.identities)

    def route_of(self, identity: bytes) -> int:
        """The number of a client that has just spoken, a new one if need be."""
        return self._recent.get(identity) or self._welcome(identity)

    def _welcome(self, identity: bytes) -> int:
        if len(self._recent) >= self._generation_max:
            self._turn()
        route = self._older.pop(identity, 0)
        if not route:
            self._last = route = self._last + 1
            self.identities[route] = identity
        self._recent[identity] = route
        return route

    def forget(self, identity: bytes) -> int:
        """The client is gone: nothing can be sent to it. Returns its number, 0 when it had none."""
        route = self._recent.pop(identity, 0) or self._older.pop(identity, 0)
        self.identities.pop(route, None)
        return route

    def take_forgotten(self) -> list[int]:
        """The numbers of those that were dropped because of their silence, or for want of room, since the last call."""
        taken, self._forgotten = self._forgotten, []
        return taken

    def everyone(self) -> Iterable[bytes]:
        """The identities of all clients remembered."""
        return self.identities.values()

    def age(self, now: float) -> None:
        """Begin a new generation when the current one is old enough. `now` in seconds, monotonic."""
        if now - self._turned_at >= IDLE_S / 2:
            self._turned_at = now
            self._turn()

    def _turn(self) -> None:
        for route in self._older.values():
            del self.identities[route]
        self._forgotten.extend(self._older.values())
        self._older = self._recent
        self._recent = {}
