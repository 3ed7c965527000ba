"""The asyncio client.

    async with ocelog.connect_async("tcp://127.0.0.1:7400") as client:
        await client.map("users").put("ada", {"born": 1815})

Calls made in one turn of the event loop travel as one message per shard, so `asyncio.gather` over many of them is
fast. A client belongs to the event loop that connected it.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Generator, Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any

from .calls import Call, Resource
from .io import IoThread
from .options import SESSION_TIMEOUT, TIMEOUT, Resources, check, seconds
from .protocol.errors import BadArgument
from .resources.counter import AsyncCounter
from .resources.map import AsyncMap


class _LoopOwner:
    """Settles the futures of one event loop, in its thread, once per batch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def deliver(self, calls: Sequence[Call]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody can be waiting in it
            self._loop.call_soon_threadsafe(_settle, calls)


def _settle(calls: Sequence[Call]) -> None:
    for call in calls:
        future = call.waiter
        if future.done():
            continue
        if call.error is None:
            future.set_result(call.result)
        else:
            future.set_exception(call.error)


class AsyncClient:
    """A connected client; made by `connect_async`. Not for use from other threads."""

    def __init__(self, io: IoThread, timeout: float) -> None:
        self._io = io
        self._timeout = timeout
        self._resources = Resources(io.connection)
        self._loop = asyncio.get_running_loop()
        self._owner = _LoopOwner(self._loop)
        self._batch: list[Call] = []
        # The thread knows nothing of this object: forgotten without close, the client still ends.
        self._finalizer = weakref.finalize(self, io.forget)

    def __repr__(self) -> str:
        return f"<AsyncClient of {', '.join(self._io.connection.endpoints)}>"

    def map(self, name: str) -> AsyncMap:
        """The map of that name; no call is made. Raises BadArgument for an unusable name."""
        return AsyncMap(self, self._resources.get(name, "map"))

    def counter(self, name: str) -> AsyncCounter:
        """The counter of that name; no call is made. Raises BadArgument for an unusable name."""
        return AsyncCounter(self, self._resources.get(name, "counter"))

    async def command(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the command `parts` (its name, then its arguments) on any resource; its result as msgpack gives it."""
        return await self.perform(self._resources.get(name, type_name), parts, False, timeout)

    async def query(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the query `parts` (its name, then its arguments) on any resource, linearizably."""
        return await self.perform(self._resources.get(name, type_name), parts, True, timeout)

    async def perform(self, resource: Resource, parts: tuple[Any, ...], is_query: bool, timeout: float | None) -> Any:
        """One call from submission to result; what the handles are made of."""
        if not self._io.usable:
            raise self._io.why_unusable()
        if asyncio.get_running_loop() is not self._loop:
            raise BadArgument("this client belongs to another event loop; connect one in this loop")
        now = monotonic()
        deadline = now + (self._timeout if timeout is None else seconds("timeout", timeout))
        future = self._loop.create_future()
        call = Call(resource, parts, is_query, now, deadline, self._owner, future)
        if not self._batch:
            # Handed over when this turn of the loop is over, with all that the turn submits.
            self._loop.call_soon(self._hand_over)
        self._batch.append(call)
        try:
            return await future
        except asyncio.CancelledError:
            self._io.give_up(call)
            raise

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        self._io.submit(batch)

    async def close(self) -> None:
        """End the sessions and the I/O thread; at most 2 s when no majority confirms. Closing twice is fine."""
        if self._finalizer.detach() is None or not self._io.usable:
            return
        if self._batch:
            self._hand_over()
        self._io.close(self._timeout)
        await asyncio.shield(asyncio.wrap_future(self._io.ended))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class connect_async:
    """Connect from asyncio: `async with connect_async(...) as client`, or `client = await connect_async(...)`.

    `endpoints`: one, a list, or several separated by commas; None means OCELOG_ENDPOINTS, else tcp://127.0.0.1:7400.
    `timeout`: seconds to find a router, and the default deadline of a call. `session_timeout`: seconds for which a
    shard keeps the session of a silent client. Raises BadArgument at once, ConnectFailed when no endpoint answers in
    time.
    """

    def __init__(
        self,
        endpoints: str | Iterable[str] | None = None,
        *,
        timeout: float = TIMEOUT,
        session_timeout: float = SESSION_TIMEOUT,
        client_id: str | None = None,
    ) -> None:
        self._options = check(endpoints, timeout, session_timeout, client_id)
        self._client: AsyncClient | None = None

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._connect().__await__()

    async def _connect(self) -> AsyncClient:
        io = IoThread(self._options)
        try:
            await asyncio.shield(asyncio.wrap_future(io.ready))
        except BaseException:
            io.close(0)
            raise
        return AsyncClient(io, self._options.timeout)

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
