"""What the resources share that hold things by key: maps of any kind, multimaps and sets.

A `Keyed` is one resource on one shard. What is spread over several is a `Spread` of its own, which says where each key is and how
all of them are asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

from ..calls import Resource
from ..changes import Event, Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import EventsPending
from ..protocol.values import decode, encode_key
from ..streams import AsyncEvents
from .base import Asked, AsyncHandle, Level, Seconds

K = TypeVar("K")
E = TypeVar("E", bound=Event)


class AsyncSpread:
    """Things by key, on one resource or on several. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    `ttl`: what is written is gone again so many seconds after it was written, rounded up to ms, by the shard's own time, which
    stands still while the shard has no leader; without it, it stays.

    Every method raises BadArgument for a key or value that cannot be encoded, DeadlineExceeded or OutcomeUnknown when
    the timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    def _resources(self) -> Sequence[Resource]:
        """All of them."""
        raise NotImplementedError

    def _resource_of(self, key: bytes) -> Resource:
        """The one that has this key."""
        raise NotImplementedError

    async def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        """A command about the key that is its first argument."""
        raise NotImplementedError

    async def _query(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        """A query about the key that is its first argument."""
        raise NotImplementedError

    async def _command_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        raise NotImplementedError

    async def _query_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        raise NotImplementedError

    async def _command_everywhere(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        return await self._command_all([(resource, parts) for resource in self._resources()], timeout, consistency)

    async def _query_everywhere(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        return await self._query_all([(resource, parts) for resource in self._resources()], timeout, consistency)

    async def _change(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        """A command that answers with a value or None."""
        try:
            value = await self._command(parts, timeout, consistency)
        except EventsPending as pending:
            pending.result = decode(pending.result) if isinstance(pending.result, bytes) else None
            raise
        return None if value is None else decode(value)

    async def _rows(self, timeout: Seconds, consistency: Level) -> AsyncIterator[Any]:
        """All rows, encoded, page by page, one resource after the other."""
        for resource in self._resources():
            after, is_last = 0, False
            while not is_last:
                (page,) = await self._query_all([(resource, ("page", after))], timeout, consistency)
                is_last, after, rows = page
                for row in rows:
                    yield row

    async def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many there are: keys of a map, values of a set, entries of a multimap. Several shards each count for themselves."""
        return sum(await self._query_everywhere(("size",), timeout, consistency))

    async def is_empty(self, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether there is none."""
        return await self.size(timeout=timeout, consistency=consistency) == 0

    async def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Remove all, of each shard in one step."""
        await self._command_everywhere(("clear",), timeout, consistency)


class AsyncKeyed(AsyncHandle, AsyncSpread, Generic[K, E]):
    """Things by keys of the type `K` on one resource, which tells of changes by events of the type `E`."""

    __slots__ = ()
    _event_type: type[E]

    def _encode_key(self, key: Any) -> bytes:
        return encode_key(key)

    def _resources(self) -> Sequence[Resource]:
        return (self.resource,)

    def _resource_of(self, key: bytes) -> Resource:
        return self.resource

    async def _command_everywhere(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        return [await self._command(parts, timeout, consistency)]

    async def _query_everywhere(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> list[Any]:
        return [await self._query(parts, timeout, consistency)]

    def events(
        self,
        key: K | None = None,
        *,
        timeout: Seconds = None,
        buffer: int = BUFFER_EVENTS_MAX,
    ) -> AsyncEvents[E]:
        """Iterate over the changes from now on, of one key (of a set: one value) or of all, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        encoded = None if key is None else self._encode_key(key)
        return AsyncEvents(self._client, self.resource, self._event_type, encoded, timeout, buffer)

    async def on_change(
        self, callback: Callable[[E | Resync], Any], key: K | None = None, *, timeout: Seconds = None
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, of one key or of all, until the subscription is closed.

        Callbacks of a client run one at a time. What one raises is logged and given to `client.on_error`. An event that
        is not handled within the session's timeout ends the session.
        """
        encoded = None if key is None else self._encode_key(key)
        return await self._client.on_change(self.resource, self._event_type, encoded, callback, timeout)
