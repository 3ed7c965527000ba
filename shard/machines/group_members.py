"""Who belongs to a group: the half of the group's machine that knows nothing of messages (see `group`).

A member is present while the session that joined as it lasts. An ephemeral member leaves with its session; a persistent one
is away until some session joins as it again, which may take it over from a session that is still there, or until its time
is over. The leader is the member that has been present longest (see `candidates`); leader and term are state, so that a
rebuilt replica has no other leader than it had.

Listeners get an event `change` with [kind, b"", old, new]: "joined", "away", "returned", "changed" and "left" with the
member before and after as [id, metadata, persistent, present, index of joining], and "elected" with [id or nil, term]. A
session that is a member no more, without having asked for it, gets ["removed", id, None, why].
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .alarms import Alarmed
from .base import SNAPSHOT, Commit, command, query
from .by_session import BySession
from .candidates import Candidates
from .listeners import Listeners

MEMBERS_MAX = 10_000
"""Members of a group."""

ID_BYTES_MAX = 300
"""Bytes of a member's id, encoded."""

METADATA_BYTES_MAX = 16 * 1024
"""Bytes of a member's metadata, encoded: they are in the snapshot, and in every event about the member."""

AT_ONCE_MAX = 1000
"""Messages that one member may have under way."""

EXPIRE_MS_MAX = 100 * 365 * 24 * 3600 * 1000
"""The longest time that a member may be said to be away: a century, so that no due time leaves 64 bits."""

TAKEN_OVER = "another session has joined as this member"
REMOVED = "the member was removed"
GROUP_DELETED = "the group was deleted"


@dataclass(slots=True)
class Member:
    """A member, and the messages that it has not handled: by index how often each was handed out, in order.

    `session` is None while it is away; then `due` is when it is removed, in ms of log time, None for never. What is under
    way comes before all that is pending.
    """

    id: bytes
    joined: int
    persistent: bool
    session: int | None = None
    number: int = 0
    metadata: bytes | None = None
    expire_ms: int | None = None
    at_once: int = 0
    due: int | None = None
    under_way: dict[int, int] = field(default_factory=dict)
    pending: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def row(self) -> list[Any]:
        """As clients get it."""
        return [self.id, self.metadata, self.persistent, self.session is not None, self.joined]

    @property
    def unhandled(self) -> int:
        """How many messages it has not handled."""
        return len(self.under_way) + len(self.pending)


class GroupMembers(Alarmed):
    """Keeps `members` in the order of joining, and those present as `candidates`, the first of whom leads."""

    on_alarm: ClassVar[str] = "expire_members"

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[bytes, Member] = {}
        self.sessions: BySession[bytes, None] = BySession()
        self.candidates = Candidates()
        self.listeners = Listeners()

    # -- what messages have to do with it --------------------------------------------------------------

    def came(self, member: Member) -> None:
        """The member is present now."""

    def went(self, member: Member) -> None:
        """The member is not present any more."""

    def gone(self, member: Member) -> None:
        """The member has left the group."""

    # -- joining and leaving ---------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def join(
        self,
        commit: Commit,
        id: bytes,
        number: int,
        persistent: bool,
        metadata: bytes | None,
        expire_ms: int | None,
        at_once: int,
        take_over: bool,
    ) -> list[Any]:
        """The session is this member from here on; said again with the same number, it changes nothing. The member."""
        _check_join(id, metadata, expire_ms, at_once)
        member = self.members.get(id)
        if member is not None and (member.session, member.number) == (commit.session, number):
            return member.row()
        self._check_vacant(commit, member, persistent, take_over)
        before, led = None, self.candidates.leader is not None
        if member is None:
            member = self.members[id] = Member(id, commit.index, persistent)
        else:
            if member.session is not None:
                self.publish(member.session, "change", ["removed", id, None, TAKEN_OVER])
                self._go(member)
            before = member.row()
        member.session, member.number, member.due = commit.session, number, None
        member.metadata, member.expire_ms, member.at_once = metadata, expire_ms, at_once
        self.sessions.put(commit.session, id, None)
        self.candidates.add(id)
        self._tell("joined" if before is None else "returned", before, member.row())
        self._elect(commit, led)
        self.came(member)
        return member.row()

    def _check_vacant(self, commit: Commit, member: Member | None, persistent: bool, take_over: bool) -> None:
        if member is None:
            if len(self.members) >= MEMBERS_MAX:
                raise ValueError(f"a group has at most {MEMBERS_MAX} members")
        elif not (member.persistent and persistent):
            raise ValueError("there is a member of that id already, and not a persistent one that may be joined again")
        elif member.session == commit.session:
            raise ValueError("the session is the member of that id already")
        elif member.session is not None and not take_over:
            raise ValueError("another session is the member of that id, and it is not to be taken over")

    @command(mode=SNAPSHOT)
    def part(self, commit: Commit, id: bytes) -> bool:
        """The session is this member no more: it leaves, or is away if it is persistent; whether the session was it."""
        member = self._own(commit, id)
        if member is None:
            return False
        led = self.candidates.leader is not None
        self._part(commit, member)
        self._elect(commit, led)
        return True

    @command(mode=SNAPSHOT)
    def leave(self, commit: Commit, id: bytes) -> bool:
        """The member leaves for good, a persistent one too; whether the session was it."""
        member = self._own(commit, id)
        if member is None:
            return False
        led = self.candidates.leader is not None
        self._drop(member)
        self._elect(commit, led)
        return True

    @command(mode=SNAPSHOT)
    def remove(self, commit: Commit, id: bytes) -> bool:
        """The member leaves for good, whoever it is and also while it is away; whether there was one."""
        member = self.members.get(_checked_id(id))
        if member is None:
            return False
        if member.session is not None:
            self.publish(member.session, "change", ["removed", id, None, REMOVED])
        led = self.candidates.leader is not None
        self._drop(member)
        self._elect(commit, led)
        return True

    @command(mode=SNAPSHOT)
    def set_metadata(self, commit: Commit, id: bytes, metadata: bytes | None) -> bool:
        """What the member says about itself; whether the session is it."""
        _check_metadata(metadata)
        member = self._own(commit, id)
        if member is None:
            return False
        before = member.row()
        member.metadata = metadata
        self._tell("changed", before, member.row())
        return True

    def _own(self, commit: Commit, id: bytes) -> Member | None:
        member = self.members.get(_checked_id(id))
        return member if member is not None and member.session == commit.session else None

    def _part(self, commit: Commit, member: Member) -> None:
        if not member.persistent or member.expire_ms == 0:
            self._drop(member)
            return
        self._go(member)
        if member.expire_ms is not None:
            member.due = commit.time + member.expire_ms
            self.wake_at(member.due)

    def _go(self, member: Member) -> None:
        """A persistent member is away."""
        before = member.row()
        self._vacate(member)
        self.went(member)
        self._tell("away", before, member.row())

    def _drop(self, member: Member) -> None:
        before = member.row()
        if member.session is not None:
            self._vacate(member)
        del self.members[member.id]
        self._tell("left", before, None)
        self.gone(member)

    def _vacate(self, member: Member) -> None:
        assert member.session is not None
        self.sessions.drop(member.session, member.id)
        member.session = None
        self.candidates.remove(member.id)

    def _elect(self, commit: Commit, led: bool) -> None:
        """Behind every change of who is present; `led` is whether somebody led before. Whoever listens is told what is new."""
        elected = self.candidates.elect(commit.index)
        if elected or (led and self.candidates.leader is None):
            self._tell("elected", None, [self.candidates.leader, self.candidates.term])

    # -- members that are away for too long ------------------------------------------------------------

    def expire_members(self, commit: Commit) -> None:
        """A timer: some member has been away for as long as it may be, unless it has come back since."""
        self.drop_alarms(commit.time)
        for member in [member for member in self.members.values() if member.due is not None]:
            assert member.due is not None
            if member.due <= commit.time:
                self._drop(member)
        self.wake_at(min((member.due for member in self.members.values() if member.due is not None), default=None))

    # -- sessions and listeners ------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session hears of every change of the members from here on."""
        _check_key(key)
        self.listeners.listen(commit.session, None)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session hears no more of them."""
        _check_key(key)
        self.listeners.unlisten(commit.session, None)

    def _tell(self, kind: str, old: Any, new: Any) -> None:
        if self.listeners:
            self.publish(self.listeners.of(None), "change", [kind, b"", old, new])

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more, and is no member any more."""
        self.listeners.end(commit.session)
        led = self.candidates.leader is not None
        for id in list(self.sessions.get(commit.session, ())):
            self._part(commit, self.members[id])
        self._elect(commit, led)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only members and listeners leave anything behind."""
        return session in self.sessions or session in self.listeners.sessions

    def deleted(self, commit: Commit) -> None:
        """Nobody is a member of a group that is deleted."""
        for id in self.candidates:
            session = self.members[id].session
            assert session is not None
            self.publish(session, "change", ["removed", id, None, GROUP_DELETED])

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Members with the indexes of their messages, who is present in which order, the leader, and who listens."""
        return [
            [
                [
                    *(member.id, member.joined, member.persistent, member.session, member.number),
                    *(member.metadata, member.expire_ms, member.at_once, member.due),
                    [list(pair) for pair in member.under_way.items()],
                    [list(pair) for pair in member.pending.items()],
                ]
                for member in self.members.values()
            ],
            self.candidates.state(),
            list(self.alarms),
            self.listeners.state(),
        ]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        members, candidates, alarms, listeners = state
        for id, joined, persistent, session, number, metadata, expire_ms, at_once, due, under_way, pending in members:
            _check_join(id, metadata, expire_ms, at_once)
            _check_numbers(joined, number, session or 0, due or 0, *(n for pair in under_way + pending for n in pair))
            member = Member(id, joined, bool(persistent), session, number, metadata, expire_ms, at_once, due)
            member.under_way.update(dict(under_way))
            member.pending.update(dict(pending))
            self.members[id] = member
        self.candidates.install(candidates)
        if set(self.candidates) != {id for id, member in self.members.items() if member.session is not None}:
            raise ValueError("those present are not those in line to lead")
        for id in self.candidates:
            # In the order in which they came, which for who was away and came back is not that of the members: when their
            # session ends they leave in it, and listeners are told in it.
            present = self.members[id].session
            assert present is not None
            self.sessions.put(present, id, None)
        self.install_alarms(alarms)
        self.listeners.install(listeners)

    # -- queries ---------------------------------------------------------------------------------------

    @query
    def size(self, commit: Commit) -> int:
        """How many members there are, present and away."""
        return len(self.members)

    @query
    def all(self, commit: Commit) -> list[Any]:
        """Every member, in the order of joining."""
        return [member.row() for member in self.members.values()]

    @query
    def get(self, commit: Commit, id: bytes) -> list[Any] | None:
        """The member of that id."""
        member = self.members.get(_checked_id(id))
        return None if member is None else member.row()

    @query
    def leader(self, commit: Commit) -> list[Any]:
        """The id of the leader, None while nobody is present, and the term, that of the last leader there was."""
        return [self.candidates.leader, self.candidates.term]


def _checked_id(id: Any) -> bytes:
    if type(id) is not bytes or not 0 < len(id) <= ID_BYTES_MAX:
        raise TypeError(f"a member is called by 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")
    return id


def _check_metadata(metadata: Any) -> None:
    if metadata is not None and type(metadata) is not bytes:
        raise TypeError(f"metadata is bytes, or nil for none, not {metadata!r:.60}")
    if metadata is not None and len(metadata) > METADATA_BYTES_MAX:
        raise ValueError(f"metadata has at most {METADATA_BYTES_MAX} bytes, not {len(metadata)}")


def _check_join(id: Any, metadata: Any, expire_ms: Any, at_once: Any) -> None:
    _checked_id(id)
    _check_metadata(metadata)
    if expire_ms is not None and (type(expire_ms) is not int or not 0 <= expire_ms <= EXPIRE_MS_MAX):
        raise ValueError(f"a member may be away for 0 to {EXPIRE_MS_MAX} ms, or nil for ever, not {expire_ms!r:.60}")
    if type(at_once) is not int or not 0 <= at_once <= AT_ONCE_MAX:
        raise ValueError(f"a member has from 0 to {AT_ONCE_MAX} messages under way, not {at_once!r:.60}")


def _check_numbers(*numbers: Any) -> None:
    for number in numbers:
        if type(number) is not int:
            raise TypeError(f"an integer, not {number!r:.60}")


def _check_key(key: Any) -> None:
    if key is not None:
        raise TypeError(f"a group has no keys to listen to, such as {key!r:.60}")


def indexes_of(members: Iterable[Member]) -> dict[int, int]:
    """How many members have not handled a message, by its index."""
    found: dict[int, int] = {}
    for member in members:
        for index in (*member.under_way, *member.pending):
            found[index] = found.get(index, 0) + 1
    return found
