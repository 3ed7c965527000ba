"""Who belongs to the group: configurations, the changes of one, and when a change is refused. Knows nothing of messages.

A change touches one member, so that at most one voter comes or goes and every majority of the old configuration meets
every majority of the new one (Ongaro's thesis, section 4.1). A member is its number and its *incarnation*: one that lost
its files comes back under its number as somebody else, who does not vote until it has been promoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from itertools import pairwise
from typing import NamedTuple

import msgpack

MEMBERS_MAX = 255
NUMBER_MAX = (1 << 32) - 1


class MemberRole(IntEnum):
    """Part of a member in its configuration. Whoever is in it is replicated to; only ACTIVE members vote."""

    PASSIVE = 0
    ACTIVE = 1
    RETURNING = 2  # does not vote, but did under its last incarnation: the leader promotes it once it has caught up


PASSIVE = MemberRole.PASSIVE
ACTIVE = MemberRole.ACTIVE
RETURNING = MemberRole.RETURNING


class ChangeKind(Enum):
    """What may be done to one member."""

    ADD = "add"  # to a group that does not know it, as PASSIVE
    PROMOTE = "promote"  # to ACTIVE
    DEMOTE = "demote"  # to PASSIVE
    REMOVE = "remove"
    RENEW = "renew"  # with a higher incarnation; it votes no more for now


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the configuration. ADD and RENEW name the incarnation that the member will have."""

    kind: ChangeKind
    member: int
    incarnation: int = 0


class Refused(ValueError):
    """A change or a transfer that is not begun. `reason` is one word, for programs; the text says what was found.

    Reasons: not_leader, transferring, new_leader, under_way, version, unknown, known, role, incarnation, last_voter,
    not_caught_up, unavailable, probation, no_majority, itself.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class BadConfiguration(ValueError):
    """Bytes that are not a configuration."""


class Member(NamedTuple):
    """One member of a configuration."""

    member: int
    incarnation: int
    role: MemberRole


class Configuration:
    """The members of one Raft group, ascending, so that whatever goes to all of them goes in one order everywhere.

    `index`: that of the entry which holds it, 0 for the one that a group begins with; it serves as the version.
    """

    __slots__ = ("incarnations", "index", "members", "returning", "voters")

    def __init__(self, members: Iterable[Member], index: int = 0) -> None:
        self.members = tuple(sorted(members))
        self.index = index
        self.incarnations = {member.member: member.incarnation for member in self.members}
        self.voters = tuple([member.member for member in self.members if member.role is ACTIVE])
        self.returning = tuple([member.member for member in self.members if member.role is RETURNING])
        assert self.voters, "a configuration needs at least one voter"
        assert len(self.incarnations) == len(self.members), f"a member is named twice in {self.members}"

    @classmethod
    def bootstrap(cls, members: Iterable[int]) -> Configuration:
        """The configuration that a group begins with."""
        return cls(Member(member, 1, ACTIVE) for member in members)

    def others(self, member: int) -> tuple[int, ...]:
        """Every member but `member`."""
        return tuple([other.member for other in self.members if other.member != member])

    def role_of(self, member: int, incarnation: int) -> MemberRole | None:
        """The role of this incarnation; None if it does not belong to the group."""
        for other in self.members:
            if other.member == member and other.incarnation == incarnation:
                return other.role
        return None

    def changed(self, change: Change) -> Configuration:
        """The configuration after `change`, without an index. Raises Refused."""
        member = next((member for member in self.members if member.member == change.member), None)
        others = [other for other in self.members if other is not member]
        if change.kind is ChangeKind.ADD:
            if member is not None:
                raise Refused("known", f"member {change.member} belongs to the group already")
            return _with(others, Member(change.member, change.incarnation, PASSIVE))
        if member is None:
            raise Refused("unknown", f"member {change.member} does not belong to the group")
        if change.kind is ChangeKind.PROMOTE:
            if member.role is ACTIVE:
                raise Refused("role", f"member {change.member} votes already")
            return _with(others, member._replace(role=ACTIVE))
        if member.role is ACTIVE and self.voters == (change.member,):
            raise Refused("last_voter", f"member {change.member} is the only one that votes")
        if change.kind is ChangeKind.REMOVE:
            return _with(others)
        if change.kind is ChangeKind.DEMOTE:
            if member.role is PASSIVE:
                raise Refused("role", f"member {change.member} is passive already")
            return _with(others, member._replace(role=PASSIVE))
        if change.incarnation <= member.incarnation:
            text = f"member {change.member} is of incarnation {member.incarnation}, not below {change.incarnation}"
            raise Refused("incarnation", text)
        role = PASSIVE if member.role is PASSIVE else RETURNING
        return _with(others, Member(change.member, change.incarnation, role))

    def encode(self) -> bytes:
        """As bytes: msgpack [index, [[member, incarnation, role], ...]]."""
        data: bytes = msgpack.packb([self.index, [list(member) for member in self.members]])
        return data

    @classmethod
    def decode(cls, data: bytes | memoryview, index: int | None = None) -> Configuration:
        """What `encode` made of it; an entry's is told the `index` of the entry. Raises BadConfiguration."""
        try:
            version, fields = msgpack.unpackb(data, max_array_len=MEMBERS_MAX, max_map_len=0, max_ext_len=0)
            members = [_member(*each) for each in fields]
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadConfiguration(f"not a configuration: {error!r}") from error
        if type(version) is not int or version < 0:
            raise BadConfiguration(f"the index of a configuration is {version!r}")
        if not any(member.role is ACTIVE for member in members):
            raise BadConfiguration("a configuration in which nobody votes")
        if any(before.member >= after.member for before, after in pairwise(members)):
            raise BadConfiguration("the members of a configuration do not ascend")
        return cls(members, version if index is None else index)

    def __repr__(self) -> str:
        named = ", ".join(f"{member}.{incarnation} {role.name.lower()}" for member, incarnation, role in self.members)
        return f"{self.index}: {named}"


def _with(others: Iterable[Member], *changed: Member) -> Configuration:
    members = [*others, *changed]
    if len(members) > MEMBERS_MAX:
        raise Refused("known", f"a group has at most {MEMBERS_MAX} members")
    for member in changed:
        if not (0 <= member.member <= NUMBER_MAX and 1 <= member.incarnation <= NUMBER_MAX):
            raise Refused("incarnation", f"member {member.member} of incarnation {member.incarnation} cannot be")
    return Configuration(members)


def _member(member: object, incarnation: object, role: object) -> Member:
    if type(member) is not int or type(incarnation) is not int or type(role) is not int:
        raise ValueError("a member is not three integers")
    if not (0 <= member <= NUMBER_MAX and 1 <= incarnation <= NUMBER_MAX):
        raise ValueError(f"member {member} of incarnation {incarnation} cannot be")
    return Member(member, incarnation, MemberRole(role))
