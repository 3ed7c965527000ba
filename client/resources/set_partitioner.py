"""A set that its members divide among themselves: each item is held by one of them at a time.

    async with client.set_partitioner("work", ["a", "b", "c", "d"]) as partitioner:
        async for allotment in partitioner:
            while partitioner.state is PartitionerState.ACQUIRED:
                ...                    # work on allotment.items; send allotment.token along

When the members change, everybody gives up what it holds, and acquires what is its own among those who are there now. Who is
lost keeps its items until its session ends.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from itertools import count
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..calls import ClientState, Resource
from ..partitioning import Allotment, Divide, PartitionerState, PartitionEvent, PartitionListener
from ..protocol.errors import BadArgument, Closed, DeadlineExceeded, MachineError
from ..protocol.values import decode, encode_key
from ..requests import checked_wait
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds

if TYPE_CHECKING:
    from ..aio import AsyncClient

ID_BYTES_MAX = 255
"""Bytes of a member's id in UTF-8."""

LOOK_SECONDS = 0.25
"""How often it is looked whether the shard still answers, while the members do not change."""

_numbers = count(1)


class AsyncSetPartitioner:
    """A member of the set partitioner of that name, from `async with` on.

    `items` are str, bytes or integers; every member names the same ones. `id` is unique among the members, by default a new
    one. `divide(id, members, items)` says which items are the member's own, by default so that members differ by one at
    most. It is called with sorted ids and items, and must give every item to one member.

    Methods raise BadArgument, DeadlineExceeded or OutcomeUnknown when a timeout passes, SessionExpired, MemberRemoved, Refused
    and Closed. `timeout` is in seconds; None means the client's default.
    """

    def __init__(
        self, client: AsyncClient, resource: Resource, items: Iterable[Any], id: str | None, divide: Divide
    ) -> None:
        self.id = uuid4().hex if id is None else _checked_id(id)
        self._client = client
        self._handle = AsyncHandle(client, resource)
        self._items = [decode(item) for item in sorted({encode_key(item) for item in items})]
        self._divide = divide
        self._key = encode_key(self.id)
        self._stream: AsyncPartitionEvents | None = None
        self._allotment: Allotment | None = None
        self._round = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._handle.resource.name!r}, {self.id!r}, {self.state.value}>"

    @property
    def resource(self) -> Resource:
        """The resource on its shard."""
        return self._handle.resource

    @property
    def state(self) -> PartitionerState:
        """Where this member stands now; it changes by itself from ACQUIRED to RELEASE, and from any to FAILURE."""
        if self._stream is not None and self._stream.has_failed:
            return PartitionerState.FAILURE
        if self._allotment is None:
            return PartitionerState.ALLOCATING
        assert self._stream is not None
        cut_off = self._client.states.get(self.resource.shard) is not ClientState.CONNECTED
        return PartitionerState.RELEASE if cut_off or self._stream.round > self._round else PartitionerState.ACQUIRED

    @property
    def allotment(self) -> Allotment | None:
        """What this member holds; None before it has acquired it, after it gave it up, and after it failed."""
        return None if self.state is PartitionerState.FAILURE else self._allotment

    # -- acquiring and giving up -----------------------------------------------------------------------

    async def acquire(self, *, timeout: Seconds = None) -> Allotment:
        """Give up what this member holds, and wait for its items, `timeout` seconds, with math.inf for ever.

        It waits until those that held them before have given them up. Raises DeadlineExceeded when they have not in time.
        """
        left = _Clock(checked_wait(timeout, self._client.timeout), self._client.timeout)
        self._allotment = None
        while True:
            self._check_member()
            try:
                round, ids = await self._handle._query(("all",), left.of_call(), None)
                items = self._own_items(ids)
                claimed = [encode_key(item) for item in items]
                token = await self._handle._request("claim", self._key, round, claimed, wait=left.seconds())
            except MachineError:
                self._check_member()  # the session ended in between: that is what is to be told
                raise
            if token is None:
                text = "others have not given up the items in time"
                raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
            if token:
                self._round, self._allotment = round, Allotment(items, token)
                return self._allotment

    def _own_items(self, ids: list[bytes]) -> list[Any]:
        members = sorted(decode(id) for id in ids)
        if self.id not in members:
            raise Closed("this client is no member of the set partitioner")
        own = list(self._divide(self.id, members, list(self._items)))
        if not set(own) <= set(self._items) or len(set(own)) != len(own):
            raise BadArgument(f"a member's items are some of the items, each once, not {own!r:.60}")
        return own

    async def release_set(self, *, timeout: Seconds = None) -> None:
        """Give up what this member holds; it must not work on it any more. Others may get it at once."""
        self._check_member()
        self._allotment = None
        await self._handle._command(("release_set", self._key), timeout, None)

    async def wait_for_change(self, *, timeout: Seconds = math.inf) -> PartitionerState:
        """Wait until this member is not to go on with what it holds, `timeout` seconds; its state then.

        Raises DeadlineExceeded when nothing has changed by then.
        """
        left = _Clock(checked_wait(timeout, self._client.timeout), self._client.timeout)
        while self.state is PartitionerState.ACQUIRED:
            stream = self._check_member()
            wait = left.seconds()
            if not wait:
                raise DeadlineExceeded("the members have not changed", resource=self.resource.name)
            with contextlib.suppress(DeadlineExceeded):
                await stream.next(min(wait, LOOK_SECONDS))
        return self.state

    def __aiter__(self) -> AsyncSetPartitioner:
        return self

    async def __anext__(self) -> Allotment:
        """The next allotment: waits for a change, gives up what this member holds, and acquires anew, however long that takes."""
        try:
            await self.wait_for_change()
            return await self.acquire(timeout=math.inf)
        except Closed:
            raise StopAsyncIteration from None

    async def members(self, *, timeout: Seconds = None, consistency: Level = None) -> list[str]:
        """The ids of all members, sorted."""
        _, ids = await self._handle._query(("all",), timeout, consistency)
        return sorted(decode(id) for id in ids)

    async def allotments(self, *, timeout: Seconds = None, consistency: Level = None) -> dict[str, Allotment]:
        """What each member holds, by its id; the token is 0 where that is nothing at the moment."""
        rows = await self._handle._query(("allotments",), timeout, consistency)
        return {decode(id): Allotment([decode(item) for item in items], token) for id, token, items in rows}

    # -- being a member --------------------------------------------------------------------------------

    def _check_member(self) -> AsyncPartitionEvents:
        """Raises Closed when this is no member (any more), or what has ended that."""
        if self._stream is None or self._stream.is_over():
            raise Closed("the set partitioner is used inside its `with` block")
        return self._stream

    def close(self) -> None:
        """Be no member any more; others may get the items at once. Closing twice is fine."""
        self._allotment = None
        if self._stream is not None:
            self._stream.close()

    async def __aenter__(self) -> AsyncSetPartitioner:
        if self._stream is not None:
            raise BadArgument("a set partitioner is entered once; make another one")
        self._stream = AsyncPartitionEvents(self._client, self.resource, self._key)
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncPartitionEvents(AsyncEvents[PartitionEvent]):
    """What a member hears of the others; made, it joins."""

    _listener: PartitionListener

    def __init__(self, client: AsyncClient, resource: Resource, key: bytes) -> None:
        super().__init__(client, resource, PartitionEvent, key)

    def listener_type(self, *arguments: Any) -> PartitionListener:  # type: ignore[override]
        """A listener that joins."""
        listener = PartitionListener(*arguments)
        listener.number, listener.round = next(_numbers), 0
        return listener

    @property
    def has_failed(self) -> bool:
        """Whether it has ended without having been closed."""
        return self._listener.error is not None

    @property
    def round(self) -> int:
        """The last round that was heard of."""
        return self._listener.round


class _Clock:
    """How much is left of a time to wait; `default` is what a single call may take at most."""

    def __init__(self, wait: float, default: float) -> None:
        self._end = monotonic() + wait
        self._default = default

    def seconds(self) -> float:
        """So much; infinite for ever."""
        return max(0.0, self._end - monotonic())

    def of_call(self) -> float:
        """For a call that is not to wait."""
        return min(self._default, self.seconds()) or self._default


def _checked_id(id: Any) -> str:
    if type(id) is not str or not 0 < len(id.encode("utf-8", "replace")) <= ID_BYTES_MAX:
        raise BadArgument(f"a member is called by a str of 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")
    return id
