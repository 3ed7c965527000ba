"""Requests that may have to wait at the shard: their numbers, and who waits for their answers. No calls are made here.

A request is numbered by its client and sent as the first argument of a command. The shard answers the command at once with
a list of one item, the result, or with nil: then the result comes later, as an event (`ANSWER`) to the same session.
The event may also say that the request is refused after all: nil, then a code of the error table and a sentence.
Whoever waits must be known here before the command leaves, since the event may come right behind the answer.

Invariant: every request that is expected is answered, failed or forgotten once. Any thread may call anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import Any

from .calls import Resource
from .holdings import Holdings
from .options import seconds
from .protocol.errors import BadArgument, error_for

ANSWER = "answer"
"""The name of the event that brings a result."""

GRACE_SECONDS = 1.0
"""The shard ends a wait by its own clock, and its answer has to travel: so much longer is waited here."""


ARRIVED_MAX = 10_000
"""Resources of which it is remembered what has come; of others the shard keeps it until the session ends."""

FOR_EVER_SECONDS = 100 * 365 * 24 * 3600.0
"""What stands for infinity where a clock wants a number."""

_SHAPES = ([int], [int, int, str])


class Request:
    """One request; `holds` says that it asks for something to hold.

    `over` is set when `result` or `error` is there, and then `wake` is called, in the thread that brought it.
    """

    __slots__ = ("error", "holds", "number", "over", "resource", "result", "wake")

    def __init__(self, number: int, resource: Resource, wake: Callable[[], None], holds: bool) -> None:
        self.number = number
        self.holds = holds
        self.resource = resource
        self.wake = wake
        self.over = False
        self.result: Any = None
        self.error: Exception | None = None


class Requests:
    """The requests of one client that wait. `holdings` are those that were granted something."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self._lock = Lock()
        self._numbers = count(1)
        self._waiting: dict[int, Request] = {}
        self._arrived: dict[tuple[int, str], list[int]] = {}

    def expect(self, resource: Resource, wake: Callable[[], None], *, holds: bool = False) -> Request:
        """A new request to the resource, with a number that no other one of this client has."""
        with self._lock:
            request = Request(next(self._numbers), resource, wake, holds)
            self._waiting[request.number] = request
        if holds:
            self.holdings.expect(request.number, resource.shard)
        return request

    def forget(self, request: Request) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._waiting.pop(request.number, None)
        if request.holds:
            self.holdings.settled(request.number)

    def given(self, request: Request, result: Any) -> Any:
        """The result, which is a grant of what the request asks to hold, or None."""
        if request.holds and result is not None:
            self.holdings.granted(request.number, result[1])
        return result

    def arrived(self, shard: int, resource: str, *items: int) -> None:
        """Something that a resource keeps until it is surely here has come; the next request to it says so."""
        with self._lock:
            if items:
                self._arrived.setdefault((shard, resource), []).extend(items)
                if len(self._arrived) > ARRIVED_MAX:  # of resources that others have deleted, as a rule
                    del self._arrived[next(iter(self._arrived))]

    def take_arrived(self, shard: int, resource: str) -> list[int]:
        """What has arrived from a resource since it was last told."""
        with self._lock:
            return self._arrived.pop((shard, resource), [])

    def answered(self, shard: int, value: Any) -> None:
        """An event has brought an answer, `[number, result]` or `[number, nil, code, text]`.

        One that nobody waits for, or that is malformed, is dropped.
        """
        if type(value) is not list or len(value) < 2 or [type(part) for part in value[:1] + value[2:]] not in _SHAPES:
            return
        number, result, *refusal = value
        if refusal:
            # Also when it waits: the answer of the command, which granted it, may be on its way to the caller.
            self.holdings.refused(number, shard)
        with self._lock:
            request = self._waiting.get(number)
            if request is None or request.resource.shard != shard:
                return
            del self._waiting[number]
        request.result = result
        if refusal:
            request.error = error_for(*refusal, resource=request.resource.name, shard=shard)
        request.over = True
        request.wake()

    def fail(self, shard: int | None, error: Exception) -> None:
        """The session on a shard has ended, or (None) the client: nothing comes any more for what waits there."""
        with self._lock:
            failed = [request for request in self._waiting.values() if shard in (None, request.resource.shard)]
            for request in failed:
                del self._waiting[request.number]
        for request in failed:
            request.error = error
            request.over = True
            request.wake()


def checked_wait(wait: float | None, default: float) -> float:
    """For how many seconds a request may wait: None is the default, 0 not at all, math.inf for ever. Raises BadArgument."""
    if wait is None:
        return default
    if wait in (0, math.inf) and not isinstance(wait, bool):
        return float(wait)
    try:
        return seconds("timeout", wait)
    except BadArgument:
        raise BadArgument(f"timeout is a number of seconds from 0 on (math.inf: for ever), not {wait!r:.60}") from None


def wait_ms(wait: float) -> int | None:
    """The same as a shard is told: whole milliseconds, None for ever."""
    return None if wait == math.inf else math.ceil(wait * 1000)


def command_timeout(wait: float, default: float) -> float:
    """The deadline in seconds of the command that carries the request."""
    return default if wait in (0, math.inf) else wait + GRACE_SECONDS
