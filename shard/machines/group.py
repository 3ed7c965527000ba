"""The group: who is there, who leads, and messages to members, each delivered at least once and in order.

    group = client.group("workers")
    with group.join("ada", metadata={"zone": "a"}) as member:   # a persistent member; without an id an ephemeral one
        group.members(), group.leader()
        group.send({"do": "it"}, to="ada")  # SYNC: until acknowledged; post is ASYNC, request is REQUEST_REPLY
        for message in member:
            message.ack()                   # or message.reply(...), or message.fail("why")

A message goes to one member (DIRECT), to one of those present, chosen by the index of the message (RANDOM), or to all
members (BROADCAST). Each member handles its messages in their order, with at most as many under way as it said. What a
member had under way when its session ended is pending again, in front; a persistent member gets it when it is back, and
what an ephemeral one had has failed. A member names the attempt that it answers, so that who lost a message and got it again
cannot mix the two up. A member that has UNHANDLED_MAX messages gets no more: for it the message has failed at once.

RELEASE: post and send live in their own entries, one message each, until every receiver has handled it or left; reply lives in
its own until all replies to that message are there. Both may be large, and are found by their index only: which message is for
whom is in the snapshot, so restoring the payloads in any order is right. A sender waits for a limited time; that timer is its
entry's own, and armed again with it.

SNAPSHOT: everything else, since it comes from more than one entry: members, the leader, order and attempts of messages, who
waits, and what was answered so far. What ends a message releases the entries of it and of its replies.

A member gets an event `change` with ["message", id, None, [index, attempt, whether a reply is awaited, payload]].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zlib import crc32

from .base import RELEASE, SNAPSHOT, Commit, command, query
from .group_members import GroupMembers, Member, indexes_of
from .waiting import ANSWER, Waiter, Waiters, checked_wait, tell_deleted

UNHANDLED_MAX = 1000
"""Messages that one member may leave unhandled."""

WHY_CHARACTERS_MAX = 1000
"""Of the reason for which a member fails a message: until all have answered it is in the snapshot."""

DELIVERIES = ("direct", "random", "broadcast")

LEFT = "the member has left"
FULL = f"the member has {UNHANDLED_MAX} unhandled messages"
NO_SUCH = "there is no such member, or it takes no messages"
NOBODY = "there is nobody to take it"


@dataclass(slots=True)
class Message:
    """A message that `remaining` members have not handled.

    `waiting` is the session and number of the sender's request, None when nobody waits (any more). While somebody does:
    `handled` are the ids of those that have handled it, each with the index of the entry of its reply or None, `failed` those
    that have not, each with the reason.
    """

    remaining: int
    wants_reply: bool = False
    waiting: tuple[int, int] | None = None
    handled: list[tuple[bytes, int | None]] = field(default_factory=list)
    failed: list[tuple[bytes, str]] = field(default_factory=list)


class GroupMachine(GroupMembers):
    """Keeps `messages` by index, with their `payloads` and the `replies` from live entries, and who waits."""

    type_name: ClassVar[str] = "group"

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[int, Message] = {}
        self.payloads: dict[int, bytes] = {}
        self.replies: dict[int, bytes] = {}
        self.waiters = Waiters()

    # -- sending ---------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def post(self, commit: Commit, delivery: str, to: bytes | None, payload: bytes) -> list[Any]:
        """Send a message; to how many it goes, and for whom it failed at once, [id or nil, why] each."""
        receivers, failed = self._receivers(commit, delivery, to, payload)
        self._send(commit, receivers, payload, Message(len(receivers)))
        return [len(receivers), failed]

    @command(mode=RELEASE)
    def send(
        self,
        commit: Commit,
        number: int,
        wait_ms: int | None,
        wants_reply: bool,
        delivery: str,
        to: bytes | None,
        payload: bytes,
    ) -> list[Any] | None:
        """Send a message, and wait until it is handled: [[[id, reply or nil] ...], [[id or nil, why] ...]], or None when late."""
        receivers, failed = self._receivers(commit, delivery, to, payload)
        wait = checked_wait(wait_ms)
        if not receivers:
            self.release(commit.index)
            return [[[], failed]]
        if wait == 0:
            self._send(commit, receivers, payload, Message(len(receivers)))
            return [None]
        self.waiters.add(Waiter(commit.session, number, commit.index))
        self._arm(commit, wait)
        message = Message(len(receivers), wants_reply, (commit.session, number))
        message.failed += [(id, why) for id, why in failed]
        self._send(commit, receivers, payload, message)
        return None

    @post.restore
    def _restore_post(self, commit: Commit, delivery: str, to: bytes | None, payload: bytes) -> None:
        self.payloads[commit.index] = payload

    @send.restore
    def _restore_send(
        self,
        commit: Commit,
        number: int,
        wait_ms: int | None,
        wants_reply: bool,
        delivery: str,
        to: bytes | None,
        payload: bytes,
    ) -> None:
        self.payloads[commit.index] = payload
        if wait_ms != 0:
            self._arm(commit, wait_ms)

    def _arm(self, commit: Commit, wait_ms: int | None) -> None:
        # The timer belongs to the entry: it is gone when the message is, so none piles up.
        if wait_ms is not None:
            self.schedule(commit.time + wait_ms, "give_up", commit.index)

    def _receivers(
        self, commit: Commit, delivery: str, to: bytes | None, payload: bytes
    ) -> tuple[list[Member], list[list[Any]]]:
        """To whom a message goes, and for whom it failed at once. Raises TypeError or ValueError, and changes nothing."""
        if type(payload) is not bytes:
            raise TypeError(f"a message is bytes, not {payload!r:.60}")
        if delivery not in DELIVERIES or (type(to) is bytes) != (delivery == "direct"):
            raise ValueError(f"a message goes direct to a member, random or broadcast, not {delivery!r:.60} {to!r:.60}")
        if delivery == "direct":
            assert to is not None
            found = self.members.get(to)
            members = [found] if found is not None and found.at_once else []
            if not members:
                return [], [[to, NO_SUCH]]
        else:
            members = [member for member in self.members.values() if member.at_once]
        full = [member for member in members if member.unhandled >= UNHANDLED_MAX]
        ready = [member for member in members if member.unhandled < UNHANDLED_MAX]
        if delivery != "random":
            return ready, [[member.id, FULL] for member in full]
        ready = [member for member in ready if member.session is not None] or ready
        if not ready:
            return [], [[None, NOBODY]]
        return [ready[crc32(commit.index.to_bytes(8, "big")) % len(ready)]], []

    def _send(self, commit: Commit, receivers: list[Member], payload: bytes, message: Message) -> None:
        if not receivers:
            self.release(commit.index)
            return
        self.messages[commit.index] = message
        self.payloads[commit.index] = payload
        for member in receivers:
            member.pending[commit.index] = 0
            self._hand_out(member)

    def give_up(self, commit: Commit, index: int) -> None:
        """A timer: the message was not handled in time for its sender; it stays."""
        waiting = self.messages[index].waiting
        if waiting is not None:
            self.waiters.remove(*waiting)
            self._wait_no_more(index)
            self.publish(waiting[0], ANSWER, [waiting[1], None])

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> bool:
        """The sender waits no more, if it did; the message stays."""
        waiter = self.waiters.remove(commit.session, number)
        if waiter is None:
            return False
        self._wait_no_more(waiter.index)
        return True

    def _wait_no_more(self, index: int) -> None:
        message = self.messages[index]
        for _, reply in message.handled:
            self._take_reply(reply)
        message.handled.clear()
        message.failed.clear()
        message.waiting = None

    def _take_reply(self, reply: int | None) -> bytes | None:
        if reply is None:
            return None
        self.release(reply)
        return self.replies.pop(reply)

    # -- handling --------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def ack(self, commit: Commit, id: bytes, index: int, attempt: int) -> bool:
        """The member has handled a message; False when it was not, or no more, its own at this attempt: nothing was changed."""
        member = self._handles(commit, id, index, attempt)
        if member is None:
            return False
        self._finish(member, index, None, None)
        return True

    @command(mode=SNAPSHOT)
    def fail(self, commit: Commit, id: bytes, index: int, attempt: int, why: str) -> bool:
        """The member cannot handle a message and gives it up; the reason is kept as far as it fits; False as with `ack`."""
        member = self._handles(commit, id, index, attempt)
        if member is None:
            return False
        self._finish(member, index, None, why[:WHY_CHARACTERS_MAX])
        return True

    @command(mode=RELEASE)
    def reply(self, commit: Commit, id: bytes, index: int, attempt: int, payload: bytes) -> bool:
        """The member has handled a message, and this is its reply, for who waits for one; False as with `ack`."""
        if type(payload) is not bytes:
            raise TypeError(f"a reply is bytes, not {payload!r:.60}")
        member = self._handles(commit, id, index, attempt)
        message = self.messages.get(index)
        if member is None or message is None or message.waiting is None or not message.wants_reply:
            self.release(commit.index)
            if member is not None:
                self._finish(member, index, None, None)
            return member is not None
        self.replies[commit.index] = payload
        self._finish(member, index, commit.index, None)
        return True

    @reply.restore
    def _restore_reply(self, commit: Commit, id: bytes, index: int, attempt: int, payload: bytes) -> None:
        self.replies[commit.index] = payload

    def _handles(self, commit: Commit, id: bytes, index: int, attempt: int) -> Member | None:
        member = self._own(commit, id)
        return member if member is not None and member.under_way.get(index) == attempt else None

    def _finish(self, member: Member, index: int, reply: int | None, why: str | None) -> None:
        del member.under_way[index]
        self._done(member, index, reply, why)
        self._hand_out(member)

    def _done(self, member: Member, index: int, reply: int | None, why: str | None) -> None:
        message = self.messages[index]
        message.remaining -= 1
        if message.waiting is not None and why is None:
            message.handled.append((member.id, reply))
        elif message.waiting is not None and why is not None:
            message.failed.append((member.id, why))
        if not message.remaining:
            self._end(index, message)

    def _end(self, index: int, message: Message) -> None:
        """Nobody has it any more: whoever waits is told, and nothing is left of it."""
        del self.messages[index], self.payloads[index]
        self.release(index)
        if message.waiting is not None:
            session, number = message.waiting
            self.waiters.remove(session, number)
            handled = [[id, self._take_reply(reply)] for id, reply in message.handled]
            self.publish(session, ANSWER, [number, [handled, [list(failure) for failure in message.failed]]])

    def _hand_out(self, member: Member) -> None:
        while member.session is not None and member.pending and len(member.under_way) < member.at_once:
            index, attempts = member.pending.popitem(last=False)
            member.under_way[index] = attempts + 1
            what = [index, attempts + 1, self.messages[index].wants_reply, self.payloads[index]]
            self.publish(member.session, "change", ["message", member.id, None, what])

    # -- members and sessions --------------------------------------------------------------------------

    def came(self, member: Member) -> None:
        """A member that is present gets what it has not handled."""
        self._hand_out(member)

    def went(self, member: Member) -> None:
        """What a member had under way is pending again, in front of all that came later."""
        for index in reversed(member.under_way):
            member.pending[index] = member.under_way[index]
            member.pending.move_to_end(index, last=False)
        member.under_way.clear()

    def gone(self, member: Member) -> None:
        """What a member that has left did not handle has failed."""
        for index in (*member.under_way, *member.pending):
            self._done(member, index, None, LEFT)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits no more; what it sent stays."""
        for waiter in self.waiters.end(commit.session):
            self._wait_no_more(waiter.index)
        super().session_closed(commit)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only members, listeners and who waits leave anything behind."""
        return session in self.waiters or super().watches(session)

    def deleted(self, commit: Commit) -> None:
        """Nobody will handle what is waited for."""
        super().deleted(commit)
        tell_deleted(self, self.waiters)

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Everything but messages and replies, which are in their live entries."""
        return [
            super().snapshot(),
            [
                [
                    *(index, message.remaining, message.wants_reply),
                    None if message.waiting is None else list(message.waiting),
                    [list(pair) for pair in message.handled],
                    [list(pair) for pair in message.failed],
                ]
                for index, message in self.messages.items()
            ],
            self.waiters.state(),
        ]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        members, messages, waiters = state
        super().install(members)
        for index, remaining, wants_reply, waiting, handled, failed in messages:
            message = Message(remaining, bool(wants_reply))
            if waiting is not None:
                session, number = waiting
                message.waiting = session, number
            message.handled += [(id, reply) for id, reply in handled]
            message.failed += [(id, why) for id, why in failed]
            self.messages[index] = message
        self.waiters.install(waiters)
        if {index: message.remaining for index, message in self.messages.items()} != indexes_of(self.members.values()):
            raise ValueError("the messages that members have are not those that there are")
        awaited = {message.waiting: index for index, message in self.messages.items() if message.waiting is not None}
        if awaited != {(waiter.session, waiter.number): waiter.index for waiter in self.waiters}:
            raise ValueError("the messages that are waited for are not those that somebody waits for")

    def restored(self) -> None:
        """Raises ValueError for a message or a reply without its live entry."""
        replies = {reply for message in self.messages.values() for _, reply in message.handled if reply is not None}
        if self.payloads.keys() != self.messages.keys() or self.replies.keys() != replies:
            raise ValueError("the live entries of messages and replies are not those that the snapshot knows")

    def live_entries(self) -> Iterable[int]:
        """One entry for each message, and one for each reply that waits for others."""
        return [*self.payloads, *self.replies]

    @query
    def unhandled(self, commit: Commit, id: bytes) -> int | None:
        """How many messages a member has not handled; None when there is no such member."""
        member = self.members.get(id)
        return None if member is None else member.unhandled
