"""What a client holds, and who is to be called when it is lost: its session has ended, or its resource was deleted.

A request that may be granted is known here from before it leaves until it is released or lost, so a loss that overtakes the
answer that granted it, or whoever wants to be called, is not missed. Sessions of a shard are numbered by when they began: what
was granted in one that is not above the highest that has ended is lost, however late that is asked.

Invariants: whoever is to be called is called once at most, and never for what was released before. Any thread may call anything.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Holding:
    """One request: its shard, the session of its grant (0 before), and who is to be called."""

    __slots__ = ("calls", "lost", "session", "shard")

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.session = 0
        self.lost = False
        self.calls: list[Callable[[], None]] = []


class Holdings:
    """What one client holds, by the numbers of its requests."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[int, Holding] = {}
        self._ended: dict[int, int] = {}

    def expect(self, number: int, shard: int) -> None:
        """The request is about to leave."""
        with self._lock:
            self._known[number] = Holding(shard)

    def granted(self, number: int, session: int) -> None:
        """The request was granted, in that session."""
        with self._lock:
            holding = self._known.get(number)
            if holding is not None:
                holding.session = session
                if holding.lost or session <= self._ended.get(holding.shard, 0):
                    del self._known[number]

    def settled(self, number: int) -> None:
        """No grant will be known any more but the one that is."""
        with self._lock:
            holding = self._known.get(number)
            if holding is not None and not holding.session:
                del self._known[number]

    def on_lost(self, number: int, call: Callable[[], None]) -> None:
        """`call` when what this request was granted is lost: at once if it is already. To be asked before it is released."""
        with self._lock:
            holding = self._known.get(number)
            if holding is not None:
                holding.calls.append(call)
                return
        call()

    def released(self, number: int) -> None:
        """It is not held any more, or was never granted."""
        with self._lock:
            self._known.pop(number, None)

    def holds(self, number: int) -> bool:
        """Whether it was granted, not released, and is not known to be lost."""
        with self._lock:
            holding = self._known.get(number)
            return holding is not None and holding.session != 0

    def refused(self, number: int, shard: int) -> None:
        """The shard has answered a request once more, with an error: what it was granted is lost."""
        with self._lock:
            holding = self._known.get(number)
            if holding is None or holding.shard != shard:
                return
            holding.lost = True
            if not holding.session:
                return
            del self._known[number]
        _tell(holding)

    def ended(self, shard: int, session: int) -> None:
        """A session has ended, and with it what was granted in it."""
        with self._lock:
            last = self._ended[shard] = max(session, self._ended.get(shard, 0))
            lost = {
                number: holding
                for number, holding in self._known.items()
                if holding.shard == shard and 0 < holding.session <= last
            }
            for number in lost:
                del self._known[number]
        for holding in lost.values():
            _tell(holding)


def _tell(holding: Holding) -> None:
    for call in holding.calls:
        call()
