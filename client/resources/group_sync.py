# Generated from group.py by generate.py: change that one and run this again.
"""A replicated group: who is there, who leads, and messages to members.

    group = client.group("workers")
    with group.join("ada", metadata={"zone": "a"}) as member:
        group.members()
        group.leader()
        for message in member:
            message.reply(message.value * 2)     # or ack(), or fail("why")

    group.send({"do": "it"}, to="ada")           # until it is acknowledged
    group.post("hello")                          # to everybody, without waiting
    group.request(21, to=Delivery.RANDOM)        # 42

A member with an id of its own is persistent: it is away when its session ends, and gets what it has not handled when it
joins again, in order. One without an id leaves with its session. Messages are whatever msgpack holds, but None.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..calls import Resource
from ..changes import Resync
from ..group_changes import (
    EVERYBODY,
    Delivery,
    GroupEvent,
    GroupLeader,
    GroupMember,
    MemberListener,
    MessageFailed,
    leader_of,
    member_of,
)
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import BadArgument, DeadlineExceeded
from ..protocol.values import decode, encode_key, encode_value, ttl_ms
from ..streams import Events
from .base import Handle, Level, Seconds

if TYPE_CHECKING:
    from ..sync import Client

AT_ONCE_MAX = 1000
"""Messages that one member may have under way."""

ID_BYTES_MAX = 255
"""Bytes of a member's id in UTF-8."""

_numbers = count(1)

To = str | Delivery


class Message:
    """A message that came to a member: `value`, its `id` in the group, the `attempt` counted from 1, and `wants_reply`.

    Each method answers True when the message was still this member's, else False: then it comes again, or the member has left.
    """

    __slots__ = ("_member", "attempt", "id", "value", "wants_reply")

    def __init__(self, member: Member, id: int, attempt: int, wants_reply: bool, value: Any) -> None:
        self._member = member
        self.id = id
        self.attempt = attempt
        self.wants_reply = wants_reply
        self.value = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} to {self._member.id!r}, attempt {self.attempt}>"

    def ack(self, *, timeout: Seconds = None) -> bool:
        """It is handled, and is forgotten."""
        return self._answer("ack", timeout)

    def reply(self, value: Any, *, timeout: Seconds = None) -> bool:
        """It is handled, and this is for who asked; where nobody waits for a reply it is an `ack`."""
        return self._answer("reply", timeout, encode_value(value))

    def fail(self, reason: str = "", *, timeout: Seconds = None) -> bool:
        """It cannot be handled, and is forgotten; who waits for it gets MessageFailed with the reason."""
        return self._answer("fail", timeout, str(reason))

    def _answer(self, name: str, timeout: Seconds, *what: Any) -> bool:
        parts = (name, self._member._key, self.id, self.attempt, *what)
        found: bool = self._member._group._command(parts, timeout, None)
        return found


class Member:
    """This client as a member of a group; it iterates over its messages: `for message in member: ...`.

    When the client's session is lost, it joins again under the next one, unless somebody else has taken its place. It is
    a member while it is referred to: one that is forgotten is closed.
    """

    def __init__(self, group: Group, id: str, key: bytes, stream: MemberEvents) -> None:
        self.id = id
        self._group = group
        self._key = key
        self._stream = stream

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r} of {self._group.resource.name!r}>"

    def next(self, timeout: Seconds = None) -> Message:
        """The next message. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end.

        Raises MemberRemoved when this client is the member no more: it was removed, or another one joined as it.
        """
        return self._message(self._stream.next(timeout))

    def __iter__(self) -> Member:
        return self

    def __next__(self) -> Message:
        return self._message(self._stream.__next__())

    def _message(self, event: Any) -> Message:
        id, attempt, wants_reply, payload = event.message
        return Message(self, id, attempt, wants_reply, decode(payload))

    def set_metadata(self, metadata: Any, *, timeout: Seconds = None) -> bool:
        """What the member says about itself from now on, None for nothing; whether this client is the member."""
        encoded = None if metadata is None else encode_value(metadata)
        changed: bool = self._group._command(("set_metadata", self._key, encoded), timeout, None)
        if changed:
            self._stream.set_metadata(encoded)
        return changed

    def leave(self, *, timeout: Seconds = None) -> bool:
        """Leave for good, as a persistent member too: what it has not handled has failed. Whether this client was the member."""
        left: bool = self._group._command(("leave", self._key), timeout, None)
        self.close()
        return left

    def close(self) -> None:
        """Be no member any more: an ephemeral one leaves, a persistent one is away. Closing twice is fine."""
        self._stream.close()

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Group(Handle):
    """The group of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for what cannot be encoded, DeadlineExceeded or OutcomeUnknown when the timeout passes,
    SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    # -- members ---------------------------------------------------------------------------------------

    def join(
        self,
        id: str | None = None,
        *,
        metadata: Any = None,
        persistent: bool | None = None,
        expires: Seconds = None,
        at_once: int = 1,
        take_over: bool = True,
    ) -> Member:
        """Join, as a persistent member of that id, or without one as an ephemeral member.

        `metadata`: what others see of it, up to 16 KiB. `persistent`: to have it otherwise. `expires`: a persistent member that
        is away for so many seconds is removed; None: never. `at_once`: how many messages it may have under way, up to 1000;
        with 0 it gets none. `take_over`: whether a session that is this member at the moment loses it.

        Raises MachineError when there is an ephemeral member of that id, or one that is not to be taken over.
        """
        persistent = id is not None if persistent is None else bool(persistent)
        id = uuid4().hex if id is None else _checked_id(id)
        if type(at_once) is not int or not 0 <= at_once <= AT_ONCE_MAX:
            raise BadArgument(f"at_once is a number of messages from 0 to {AT_ONCE_MAX}, not {at_once!r:.60}")
        expire_ms = None if expires is None else ttl_ms(expires)
        encoded = None if metadata is None else encode_value(metadata)
        key = encode_key(id)
        joining = [next(_numbers), persistent, encoded, expire_ms, at_once, bool(take_over)]
        stream = MemberEvents(self._client, self.resource, key, joining)
        stream.__enter__()
        return Member(self, id, key, stream)

    def members(self, *, timeout: Seconds = None, consistency: Level = None) -> list[GroupMember]:
        """Every member, in the order of joining."""
        return [member_of(row) for row in self._query(("all",), timeout, consistency)]

    def member(self, id: str, *, timeout: Seconds = None, consistency: Level = None) -> GroupMember | None:
        """The member of that id, or None."""
        row = self._query(("get", encode_key(_checked_id(id))), timeout, consistency)
        return None if row is None else member_of(row)

    def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of members, present and away."""
        size: int = self._query(("size",), timeout, consistency)
        return size

    def leader(self, *, timeout: Seconds = None, consistency: Level = None) -> GroupLeader:
        """Who leads, which is the member that has been present longest, and the term: a fencing token that only grows."""
        return leader_of(self._query(("leader",), timeout, consistency))

    def remove(self, id: str, *, timeout: Seconds = None) -> bool:
        """Remove a member, present or away; whether there was one. Its client gets MemberRemoved."""
        removed: bool = self._command(("remove", encode_key(_checked_id(id))), timeout, None)
        return removed

    def on_change(
        self,
        callback: Callable[[GroupEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` at each change of the members or the leader, until the subscription is closed.

        A `Resync` stands for changes that were missed: its state is the list of members.
        """
        return self._client.on_change(self.resource, GroupEvent, EVERYBODY, callback, timeout)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> Events[GroupEvent]:
        """Iterate over the changes of the members and the leader from now on: `GroupEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return Events(self._client, self.resource, GroupEvent, EVERYBODY, timeout, buffer)

    # -- messages --------------------------------------------------------------------------------------

    def post(self, message: Any, *, to: To = Delivery.BROADCAST, timeout: Seconds = None) -> int:
        """Send a message without waiting for it to be handled; to how many members it goes.

        It returns when the message is in the log: whoever is a member gets it, also when everything fails in between. Raises
        MessageFailed when it is for nobody, or some have too many unhandled messages; the others get it.
        """
        receivers, failed = self._command(("post", *_receivers(to), encode_value(message)), timeout, None)
        self._check(failed, [])
        found: int = receivers
        return found

    def send(self, message: Any, *, to: To = Delivery.BROADCAST, timeout: Seconds = None) -> list[str]:
        """Send a message, and wait until everybody has acknowledged it, `timeout` seconds, math.inf for ever; who that was.

        Raises MessageFailed when somebody failed it or left, DeadlineExceeded when not all have acknowledged it in time:
        they get it all the same.
        """
        return list(self._send(message, to, False, timeout))

    def request(self, message: Any, *, to: To = Delivery.RANDOM, timeout: Seconds = None) -> Any:
        """Send a message to one member, and wait for its reply: None if it only acknowledged. Raises what `send` does."""
        if to is Delivery.BROADCAST:
            raise BadArgument("a request is for one member; request_all is for all of them")
        return next(iter((self._send(message, to, True, timeout)).values()), None)

    def request_all(self, message: Any, *, timeout: Seconds = None) -> dict[str, Any]:
        """Send a message to all members, and wait for the replies, by member id. Raises what `send` does.

        The replies together have to fit the bounds of events (`event_bytes_max`).
        """
        return self._send(message, Delivery.BROADCAST, True, timeout)

    def unhandled(self, id: str, *, timeout: Seconds = None, consistency: Level = None) -> int | None:
        """How many messages a member has not handled; None when there is no such member."""
        found: int | None = self._query(("unhandled", encode_key(_checked_id(id))), timeout, consistency)
        return found

    def _send(self, message: Any, to: To, wants_reply: bool, timeout: Seconds) -> dict[str, Any]:
        result = self._request("send", wants_reply, *_receivers(to), encode_value(message), wait=timeout)
        if result is None:
            text = "the message was not handled by everybody in time; they get it all the same"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        handled, failed = result
        self._check(failed, handled)
        return _handled(handled)

    def _check(self, failed: Any, handled: Any) -> None:
        if failed:
            failures = {None if id is None else decode(id): why for id, why in failed}
            raise MessageFailed(failures, _handled(handled), resource=self.resource.name, shard=self.resource.shard)


class MemberEvents(Events[GroupEvent]):
    """The messages of one member, as they come; made, it joins."""

    def __init__(self, client: Client, resource: Resource, key: bytes, joining: list[Any]) -> None:
        self._joining = joining
        super().__init__(client, resource, GroupEvent, key)

    def listener_type(self, *arguments: Any) -> MemberListener:  # type: ignore[override]
        """A listener that joins."""
        listener = MemberListener(*arguments)
        listener.joining = self._joining
        return listener

    def set_metadata(self, metadata: bytes | None) -> None:
        """With what it joins again, when the session is lost."""
        self._joining[2] = metadata


def _checked_id(id: Any) -> str:
    if type(id) is not str or not 0 < len(id.encode("utf-8", "replace")) <= ID_BYTES_MAX:
        raise BadArgument(f"a member is called by a str of 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")
    return id


def _receivers(to: Any) -> tuple[str, bytes | None]:
    if isinstance(to, Delivery):
        return to.value, None
    return "direct", encode_key(_checked_id(to))


def _handled(rows: Any) -> dict[str, Any]:
    return {decode(id): None if reply is None else decode(reply) for id, reply in rows}
