"""The set partitioner: its members divide a set among themselves, and no item is ever held by two of them.

    with client.set_partitioner("work", ["a", "b", "c"]) as partitioner:
        for allotment in partitioner:      # again whenever the members change
            allotment.items, allotment.token

A round is the index at which the members changed last. Each member works out by itself which items are its own in a round, and
claims them; the machine neither knows the set nor how it is divided. It sees to it that an item is claimed by one at a
time: a claim waits until all its items are free, and an item is free again when who holds it has given it up, has left, or its
session has ended. So nothing is handed over before it was given up, whoever divides wrongly. A claim for a round that is over is
refused, as are those that wait when a round ends: their members look who is there, and claim again.

The token of an allotment is the index of the entry that granted it: for each item it grows with every grant.

SNAPSHOT: members, what they hold and who waits follow from many entries, and are small. Nothing is restored: the snapshot is the
whole state, and the timer of those who wait is the shard's.

A member gets an event `change` with ["changed", nil, nil, round] when the members change, and ["removed", nil, nil, why] when
there is nothing any more that it could be a member of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, command, query
from .by_session import BySession
from .patience import Patience
from .waiting import ANSWER, Waiter, checked_wait, tell_deleted

MEMBERS_MAX = 1000
"""Members of a set partitioner: each change of them is told to all."""

ID_BYTES_MAX = 300
"""Bytes of a member's id, encoded."""

ITEMS_MAX = 100_000
"""Items that all members hold together."""

STALE = 0
"""What is answered to a claim for a round that is over, instead of a token."""

GONE = "the set partitioner was deleted"


@dataclass(slots=True)
class Partitioner:
    """A member: of which session, what it holds since which entry, and the items that its waiting claim is for.

    `number` says which of a session's joins it was, `claim` is the number of the request that was granted or waits.
    """

    id: bytes
    session: int
    number: int
    token: int = 0
    held: list[bytes] = field(default_factory=list)
    claim: int | None = None
    wanted: list[bytes] | None = None


class SetPartitionerMachine(Patience):
    """Keeps `members` in the order of joining, the `round`, and `owners`: who holds an item. Claims wait in `waiters`."""

    type_name: ClassVar[str] = "set_partitioner"

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[bytes, Partitioner] = {}
        self.sessions: BySession[bytes, None] = BySession()
        self.owners: dict[bytes, bytes] = {}
        self.round = 0

    # -- members ---------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def join(self, commit: Commit, id: bytes, number: int) -> int:
        """The session is this member from here on; said again with the same number, it changes nothing. The round."""
        if type(id) is not bytes or not 0 < len(id) <= ID_BYTES_MAX:
            raise TypeError(f"a member is called by 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")
        member = self.members.get(id)
        if member is not None:
            if (member.session, member.number) != (commit.session, number):
                raise ValueError("there is a member of that id already")
            return self.round
        if len(self.members) >= MEMBERS_MAX:
            raise ValueError(f"a set is divided among at most {MEMBERS_MAX} members")
        self.members[id] = Partitioner(id, commit.session, number)
        self.sessions.put(commit.session, id, None)
        self._begin_round(commit)
        return self.round

    @command(mode=SNAPSHOT)
    def part(self, commit: Commit, id: bytes) -> bool:
        """The session is this member no more, and what it held is free; whether it was."""
        member = self._own(commit, id)
        if member is None:
            return False
        self._drop(member)
        self._begin_round(commit)
        return True

    def _own(self, commit: Commit, id: bytes) -> Partitioner | None:
        member = self.members.get(id)
        return member if member is not None and member.session == commit.session else None

    def _drop(self, member: Partitioner) -> None:
        self._give_up(member)
        if member.wanted is not None:
            assert member.claim is not None
            waiter = self.waiters.get(member.session, member.claim)
            assert waiter is not None
            self._answer(waiter, STALE)
        del self.members[member.id]
        self.sessions.drop(member.session, member.id)

    def _begin_round(self, commit: Commit) -> None:
        """The members have changed: nobody may wait for what was its own before."""
        self.round = commit.index
        for waiter in list(self.waiters):
            self._answer(waiter, STALE)
        sessions = [member.session for member in self.members.values()]
        self.publish(dict.fromkeys(sessions), "change", ["changed", None, None, self.round])

    # -- claims ----------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def claim(
        self, commit: Commit, number: int, wait_ms: int | None, id: bytes, round: int, items: list[Any]
    ) -> list[Any] | None:
        """The member gives up what it held, and claims these items: [token], [0] when the round is over, or it waits."""
        _check_items(items)
        wait = checked_wait(wait_ms)
        member = self._own(commit, id)
        if member is None:
            raise ValueError("the session is no member of that id")
        if member.wanted is not None:
            raise ValueError("the member has a claim that waits")
        if self.waiters.get(commit.session, number) is not None:
            raise ValueError(f"request {number} of session {commit.session} waits already")
        if len(self.owners) - len(member.held) + len(items) > ITEMS_MAX:
            raise ValueError(f"the members hold at most {ITEMS_MAX} items together")
        self._give_up(member)
        result: list[Any] | None = [STALE]
        if round == self.round:
            member.claim, member.wanted = number, items
            if self._is_free(items):
                result = [self._grant(commit, member)]
            elif wait == 0:
                member.claim = member.wanted = None
                result = [None]
            else:
                self.wait(commit, number, wait, member.id)
                result = None
        self._serve(commit)
        return result

    @command(mode=SNAPSHOT)
    def release_set(self, commit: Commit, id: bytes) -> bool:
        """The member gives up what it holds; whether the session is that member."""
        member = self._own(commit, id)
        if member is None:
            return False
        self._give_up(member)
        self._serve(commit)
        return True

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The claim is taken back: it waits no more, and gives up what it was granted."""
        members = [self.members[id] for id in self.sessions.get(commit.session, ())]
        # One, unless the client numbers its claims wrongly: then it is all of them that have this number.
        claimed = [member for member in members if member.claim == number]
        for member in claimed:
            self.waiters.remove(commit.session, number)
            self._give_up(member)
            member.claim = member.wanted = None
        if claimed:
            self._serve(commit)

    def _is_free(self, items: list[bytes]) -> bool:
        return not any(item in self.owners for item in items)

    def _grant(self, commit: Commit, member: Partitioner) -> int:
        assert member.wanted is not None and not member.held
        member.held, member.wanted, member.token = member.wanted, None, commit.index
        self.owners.update(dict.fromkeys(member.held, member.id))
        return member.token

    def _give_up(self, member: Partitioner) -> None:
        for item in member.held:
            del self.owners[item]
        member.held, member.token = [], 0

    def _serve(self, commit: Commit) -> None:
        """Whoever waits for nothing but free items gets them."""
        for waiter in list(self.waiters):
            member = self._claimant(waiter)
            assert member.wanted is not None
            if self._is_free(member.wanted):
                self.waiters.remove(waiter.session, waiter.number)
                self.publish(waiter.session, ANSWER, [waiter.number, self._grant(commit, member)])

    def _answer(self, waiter: Waiter, result: int) -> None:
        self.waiters.remove(waiter.session, waiter.number)
        self.gave_up(waiter)
        self.publish(waiter.session, ANSWER, [waiter.number, result])

    def waiter_wants(self, due: int | None, wants: Any) -> Any:
        """Beside when its patience ends, a waiter has the member whose claim it is."""
        return [due, wants]

    def due(self, waiter: Waiter) -> int | None:
        """When the waiter's patience ends."""
        due: int | None = waiter.wants[0]
        return due

    def _claimant(self, waiter: Waiter) -> Partitioner:
        return self.members[waiter.wants[1]]

    def gave_up(self, waiter: Waiter) -> None:
        """The claim waits no more."""
        member = self._claimant(waiter)
        member.claim = member.wanted = None

    # -- sessions --------------------------------------------------------------------------------------

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended is no member any more, and what its members held is free."""
        for id in list(self.sessions.get(commit.session, ())):
            self._drop(self.members[id])
        self._begin_round(commit)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only members leave anything behind."""
        return session in self.sessions

    def deleted(self, commit: Commit) -> None:
        """Nobody is a member of what is deleted."""
        tell_deleted(self, self.waiters)
        sessions = [member.session for member in self.members.values()]
        self.publish(dict.fromkeys(sessions), "change", ["removed", None, None, GONE])

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The whole state."""
        members = [
            [member.id, member.session, member.number, member.token, member.held, member.claim, member.wanted]
            for member in self.members.values()
        ]
        return [members, self.round, list(self.owners), self.waiters.state(), list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        members, round, items, waiters, alarms = state
        owners: dict[bytes, bytes] = {}
        for id, session, number, token, held, claim, wanted in members:
            if type(id) is not bytes or not type(session) is type(number) is type(token) is int:
                raise TypeError(f"a member is an id with its session, number and token, not {id!r:.60}")
            _check_items(held)
            if wanted is not None:
                _check_items(wanted)
            self.members[id] = Partitioner(id, session, number, token, held, claim, wanted)
            self.sessions.put(session, id, None)
            owners |= dict.fromkeys(held, id)
        if type(round) is not int:
            raise TypeError(f"a round is an index, not {round!r:.60}")
        if sorted(owners) != sorted(items) or len(owners) != sum(len(member.held) for member in self.members.values()):
            raise ValueError("the items that are held are not those of the members, once each")
        self.owners = {item: owners[item] for item in items}
        self.round = round
        self.waiters.install(waiters)
        claims = {(m.session, m.claim, m.id) for m in self.members.values() if m.wanted is not None}
        if claims != {(waiter.session, waiter.number, waiter.wants[1]) for waiter in self.waiters}:
            raise ValueError("those who wait are not those who have claimed")
        self.install_alarms(alarms)

    # -- queries ---------------------------------------------------------------------------------------

    @query
    def all(self, commit: Commit) -> list[Any]:
        """The round, and the ids of the members in the order of joining."""
        return [self.round, list(self.members)]

    @query
    def allotments(self, commit: Commit) -> list[Any]:
        """What every member holds: [id, token, items], the token being 0 for one that holds nothing at the moment."""
        return [[member.id, member.token, member.held] for member in self.members.values()]

    @query
    def size(self, commit: Commit) -> int:
        """How many members there are."""
        return len(self.members)


def _check_items(items: Any) -> None:
    if type(items) is not list or any(type(item) is not bytes for item in items):
        raise TypeError(f"items are a list of bytes, not {items!r:.60}")
    if len(dict.fromkeys(items)) != len(items):
        raise ValueError("an item is claimed once")
