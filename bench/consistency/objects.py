"""Locks, queues and sets beside the map and the counter: a worker that does random operations and records them for the checker.

A grant that may have ended without its holder's doing is recorded as an `unlock` without a known outcome, and a request that gave
up as a `lock` and an `unlock` of that kind: both may have happened, or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic_ns
from typing import Any

from ocelog.client import DeadlineExceeded, OcelogError, OutcomeUnknown

from ...client.protocol.values import decode
from ..checker import NEVER
from ..checker import Operation as Checked
from .recording import RESOLVE_SECONDS, Recorder

ELEMENTS = ("e0", "e1", "e2", "e3")
LOCK_SECONDS = 2.0
HOLD_SECONDS = 0.02
OFFERS_AHEAD = 4
"""A queue that is longer than this, as its worker knows, is not added to."""


class ObjectWorker:
    """Works with the client of a recorder, on objects that all such workers share, and fills the same history."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.rng = recorder.rng
        self.queue = recorder.client.queue("line")
        self.set = recorder.client.set("members")
        self.lock = recorder.client.lock("door")
        self.ahead = 0

    async def work(self, until: float, pause: float) -> None:
        """Random operations until that time of the loop's clock, with pauses of so many seconds on average."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await self.rng.choice((self._queue, self._set, self._lock))()
            await asyncio.sleep(self.rng.expovariate(1 / pause))

    async def look(self) -> None:
        """Read everything once more, so that the end of the history is known: the queue is emptied."""
        for element in ELEMENTS:
            await self._operate("set", "members", "contains", key=element, call=partial(self.set.contains, element))
        await self._operate("lock", "door", "holder", call=self._holder)
        while await self._operate("queue", "line", "poll", call=self.queue.poll) is not None:
            pass

    async def _queue(self) -> None:
        name = self.rng.choice(("offer", "poll", "peek") if self.ahead < OFFERS_AHEAD else ("poll", "peek"))
        if name == "offer":
            item = next(self.recorder.serials)
            await self._operate("queue", "line", "offer", (item,), call=lambda: self.queue.offer(item))
            self.ahead += 1
        elif name == "poll":
            await self._operate("queue", "line", "poll", call=self.queue.poll)
            self.ahead = max(0, self.ahead - 1)
        else:
            await self._operate("queue", "line", "peek", call=self.queue.peek)

    async def _set(self) -> None:
        name, element = self.rng.choice(("add", "remove", "contains")), self.rng.choice(ELEMENTS)
        await self._operate("set", "members", name, key=element, call=lambda: getattr(self.set, name)(element))

    async def _lock(self) -> None:
        if self.rng.random() < 0.3:
            await self._operate("lock", "door", "holder", call=self._holder)
            return
        name = self.rng.choice(("lock", "try_lock"))
        called = monotonic_ns()
        try:
            grant = await (self.lock.lock(timeout=LOCK_SECONDS) if name == "lock" else self.lock.try_lock())
        except OcelogError as error:
            if not error.definite or isinstance(error, DeadlineExceeded):
                self._note("lock", "door", name, call=called)
                self._note("lock", "door", "unlock", call=called)
            return
        self._note("lock", "door", name, call=called, result=grant and grant.token, returned=monotonic_ns())
        if grant is None:
            return
        await asyncio.sleep(self.rng.random() * HOLD_SECONDS)
        unlocked = monotonic_ns()
        held = None
        with suppress(OcelogError):
            held = await self.lock.unlock(grant)
        if held is not None:
            self._note("lock", "door", "unlock", (grant.token,), call=unlocked, result=held, returned=monotonic_ns())
        if not held:
            self._note("lock", "door", "unlock", (grant.token,), call=called)

    async def _holder(self) -> int | None:
        holder = await self.lock.holder()
        return holder and holder.token

    async def _operate(
        self,
        model: str,
        resource: str,
        name: str,
        arguments: tuple[Any, ...] = (),
        *,
        call: Callable[[], Awaitable[Any]],
        key: str | None = None,
    ) -> Any:
        called = monotonic_ns()
        outcome: dict[str, Any] = {}
        with self.recorder.client.receipts() as receipts:
            try:
                outcome = {"result": await call()}
                outcome["index"] = receipts[-1].index if receipts else 0
            except OutcomeUnknown as error:
                found = await _resolved(error)
                if found is None:
                    return None
                outcome = found
            except OcelogError as error:
                if error.definite:
                    return None
        returned = monotonic_ns() if outcome else NEVER
        self._note(model, resource, name, arguments, call=called, key=key, returned=returned, **outcome)
        return outcome.get("result")

    def _note(self, model: str, resource: str, name: str, arguments: tuple[Any, ...] = (), **fields: Any) -> None:
        self.recorder.history.objects.append(
            Checked(name, arguments, process=self.recorder.name, resource=resource, model=model, **fields)
        )


async def _resolved(error: OutcomeUnknown) -> dict[str, Any] | None:
    """What became of it: None when it surely did not happen, {} when nobody knows."""
    try:
        outcome = await error.resolve(timeout=RESOLVE_SECONDS)
    except OcelogError:
        return {}
    if outcome.applied is None:
        return {}
    if not outcome.applied:
        return None
    result = decode(outcome.result) if isinstance(outcome.result, bytes) else outcome.result
    return {"result": result, "index": outcome.index}
