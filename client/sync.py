"""The blocking client.

    with ocelog.connect("tcp://127.0.0.1:7400") as client:
        client.map("users").put("ada", {"born": 1815})

Thread-safe: calls of several threads share one connection and travel together. Works with or without a running
event loop, which it never touches.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any

from .calls import Call, Resource
from .io import CLOSE_SECONDS, IoThread
from .options import SESSION_TIMEOUT, TIMEOUT, Resources, check, seconds
from .resources.counter_sync import Counter
from .resources.map_sync import Map


class _ThreadOwner:
    """Wakes blocked threads: each waits on the lock of its call."""

    def deliver(self, calls: Sequence[Call]) -> None:
        for call in calls:
            call.waiter.release()


class Client:
    """A connected client; made by `connect`. May be used from several threads at once."""

    def __init__(self, io: IoThread, timeout: float) -> None:
        self._io = io
        self._timeout = timeout
        self._resources = Resources(io.connection)
        self._owner = _ThreadOwner()
        # The thread knows nothing of this object: forgotten without close, the client still ends.
        self._finalizer = weakref.finalize(self, io.forget)

    def __repr__(self) -> str:
        return f"<Client of {', '.join(self._io.connection.endpoints)}>"

    def map(self, name: str) -> Map:
        """The map of that name; no call is made. Raises BadArgument for an unusable name."""
        return Map(self, self._resources.get(name, "map"))

    def counter(self, name: str) -> Counter:
        """The counter of that name; no call is made. Raises BadArgument for an unusable name."""
        return Counter(self, self._resources.get(name, "counter"))

    def command(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the command `parts` (its name, then its arguments) on any resource; its result as msgpack gives it."""
        return self.perform(self._resources.get(name, type_name), parts, False, timeout)

    def query(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the query `parts` (its name, then its arguments) on any resource, linearizably."""
        return self.perform(self._resources.get(name, type_name), parts, True, timeout)

    def perform(self, resource: Resource, parts: tuple[Any, ...], is_query: bool, timeout: float | None) -> Any:
        """One call from submission to result; what the handles are made of."""
        if not self._io.usable:
            raise self._io.why_unusable()
        now = monotonic()
        deadline = now + (self._timeout if timeout is None else seconds("timeout", timeout))
        lock = threading.Lock()
        lock.acquire()
        call = Call(resource, parts, is_query, now, deadline, self._owner, lock)
        self._io.submit((call,))
        try:
            # Released by the I/O thread at the latest when the deadline passes, or when it ends.
            lock.acquire()
        except BaseException:
            self._io.give_up(call)
            raise
        if call.error is not None:
            raise call.error
        return call.result

    def close(self) -> None:
        """End the sessions and the I/O thread; at most 2 s when no majority confirms. Closing twice is fine."""
        if self._finalizer.detach() is None or not self._io.usable:
            return
        self._io.close(self._timeout)
        self._io.ended.result(timeout=CLOSE_SECONDS + 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    endpoints: str | Iterable[str] | None = None,
    *,
    timeout: float = TIMEOUT,
    session_timeout: float = SESSION_TIMEOUT,
    client_id: str | None = None,
) -> Client:
    """Connect and return a blocking client, to be used in a `with` or closed.

    `endpoints`: one, a list, or several separated by commas; None means OCELOG_ENDPOINTS, else tcp://127.0.0.1:7400.
    `timeout`: seconds to find a router, and the default deadline of a call. `session_timeout`: seconds for which a
    shard keeps the session of a silent client. Raises BadArgument at once, ConnectFailed when no endpoint answers in
    time.
    """
    options = check(endpoints, timeout, session_timeout, client_id)
    io = IoThread(options)
    try:
        io.ready.result()
    except BaseException:
        io.close(0)
        raise
    return Client(io, options.timeout)
