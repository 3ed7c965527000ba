"""One client that does random operations at every level, listens, and writes down what it saw.

It uses the public client only: what it records is what a program can see. Commands whose outcome is not known are asked for
afterwards, as a careful program would; what then stays unknown is recorded as unknown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic_ns
from typing import Any

import ocelog
from ocelog.client import ClientState, EventsPending, OcelogError, OutcomeUnknown

from ...client.protocol.values import decode
from .records import FAILED, NEVER, OK, RESYNC, UNKNOWN, Given, History, Listener, Operation

LEVELS = {
    "linearizable": ocelog.LINEARIZABLE,
    "bounded": ocelog.BOUNDED_LINEARIZABLE,
    "sequential": ocelog.SEQUENTIAL,
    "causal": ocelog.CAUSAL,
}
QUERY_LEVELS = ("linearizable", "bounded", "bounded", "sequential", "sequential", "sequential", "causal", "causal")
MAP, COUNTER = "history", "hits"
KEYS = tuple(f"key-{number}" for number in range(6))
WRITES = ("put", "put", "put", "put_if_absent", "replace", "remove")
RESOLVE_SECONDS = 20.0


@dataclass
class Recorder:
    """Connects as `name` and fills `history`. `serials` gives values that nobody else writes; `settling` is the share of
    commands that wait for listeners; handlers take up to `slow` seconds."""

    name: str
    endpoints: list[str]
    history: History
    serials: Iterator[int]
    rng: random.Random
    settling: float = 0.3
    slow: float = 0.01
    session_timeout: float = 30.0
    session: int = 0
    listeners: list[Listener] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    async def connect(self) -> None:
        """Connect; the history knows sessions from then on."""
        self.client = await ocelog.connect_async(
            self.endpoints, timeout=30, session_timeout=self.session_timeout, client_id=self.name
        )
        self._numbers = count(1)
        self._subscriptions: list[Any] = []
        self._streams: list[asyncio.Task[None]] = []
        self.client.on_state(self._state)
        self.client.on_error(lambda error, event: self.errors.append(error))

    def _state(self, change: Any) -> None:
        if change.state is ClientState.EXPIRED:
            for listener in self.listeners:
                listener.expired.append(change.session)
        elif change.session:
            self.session = change.session

    # -- listening -----------------------------------------------------------------------------------

    async def listen(self, resource: str = MAP, key: str | None = None) -> Listener:
        """Call back with every change, of one key or of all; the callback takes its time."""
        listener = Listener(client=self.name, resource=resource, key=key, since=NEVER)

        async def handle(event: Any) -> None:
            received = monotonic_ns()
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random() * self.slow)
            if self.rng.random() < 0.02:
                # From inside a callback a LINEARIZABLE command must not wait for this very callback.
                await self.operate("add", level="linearizable", nested=True)
            self._give(listener, event, received, monotonic_ns())

        handle_of: Any = self.client.map(MAP) if resource == MAP else self.client.counter(COUNTER)
        subscription = await handle_of.on_change(handle, **({} if key is None else {"key": key}))
        self._subscriptions.append((subscription, listener))
        return self._added(listener, await self._index(resource))

    async def stream(self, resource: str = MAP, key: str | None = None) -> Listener:
        """Iterate over every change; an event counts as handled when it has come into the stream's buffer."""
        listener = Listener(client=f"{self.name}-stream", resource=resource, key=key, since=NEVER)
        handle: Any = self.client.map(MAP) if resource == MAP else self.client.counter(COUNTER)
        stream = handle.events(**({} if key is None else {"key": key}))
        await stream.__aenter__()

        async def consume() -> None:
            async for event in stream:
                self._give(listener, event, monotonic_ns(), 0)

        self._streams.append(asyncio.create_task(consume()))
        self._subscriptions.append((stream, listener))
        return self._added(listener, await self._index(resource))

    async def _index(self, resource: str) -> int:
        """An index at which every listener made so far listens."""
        with self.client.receipts() as receipts:
            await (self.client.map(MAP).get(KEYS[0]) if resource == MAP else self.client.counter(COUNTER).get())
        return receipts[-1].index

    def _added(self, listener: Listener, since: int) -> Listener:
        listener.since = min(listener.since, since)
        self.listeners.append(listener)
        self.history.listeners.append(listener)
        return listener

    def _give(self, listener: Listener, event: Any, received: int, handled: int) -> None:
        if not listener.given:
            # It began to listen somewhere at or below the index that was asked for: here at the latest.
            listener.since = min(listener.since, event.index - 1)
        common = {"session": self.session, "index": event.index, "received": received, "handled": handled}
        if hasattr(event, "kind") and event.kind != RESYNC:
            listener.given.append(Given(kind=event.kind, key=event.key, old=event.old, new=event.new, **common))
        else:
            listener.given.append(Given(kind=RESYNC, **common))

    # -- operations ----------------------------------------------------------------------------------

    async def work(self, until: float, pause: float) -> None:
        """Random operations until that time of the loop's clock, each `pause` seconds after the last has ended, on average."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await self.operate(*self._drawn())
            await asyncio.sleep(self.rng.expovariate(1 / pause))

    def _drawn(self) -> tuple[str, str | None, str]:
        rng = self.rng
        key = None if rng.random() < 0.25 else rng.choice(KEYS)
        if rng.random() < 0.55:
            return "get", key, rng.choice(QUERY_LEVELS)
        level = "linearizable" if rng.random() < self.settling else "sequential"
        return ("add" if key is None else rng.choice(WRITES)), key, level

    async def operate(
        self, name: str, key: str | None = None, level: str = "linearizable", nested: bool = False
    ) -> Operation:
        """One operation, recorded. Of a nested command nobody is promised that listeners were waited for."""
        value = None
        if name not in ("get", "remove"):
            value = next(self.serials) % 7 + 1 if name == "add" else next(self.serials)
        number, invoked = next(self._numbers), monotonic_ns()
        outcome, result, index = OK, None, 0
        with self.client.receipts() as receipts:
            try:
                result = await self._call(name, key, value, LEVELS[level])
                index = receipts[-1].index
            except EventsPending as pending:
                result, index, level = pending.result, pending.index, "sequential"
            except OutcomeUnknown as error:
                outcome, result, index = await self._resolved(error, name)
                level = level if name == "get" else "sequential"
            except OcelogError as error:
                outcome = FAILED if error.definite else UNKNOWN
        operation = Operation(
            client=self.name,
            session=self.session,
            number=number,
            resource=COUNTER if key is None else MAP,
            name=name,
            key=key,
            value=value,
            level="sequential" if nested else level,
            invoked=invoked,
            returned=NEVER if outcome == UNKNOWN else monotonic_ns(),
            outcome=outcome,
            result=result,
            index=index,
        )
        self.history.operations.append(operation)
        return operation

    async def _call(self, name: str, key: str | None, value: Any, level: Any) -> Any:
        if key is None:
            counter = self.client.counter(COUNTER)
            return await (counter.get(consistency=level) if name == "get" else counter.add(value, consistency=level))
        arguments = (key,) if value is None else (key, value)
        return await getattr(self.client.map(MAP), name)(*arguments, consistency=level)

    async def _resolved(self, error: OutcomeUnknown, name: str) -> tuple[str, Any, int]:
        try:
            outcome = await error.resolve(timeout=RESOLVE_SECONDS)
        except OcelogError:
            return UNKNOWN, None, 0
        if outcome.applied is None:
            return UNKNOWN, None, 0
        if not outcome.applied:
            return FAILED, None, 0
        result = decode(outcome.result) if isinstance(outcome.result, bytes) else outcome.result
        return OK, result, outcome.index

    # -- the end -------------------------------------------------------------------------------------

    async def read_everything(self) -> None:
        """One linearizable read of everything, so that the end of the history is known."""
        for key in (*KEYS, None):
            await self.operate("get", key)

    async def close(self) -> None:
        """Listen no more, then end the sessions."""
        now = monotonic_ns()
        for subscription, listener in self._subscriptions:
            listener.closed = min(listener.closed, now)
            subscription.close()
        for task in self._streams:
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        await self.client.close()
