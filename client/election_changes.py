"""What elections tell: who leads, who stands, and the events about them. They know nothing of sessions, streams or threads."""

from __future__ import annotations

from typing import Any, NamedTuple

from .changes import ADDED, REMOVED, Event
from .protocol.values import decode

MOVED = "moved"
ELECTED = "elected"


class Leader(NamedTuple):
    """Who leads, and the term: a fencing token, above that of every leader before."""

    id: str
    term: int


class ElectionState(NamedTuple):
    """Who leads, or None, and the ids of all candidates in order, the leader first."""

    leader: Leader | None
    candidates: list[str]


def leader_of(row: Any) -> Leader | None:
    """A leader as an election sends it, or None."""
    if row is None:
        return None
    id, term = row
    return Leader(decode(id), term)


class ElectionEvent(Event):
    """A change of an election: `kind` is "elected", or "added", "removed" or "moved" of a candidate.

    With "elected" `old` and `new` are the `Leader` before and after, or None; with "moved" `new` is the candidate's place, 0
    being that of the leader.
    """

    __slots__ = ()
    kinds = frozenset((ADDED, REMOVED, MOVED, ELECTED))

    @property
    def key(self) -> Any:
        """The id of the candidate; with "elected" of the new leader, or None."""
        return None if self._fields[1] is None else decode(self._fields[1])

    @property
    def old(self) -> Any:
        """With "elected" who led before, else None."""
        return leader_of(self._fields[2])

    @property
    def new(self) -> Any:
        """With "elected" who leads, with "moved" the place of the candidate, else None."""
        return leader_of(self._fields[3]) if self.kind == ELECTED else self._fields[3]

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 100 + len(self._fields[1] or b"")

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name; leaders as dictionaries."""
        old, new = (found._asdict() if isinstance(found, Leader) else found for found in (self.old, self.new))
        return {"kind": self.kind, "key": self.key, "old": old, "new": new, "index": self.index}

    def __hash__(self) -> int:
        return hash((self.index, self.kind, self._fields[1]))

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells who leads and who stands."""
        return ("status",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> ElectionState:
        """Who leads and who stands. Raises ValueError."""
        leader, candidates = answer
        return ElectionState(leader_of(leader), [decode(id) for id in candidates])
