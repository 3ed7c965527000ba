"""Telling leaders where their sessions' clients are: everything to one that has begun to lead, and who is gone.

Pure. A leader learns routes from requests too; this is what lets a new one push events before its clients have spoken.

Invariant: what a leader is told waits behind nothing but what was handed over before, so a request that follows finds
the routes known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...client.protocol.events import Route
from ...client.protocol.frames import GONE, ROUTES, Frame
from . import answers
from .holders import Holders, portions
from .leaders import Leaders


class Whereabouts:
    """What the leaders are told of `holders`; `send` takes the member and the frames of one message to it."""

    def __init__(self, holders: Holders, leaders: Leaders, send: Callable[[int, list[Frame]], None]) -> None:
        self._holders = holders
        self._leaders = leaders
        self._send = send
        self._untold: set[int] = set()

    def tell(self, shard: int) -> None:
        """A leader of the shard is known: it is told where all of the shard's sessions are."""
        self._untold.discard(shard)
        for some in portions(self._holders.of_shard(shard)):
            self._to_leader(ROUTES, shard, some)

    def not_sent(self, shard: int) -> None:
        """The leader's queue was full: it is told again with the next `tick`."""
        self._untold.add(shard)

    def tick(self) -> None:
        """Tell again what could not be told."""
        for shard in sorted(self._untold):
            self.tell(shard)

    def forget(self, route: int) -> None:
        """The client is gone: the leaders of its sessions are told."""
        for shard, gone in self._holders.forget(route).items():
            for some in portions(gone):
                self._to_leader(GONE, shard, some)

    def unknown(self, shard: int, session: int, route: int) -> None:
        """The leader pushed to a client that is not there any more; it need not do so again."""
        self._to_leader(GONE, shard, [Route(session, route, 0)])

    def _to_leader(self, kind: int, shard: int, some: Sequence[Route]) -> None:
        member = self._leaders.targets[shard]
        if member is not None:
            self._send(member, answers.routes(kind, shard, some))
