"""The events of several resources in one iteration: what a partitioned map's `events` is.

Each resource has a stream of its own, with its own buffer, and all of them wake the same waiters. Events of one resource
keep their order; those of different ones have none, and are taken in turn. A Resync is about the resource it comes from
alone. It ends when it is closed, or with the error that ended any of the streams.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .calls import Resource
from .changes import Event, Resync
from .listeners import BUFFER_EVENTS_MAX
from .options import seconds
from .protocol.errors import Closed, DeadlineExceeded
from .streams import AsyncEvents, Events

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .sync import Client

E = TypeVar("E", bound=Event)


class _Merged(Generic[E]):
    """What both kinds share. `timeout`: seconds to wait for each event before the iteration ends; None: for ever."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = None if timeout is None else seconds("timeout", timeout)
        self._streams: list[Any] = []

    def poll(self) -> E | Resync | None:
        """The next event if one is here, or None."""
        for _ in self._streams:
            self._streams.append(self._streams.pop(0))
            event: E | Resync | None = self._streams[-1].poll()
            if event is not None:
                return event
        return None

    def close(self) -> None:
        """Listen no more: whoever iterates comes to the end. Closing twice is fine."""
        for stream in list(self._streams):
            stream.close()

    def _is_over(self) -> bool:
        over = [stream.is_over() for stream in self._streams]  # all are asked: each may have to ask for its state
        return any(over)


def _too_late(timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"no event within {timeout:g} s")


class AsyncMergedEvents(_Merged[E]):
    """The events of several resources: `async for event in ...`. Used with `async with`, it listens when the block begins."""

    def __init__(
        self,
        client: AsyncClient,
        resources: Iterable[Resource],
        event_type: type[E],
        timeout: float | None = None,
        buffer: int = BUFFER_EVENTS_MAX,
    ) -> None:
        super().__init__(timeout)
        self._client = client
        self._waiters: list[asyncio.Future[None]] = []
        for resource in resources:
            self._streams.append(AsyncEvents(client, resource, event_type, None, None, buffer, self._waiters))

    def __aiter__(self) -> AsyncMergedEvents[E]:
        return self

    async def __anext__(self) -> E | Resync:
        try:
            return await self.next(self._timeout)
        except (DeadlineExceeded, Closed):
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> E | Resync:
        """The next event. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end."""
        if timeout is None:
            return await self._next()
        try:
            async with asyncio.timeout(seconds("timeout", timeout)) as limit:
                return await self._next()
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_late(timeout) from None

    async def _next(self) -> E | Resync:
        while (event := self.poll()) is None:
            self._client.check_process()
            self._client.check_loop()
            if self._is_over():
                raise Closed("the stream is closed")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        return event

    async def __aenter__(self) -> AsyncMergedEvents[E]:
        try:
            for stream in list(self._streams):
                await stream.__aenter__()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MergedEvents(_Merged[E]):
    """The events of several resources: `for event in ...`. Made, it listens. Several threads may take from it."""

    def __init__(
        self,
        client: Client,
        resources: Iterable[Resource],
        event_type: type[E],
        timeout: float | None = None,
        buffer: int = BUFFER_EVENTS_MAX,
    ) -> None:
        super().__init__(timeout)
        self._client = client
        self._woken = threading.Condition(client.listening.lock)
        try:
            for resource in resources:
                self._streams.append(Events(client, resource, event_type, None, None, buffer, self._woken))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> MergedEvents[E]:
        return self

    def __next__(self) -> E | Resync:
        try:
            return self.next(self._timeout)
        except (DeadlineExceeded, Closed):
            raise StopIteration from None

    def next(self, timeout: float | None = None) -> E | Resync:
        """The next event. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end."""
        # In another process the lock may be held by a thread that does not exist there.
        self._client.check_process()
        deadline = None if timeout is None else monotonic() + seconds("timeout", timeout)
        with self._woken:
            while (event := self.poll()) is None:
                if self._is_over():
                    raise Closed("the stream is closed")
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    assert timeout is not None
                    raise _too_late(timeout)
                self._woken.wait(left)
        return event

    def __enter__(self) -> MergedEvents[E]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
