"""What groups tell: their members, the events about them, and the messages that come to one. No sessions, no calls."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from .changes import CHANGED, Event
from .listeners import Pending, Phase
from .protocol.errors import OcelogError
from .protocol.values import decode
from .workers import WorkerListener

JOINED = "joined"
LEFT = "left"
AWAY = "away"
RETURNED = "returned"
ELECTED = "elected"
MESSAGE = "message"
REMOVED = "removed"

EVERYBODY = b""
"""The key under which changes of the members are published; a member's messages come under its id."""


class Delivery(enum.Enum):
    """To whom a message goes that is not for a certain member."""

    RANDOM = "random"
    """One of the members that are present; one that is away if none is."""

    BROADCAST = "broadcast"
    """Every member."""


class GroupMember(NamedTuple):
    """A member: what it says about itself, whether it outlives its session, whether it is there, and the index of joining."""

    id: str
    metadata: Any
    persistent: bool
    present: bool
    joined: int


class GroupLeader(NamedTuple):
    """Who leads, None while nobody is present, and the term of the last leader there was: a fencing token."""

    id: str | None
    term: int


class MessageFailed(OcelogError):
    """A message was not handled by everybody it was for.

    `failures`: why, by member id (None where it was for nobody in particular); `handled`: those that have handled it, each with
    its reply or None.
    """

    def __init__(self, failures: Mapping[str | None, str], handled: Mapping[str, Any], **context: object) -> None:
        self.failures = dict(failures)
        self.handled = dict(handled)
        what = "; ".join(why if id is None else f"{id!r}: {why}" for id, why in self.failures.items())
        super().__init__(f"the message failed: {what:.300}", **context)


class MemberRemoved(OcelogError):
    """This client is the member no more, without having asked for it; `reason` says why."""

    def __init__(self, reason: str, **context: object) -> None:
        self.reason = reason
        super().__init__(f"no member any more: {reason}", **context)


def member_of(row: Any) -> GroupMember:
    """A member as a group sends it. Raises ValueError, TypeError or OcelogError for what is none."""
    id, metadata, persistent, present, joined = row
    return GroupMember(decode(id), None if metadata is None else decode(metadata), persistent, present, joined)


def leader_of(row: Any) -> GroupLeader:
    """A leader as a group sends it."""
    id, term = row
    return GroupLeader(None if id is None else decode(id), term)


class GroupEvent(Event):
    """A change of a group: `kind` is "joined", "left", "away", "returned", "changed" (its metadata) or "elected".

    `old` and `new` are the member before and after, a `GroupMember` or None; with "elected" `new` is the `GroupLeader`.
    """

    __slots__ = ()
    kinds = frozenset((JOINED, LEFT, AWAY, RETURNED, CHANGED, ELECTED, MESSAGE, REMOVED))

    @property
    def key(self) -> Any:
        """The id of the member that it is about; with "elected" of the leader."""
        row = self._fields[2] if self._fields[3] is None else self._fields[3]
        return None if row is None or row[0] is None else decode(row[0])

    @property
    def old(self) -> Any:
        """The member before, None for "joined" and "elected"."""
        return None if self._fields[2] is None else member_of(self._fields[2])

    @property
    def new(self) -> Any:
        """The member after, None for "left"; the leader."""
        row = self._fields[3]
        if row is None:
            return None
        return leader_of(row) if self.kind == ELECTED else member_of(row)

    @property
    def message(self) -> tuple[int, int, bool, bytes]:
        """What came to a member: its index, the attempt, whether a reply is awaited, and the message."""
        index, attempt, wants_reply, payload = self._fields[3]
        return index, attempt, wants_reply, payload

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        rows = [row for row in self._fields[2:] if type(row) is list]
        return 100 + sum([len(field) for row in rows for field in row if type(field) is bytes])

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name; members and leaders as dictionaries."""
        old, new = (None if found is None else found._asdict() for found in (self.old, self.new))
        return {"kind": self.kind, "key": self.key, "old": old, "new": new, "index": self.index}

    @staticmethod
    def begin(key: bytes | None) -> tuple[Any, ...]:
        """The command by which a session hears of members."""
        return ("listen", None)

    @staticmethod
    def end(key: bytes | None) -> tuple[Any, ...]:
        """The command by which it does no more, or is a member no more."""
        return ("unlisten", None) if key == EVERYBODY else ("part", key)

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """Who is a member; a member itself misses nothing."""
        return ("all",) if key == EVERYBODY else ("size",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> list[GroupMember] | None:
        """The members, in the order of joining. Raises ValueError."""
        return [member_of(row) for row in answer] if key == EVERYBODY else None


class MemberListener(WorkerListener):
    """Takes the messages of a member. `joining` are the arguments of its join behind its id.

    They may change, and when the session ended it joins again with what they are then, but takes nobody over: who has
    taken its place in the meantime was told to.
    """

    __slots__ = ("joining",)
    joining: list[Any]

    def opening(self, event_type: type[Event]) -> tuple[Any, ...]:
        """The command by which it joins."""
        return ("join", self.key, *self.joining)

    def begin(self, index: int) -> None:
        """It has joined."""
        self.joining[-1] = False
        super().begin(index)

    def offer(self, event: Event, pending: Pending) -> None:
        """A message, or that the session is the member no more."""
        if self.phase is Phase.ENDED:
            return
        if event.kind == REMOVED:
            self.buffer.clear()
            self.end(MemberRemoved(str(event.fields[3])))
        else:
            super().offer(event, pending)
