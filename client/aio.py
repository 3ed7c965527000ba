"""The asyncio client.

    async with ocelog.connect_async("tcp://127.0.0.1:7400") as client:
        await client.map("users").put("ada", {"born": 1815})

Calls made in one turn of the event loop travel as one message per shard, so `asyncio.gather` over many of them is
fast. A client belongs to the event loop that connected it.

Cancelling a call (`task.cancel()`, `asyncio.wait_for`) is giving up, not undoing: a command that had left may still be applied,
once; only one that had not left is surely not. Results of other calls are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from functools import partial
from math import inf
from random import Random
from time import monotonic
from types import TracebackType
from typing import Any

from .backoff import Backoff, Strategy
from .calls import Call, Resource
from .changes import Event
from .consistency import Consistency
from .factories import AsyncFactories
from .front import Front
from .handlers import Subscription
from .io import IoThread
from .listeners import HandlerListener
from .loop_owner import LoopOwner
from .options import SESSION_TIMEOUT, TIMEOUT, Options, check, seconds
from .protocol.errors import BadArgument, DeadlineExceeded, OcelogError, SessionExpired, Unresolved
from .requests import FOR_EVER_SECONDS, GRACE_SECONDS, checked_wait, command_timeout, wait_ms
from .resolving import (
    ASK_AGAIN_SECONDS,
    Outcome,
    SessionName,
    checked_sequence,
    outcome_of,
    parse_session,
    still_pending,
)
from .resources.base import Asked
from .submitting import AsyncSubmitting


class AsyncClient(AsyncFactories, AsyncSubmitting, Front):
    """A connected client; made by `connect_async`. Not for use from other threads."""

    def __init__(self, io: IoThread, options: Options) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = LoopOwner(self._loop, io, options)
        self._callbacks = self._owner.handlers
        super().__init__(io, options, self._callbacks, self._owner.listening)

    async def perform(
        self,
        resource: Resource,
        parts: tuple[Any, ...],
        is_query: bool,
        timeout: float | None,
        level: Consistency | None = None,
    ) -> Any:
        """One call from submission to result; what the handles are made of."""
        self.check_usable()
        now = monotonic()
        deadline = now + (self.timeout if timeout is None else seconds("timeout", timeout))
        future = self._loop.create_future()
        callbacks = self._callbacks
        call = Call(
            resource,
            parts,
            is_query,
            now,
            deadline,
            self._owner,
            future,
            level=level,
            selection=self._selection,
            nested=callbacks.used and callbacks.inside,
        )
        if self._tracing.on:
            return await self._traced(call, now)
        self._owner.submit(call)
        return await self._result(call)

    async def perform_all(
        self, many: Iterable[Asked], is_query: bool, timeout: float | None, level: Consistency
    ) -> list[Any]:
        """Many calls, submitted in one turn; their results. Raises the first error when all have ended."""
        calls = [self.perform(resource, parts, is_query, timeout, level) for resource, parts in many]
        if len(calls) == 1:
            return [await calls[0]]  # without a task of its own
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    async def _result(self, call: Call) -> Any:
        try:
            return await call.waiter
        except asyncio.CancelledError:
            self._io.give_up(call)
            raise
        except Unresolved as error:
            error.resolver = self._resolve
            raise

    async def _traced(self, call: Call, started: float) -> Any:
        receipts = self._tracing.current()
        call.traced = receipts is not None
        self._owner.submit(call)
        try:
            return await self._result(call)
        finally:
            if receipts is not None:
                receipts.add(call, monotonic() - started)

    async def request(
        self, resource: Resource, operation: str, *arguments: Any, wait: float | None, holds: bool = False
    ) -> Any:
        """One request that may have to wait at the shard, for `wait` seconds (see `requests.checked_wait`); its result.

        The operation gets the request's number and its time to wait as first arguments. Raises DeadlineExceeded when no
        answer came in time; the request is then taken back, as it is when the call is cancelled. If it `holds` what it is
        granted, that is among the client's holdings until it is released or lost.
        """
        self.check_usable()
        wait = checked_wait(wait, self.timeout)
        future: asyncio.Future[None] = self._loop.create_future()
        request = self.listening.requests.expect(resource, partial(_finish, future), holds=holds)
        started = monotonic()
        try:
            parts = (operation, request.number, wait_ms(wait), *arguments)
            answer = await self.perform(resource, parts, False, command_timeout(wait, self.timeout))
            if answer is not None:
                return self.listening.requests.given(request, answer[0])
            left = wait + GRACE_SECONDS + started - monotonic()
            # Not wait_for: in Python 3.11 it swallows a cancellation that crosses the answer.
            timer = self._loop.call_later(min(left, FOR_EVER_SECONDS), _finish, future)
            try:
                await future
            finally:
                timer.cancel()
            if not request.over:
                raise TimeoutError
            if isinstance(request.error, SessionExpired):
                self.take_back(resource, request.number)  # it may have left just now, in the session that follows
            if request.error is not None:
                raise request.error
            return self.listening.requests.given(request, request.result)
        except (asyncio.CancelledError, TimeoutError) as error:
            self.take_back(resource, request.number)
            if isinstance(error, asyncio.CancelledError | OcelogError):
                raise
            text = f"{operation} was not answered in time, and is taken back"
            raise DeadlineExceeded(text, resource=resource.name, shard=resource.shard) from None
        finally:
            self.listening.requests.forget(request)

    def take_back(self, resource: Resource, number: int) -> None:
        """Take a request back, or give back what it was granted; sent behind it, this finds it, however long that takes."""
        if self._io.usable:
            now, ignored = monotonic(), self._loop.create_future()
            ignored.add_done_callback(lambda future: future.cancelled() or future.exception())
            parts = ("cancel", number)
            self._owner.submit(Call(resource, parts, False, now, inf, self._owner, ignored, nested=True))

    def check_usable(self) -> None:
        """Raises Closed when the client is closed or of another process, BadArgument in another event loop."""
        if not self._io.usable:
            raise self._io.why_unusable()
        self.check_loop()

    def check_loop(self) -> None:
        """Raises BadArgument in another event loop than the client's."""
        if asyncio.get_running_loop() is not self._loop:
            raise BadArgument("this client belongs to another event loop; connect one in this loop")

    # -- listening -------------------------------------------------------------------------------------

    async def on_change(
        self,
        resource: Resource,
        event_type: type[Event],
        key: bytes | None,
        callback: Callable[[Any], Any],
        timeout: float | None,
    ) -> Subscription:
        """Call back with each event of a resource from now on; what the handles' `on_change` are made of."""
        self.check_usable()
        timeout = self.timeout if timeout is None else seconds("timeout", timeout)
        future: asyncio.Future[None] = self._loop.create_future()
        listening = self.listening
        subscription = Subscription(callback, lambda _: listening.close(resource, listener))
        listener = HandlerListener(
            key, partial(self._callbacks.add, subscription), partial(self._callbacks.fail, resource)
        )
        call = listening.open(resource, event_type, listener, partial(_settle, future), timeout)
        try:
            await future
        except BaseException:
            self._io.give_up(call)
            subscription.close()
            raise
        return subscription

    # -- outcomes --------------------------------------------------------------------------------------

    async def outcome(self, session: str, sequence: int, *, timeout: float | None = None) -> Outcome:
        """What became of a sequence of any session, named as `OutcomeUnknown.session` and `.sequence` name it.

        Raises BadArgument, DeadlineExceeded, Refused and Closed.
        """
        timeout = self.timeout if timeout is None else seconds("timeout", timeout)
        return await self._ask(parse_session(session), checked_sequence(sequence), monotonic() + timeout)

    async def _ask(self, name: SessionName, sequence: int, deadline: float) -> Outcome:
        self.check_usable()
        future = self._loop.create_future()
        call = self._io.outcome(*name, sequence, deadline, self._owner, future)
        try:
            await future
        except asyncio.CancelledError:
            self._io.give_up(call)
            raise
        return outcome_of(call)

    async def _resolve(self, error: Unresolved, timeout: float | None) -> Outcome:
        name, sequence = parse_session(error.session), checked_sequence(error.sequence)
        timeout = self.timeout if timeout is None else seconds("timeout", timeout)
        deadline = monotonic() + timeout
        pauses = Backoff(Random(), *ASK_AGAIN_SECONDS)
        while (outcome := await self._ask(name, sequence, deadline)).answer == "pending":
            pause = pauses.next()
            if monotonic() + pause >= deadline:
                raise still_pending(name, sequence, timeout)
            await asyncio.sleep(pause)
        return outcome

    # -- the end ---------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End streams, sessions and the I/O thread; at most 2 s when no majority confirms. Closing twice is fine."""
        if self._finalizer.detach() is None or not self._io.usable:
            return
        self._callbacks.closing = True
        self.listening.end()
        self._owner.hand_over()
        self._io.close(self.timeout)
        await asyncio.shield(asyncio.wrap_future(self._io.ended))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _settle(future: asyncio.Future[None], call: Call) -> None:
    if not future.done():
        if call.error is None:
            future.set_result(None)
        else:
            future.set_exception(call.error)


class connect_async:
    """Connect from asyncio: `async with connect_async(...) as client`, or `client = await connect_async(...)`.

    `endpoints`: one, a list, or several separated by commas; None means OCELOG_ENDPOINTS, else tcp://127.0.0.1:7400.
    `timeout`: seconds to find a router, and the default deadline of a call. `session_timeout`: seconds for which a
    shard keeps the session of a silent client. `recovery`: "recover" (open another session when a shard ended one) or
    "close" (calls on that shard raise SessionExpired from then on). `retry`: how connecting and repeating pause, `Once()`,
    `Exponential(first, last)` or `Fibonacci(first, last)` in seconds. `selection`: which replicas queries are for, "any",
    "leader" or "followers". Raises BadArgument at once, ConnectFailed when no endpoint answers in time.
    """

    def __init__(
        self,
        endpoints: str | Iterable[str] | None = None,
        *,
        timeout: float = TIMEOUT,
        session_timeout: float = SESSION_TIMEOUT,
        client_id: str | None = None,
        recovery: str = "recover",
        retry: Strategy | None = None,
        selection: str = "any",
    ) -> None:
        self._options = check(
            endpoints, timeout, session_timeout, client_id, recovery=recovery, retry=retry, selection=selection
        )
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
        return AsyncClient(io, self._options)

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
