"""What a set partitioner's member knows by itself: its states, what it is allotted, and what it hears. No calls."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .changes import CHANGED, Event, Resync
from .group_changes import REMOVED, MemberRemoved
from .listeners import Pending, Phase, StreamListener
from .protocol.errors import SessionExpired


class PartitionerState(enum.Enum):
    """Where a member of a set partitioner stands."""

    ALLOCATING = "allocating"
    """It holds nothing, and is to acquire its items."""

    ACQUIRED = "acquired"
    """It holds its items."""

    RELEASE = "release"
    """It holds items that it is to give up: the members have changed, or the shard does not answer."""

    FAILURE = "failure"
    """It is no member any more, and whoever is may hold what were its items."""


class Allotment(NamedTuple):
    """The items of a member, and the token they were granted with: for each item it grows with every grant."""

    items: list[Any]
    token: int


Divide = Callable[[str, list[str], list[Any]], Sequence[Any]]
"""Which items are a member's own, from its id, the sorted ids of all members, and all items in order."""


def deal(id: str, members: list[str], items: list[Any]) -> Sequence[Any]:
    """As one deals cards: members differ by one item at most."""
    return items[members.index(id) :: len(members)]


class PartitionEvent(Event):
    """The members of a set partitioner have changed; `round` is the index at which that was."""

    __slots__ = ()
    kinds = frozenset((CHANGED, REMOVED))

    @property
    def round(self) -> int:
        """Since when the members are what they are."""
        round = self._fields[3]
        return round if type(round) is int else self.index

    @staticmethod
    def end(key: bytes | None) -> tuple[Any, ...]:
        """The command by which a session is a member no more."""
        return ("part", key)

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """Never asked: a member that has missed something is none any more."""
        return ("size",)


class PartitionListener(StreamListener):
    """Ends with its session, since what the member held is not its own any more.

    `number` tells this join from others of the session; `round` is the last one that was heard of.
    """

    __slots__ = ("number", "round")
    number: int
    round: int

    def opening(self, event_type: type[Event]) -> tuple[Any, ...]:
        """The command by which it joins."""
        return ("join", self.key, self.number)

    def offer(self, event: Event, pending: Pending) -> None:
        """The members have changed, or there is nothing to be a member of."""
        if self.phase is Phase.ENDED:
            return
        if event.kind == REMOVED:
            self.end(MemberRemoved(str(event.fields[3])))
        else:
            self._take(event, None)

    def lose(self) -> None:
        """The session ended, or something came that cannot be read."""
        self.end(SessionExpired("the session ended, and with it what this member held"))

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        assert isinstance(event, PartitionEvent)
        self.round = event.round
        self.buffer.clear()
        self.buffer.append(event)
        self._wake()
