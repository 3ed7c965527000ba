"""Which replica of a shard gets a query that any of them may answer.

The queries of one session go to the same replica as long as it is there and does not lead; sessions are spread over the
followers, since the leader has all the rest to do. Numbers in, a number out; it reads no body and keeps no state but what
it can work out again.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...client.protocol.frames import TO_FOLLOWERS

REMEMBERED_MAX = 65536
_MASK = 0xFFFFFFFFFFFFFFFF


class Choice:
    """The members chosen for sessions. `present` tells of every member whether it can be reached; it is read, not kept."""

    def __init__(self, replicas: int, present: Sequence[bool]) -> None:
        self.replicas = replicas
        self._present = present
        self._chosen: dict[tuple[int, int], int] = {}

    def member(self, shard: int, session: int, flags: int, leader: int | None) -> int | None:
        """The member for a query of the session; `leader` is the one that leads the shard, if it is known.

        None when no replica is there, or only the leader and the query is TO_FOLLOWERS.
        """
        present = self._present
        key = (shard, session)
        chosen = self._chosen.get(key)
        if chosen is not None and chosen != leader and present[chosen]:
            return chosen
        first = shard * self.replicas
        followers = [m for m in range(first, first + self.replicas) if present[m] and m != leader]
        if not followers:
            reachable = leader is not None and present[leader] and not flags & TO_FOLLOWERS
            return leader if reachable else None
        if len(self._chosen) >= REMEMBERED_MAX:
            self._chosen.clear()
        chosen = self._chosen[key] = max(followers, key=lambda member: _weight(session, member))
        return chosen


def _weight(session: int, member: int) -> int:
    """How much the session wants the member: when one goes, only its own sessions move, evenly to all others.

    Sessions are numbered by log indexes, which are close together, so the bits are mixed well (as splitmix64 does).
    """
    mixed = (session * 0x9E3779B97F4A7C15 + (member + 1) * 0xD1B54A32D192ED03) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return mixed ^ mixed >> 31
