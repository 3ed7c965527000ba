"""Iterating over a resource's events: `AsyncEvents` in an event loop, `Events` in blocked threads.

A stream listens from its making on, or rather from the log index of its `listen` command; it ends when it is closed or its
client is, and with an error when nothing more can come. What a consumer that is too slow misses is replaced by a `Resync`.
A stream keeps its client alive, never the other way round: one that is forgotten is closed.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from .calls import Resource
from .changes import Event, Resync
from .listeners import BUFFER_EVENTS_MAX, Phase, StreamListener
from .listening import Listening
from .options import seconds
from .protocol.errors import BadArgument, Closed, DeadlineExceeded

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .sync import Client

E = TypeVar("E", bound=Event)


class _Stream(Generic[E]):
    """What both kinds share. `timeout`: seconds to wait for each event before the iteration ends; None: for ever."""

    listener_type: ClassVar[type[StreamListener]] = StreamListener

    def __init__(
        self,
        resource: Resource,
        event_type: type[E],
        listening: Listening,
        listener: StreamListener,
        timeout: float | None,
    ) -> None:
        self._resource = resource
        self._event_type = event_type
        self._listening = listening
        self._listener = listener
        self._timeout = None if timeout is None else seconds("timeout", timeout)
        self._finalizer = weakref.finalize(self, listening.abandon, resource, listener)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._resource.type} {self._resource.name!r}, {self._listener.phase.value}>"

    def close(self) -> None:
        """Listen no more: whoever iterates comes to the end. Closing twice is fine, from inside the iteration too."""
        if self._finalizer.detach() is not None:
            self._listening.close(self._resource, self._listener)

    def poll(self) -> Event | Resync | None:
        """The next event if it is here, or None."""
        return self._listener.poll()

    def is_over(self) -> bool:
        """Whether nothing more comes; if it does, and begins with the state, that is asked for. Raises what ended it."""
        if self._ended():
            return True
        if self._listener.phase is Phase.LOST:
            self._listening.want(self._resource, self._listener)
        return False

    def _ended(self) -> bool:
        """Whether nothing more comes; raises what ended it, if it was not closed."""
        if self._listener.phase is not Phase.ENDED:
            return False
        # Closed here, since the finalizer holds on to the listener, and so to the error, which gets a traceback to this stream.
        self.close()
        if self._listener.error is not None:
            raise self._listener.error.with_traceback(None)
        return True

    def _too_late(self, timeout: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no event within {timeout:g} s", resource=self._resource.name, shard=self._resource.shard
        )


def _buffer(number: int) -> int:
    if type(number) is not int or number < 1:
        raise BadArgument(f"buffer is a number of events from 1 on, not {number!r:.60}")
    return number


class AsyncEvents(_Stream[E]):
    """The events of a resource, one after the other: `async for event in users.events(): ...`.

    Used with `async with`, the block begins when the shard has confirmed that it listens, and the stream is closed at its end.
    """

    def __init__(
        self,
        client: AsyncClient,
        resource: Resource,
        event_type: type[E],
        key: bytes | None,
        timeout: float | None = None,
        buffer: int = BUFFER_EVENTS_MAX,
        waiters: list[asyncio.Future[None]] | None = None,
    ) -> None:
        waiters = [] if waiters is None else waiters
        self._waiters = waiters
        listener = self.listener_type(key, lambda: _wake(waiters), _buffer(buffer))
        super().__init__(resource, event_type, client.listening, listener, timeout)
        self._client = client
        client.check_usable()
        self._listening.open(resource, event_type, listener, None)

    def __aiter__(self) -> AsyncEvents[E]:
        return self

    async def __anext__(self) -> E | Resync:
        try:
            event = self._listener.poll() or await self._next_within(self._timeout)
        except _NothingCame:
            event = None
        if event is None:
            raise StopAsyncIteration
        return event  # type: ignore[return-value]  # of the type that the stream was made with

    async def next(self, timeout: float | None = None) -> E | Resync:
        """The next event. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end."""
        try:
            event = await self._next_within(None if timeout is None else seconds("timeout", timeout))
        except _NothingCame as nothing:
            raise self._too_late(nothing.seconds) from None
        if event is None:
            raise Closed("the stream is closed")
        return event  # type: ignore[return-value]

    async def _next_within(self, timeout: float | None) -> Event | Resync | None:
        if timeout is None:
            return await self._next()
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._next()
        except TimeoutError:
            if not limit.expired():
                raise
            raise _NothingCame(timeout) from None

    async def _next(self) -> Event | Resync | None:
        listener = self._listener
        while (event := listener.poll()) is None:
            self._client.check_process()
            self._client.check_loop()
            if self.is_over():
                return None
            await self._woken()
        return event

    async def _woken(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> AsyncEvents[E]:
        try:
            while self._listener.phase is Phase.OPENING:
                await self._woken()
            self._ended()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


class Events(_Stream[E]):
    """The events of a resource, one after the other: `for event in users.events(): ...`.

    Made, it listens. Several threads may take from one stream; each event goes to one of them.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        event_type: type[E],
        key: bytes | None,
        timeout: float | None = None,
        buffer: int = BUFFER_EVENTS_MAX,
        woken: threading.Condition | None = None,
    ) -> None:
        client.check_usable()
        self._woken = woken or threading.Condition(client.listening.lock)
        listener = self.listener_type(key, self._woken.notify_all, _buffer(buffer))
        super().__init__(resource, event_type, client.listening, listener, timeout)
        self._client = client
        try:
            client.open_listener(resource, event_type, listener)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Events[E]:
        return self

    def __next__(self) -> E | Resync:
        event = self._listener.poll()
        if event is None:
            try:
                event = self._next(self._timeout)
            except _NothingCame:
                event = None
        if event is None:
            raise StopIteration
        return event  # type: ignore[return-value]

    def next(self, timeout: float | None = None) -> E | Resync:
        """The next event. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end."""
        try:
            event = self._next(None if timeout is None else seconds("timeout", timeout))
        except _NothingCame as nothing:
            raise self._too_late(nothing.seconds) from None
        if event is None:
            raise Closed("the stream is closed")
        return event  # type: ignore[return-value]

    def _next(self, timeout: float | None) -> Event | Resync | None:
        # In another process the lock may be held by a thread that does not exist there.
        self._client.check_process()
        listener = self._listener
        deadline = None if timeout is None else monotonic() + timeout
        with self._woken:
            while (event := listener.poll()) is None:
                if self.is_over():
                    return None
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    assert timeout is not None
                    raise _NothingCame(timeout)
                self._woken.wait(left)
        return event

    def close(self) -> None:
        """Listen no more: whoever iterates comes to the end. Closing twice is fine, from inside the iteration too."""
        if self._client_is_ours():
            super().close()

    def _client_is_ours(self) -> bool:
        client = getattr(self, "_client", None)
        return client is None or client.is_ours

    def __enter__(self) -> Events[E]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _NothingCame(Exception):
    """So many seconds are over; told apart from errors that happen to be timeouts as well."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
