"""The blocking client.

    with ocelog.connect("tcp://127.0.0.1:7400") as client:
        client.map("users").put("ada", {"born": 1815})

Thread-safe: calls of several threads share one connection and travel together. Works with or without a running
event loop, which it never touches. Callbacks run in one thread of the client's, named "ocelog-events".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from random import Random
from time import monotonic
from types import TracebackType
from typing import Any

from .backoff import Backoff, Strategy
from .calls import Call, Resource, StateChange
from .changes import Event
from .consistency import Consistency
from .factories_sync import Factories
from .front import Front
from .handlers import Subscription, ThreadHandlers
from .io import CLOSE_SECONDS, IoThread
from .listeners import HandlerListener, Listener
from .listening import Listening
from .options import SESSION_TIMEOUT, TIMEOUT, Options, check, seconds
from .protocol.errors import Closed, DeadlineExceeded, SessionExpired, Unresolved
from .requests import GRACE_SECONDS, checked_wait, command_timeout, wait_ms
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
from .submitting_sync import Submitting


class _ThreadOwner:
    """Wakes blocked threads, each of which waits on the lock of its call; hands events on. In the I/O thread."""

    def __init__(self, io: IoThread, options: Options) -> None:
        self.handlers = ThreadHandlers()
        self.listening = Listening(
            lambda call: io.submit((call,)), self, options.timeout, recovers=options.recovery == "recover"
        )
        self.handlers.release = self.listening.release
        io.ended.add_done_callback(lambda ended: self.ended())

    def deliver(self, items: Sequence[Any], /) -> None:
        """Wake the waiters of finished calls, and take events and changes of state."""
        for item in items:
            if type(item) is Call:
                item.waiter.release()
                continue
            self.listening.take(item)
            if type(item) is StateChange:
                self.handlers.state(item)

    def ended(self) -> None:
        """The I/O thread has ended, for whatever reason."""
        self.listening.end(Closed("the client is closed"))
        self.handlers.stop()


class Client(Factories, Submitting, Front):
    """A connected client; made by `connect`. May be used from several threads at once."""

    def __init__(self, io: IoThread, options: Options) -> None:
        self._owner = _ThreadOwner(io, options)
        self._callbacks = self._owner.handlers
        super().__init__(io, options, self._callbacks, self._owner.listening)
        io.owner = self._owner

    def perform(
        self,
        resource: Resource,
        parts: tuple[Any, ...],
        is_query: bool,
        timeout: float | None,
        level: Consistency | None = None,
    ) -> Any:
        """One call from submission to result; what the handles are made of."""
        call = self._new(resource, parts, is_query, timeout, level)
        receipts = self._tracing.current() if self._tracing.on else None
        call.traced = receipts is not None
        self._io.submit((call,))
        self._wait(call)
        if receipts is not None:
            receipts.add(call, monotonic() - call.started)
        return self._result(call)

    def perform_all(
        self, many: Iterable[Asked], is_query: bool, timeout: float | None, level: Consistency
    ) -> list[Any]:
        """Many calls, submitted together; their results. Raises the first error when all have ended."""
        calls = [self._new(resource, parts, is_query, timeout, level) for resource, parts in many]
        receipts = self._tracing.current() if self._tracing.on else None
        for call in calls:
            call.traced = receipts is not None
        self._io.submit(calls)
        try:
            for call in calls:
                self._wait(call)
        except BaseException:
            for call in calls:
                self._io.give_up(call)
            raise
        if receipts is not None:
            for call in calls:
                receipts.add(call, monotonic() - call.started)
        return [self._result(call) for call in calls]

    def _new(
        self,
        resource: Resource,
        parts: tuple[Any, ...],
        is_query: bool,
        timeout: float | None,
        level: Consistency | None,
    ) -> Call:
        self.check_usable()
        now = monotonic()
        deadline = now + (self.timeout if timeout is None else seconds("timeout", timeout))
        lock = threading.Lock()
        lock.acquire()
        return Call(
            resource,
            parts,
            is_query,
            now,
            deadline,
            self._owner,
            lock,
            level=level,
            selection=self._selection,
            nested=self._callbacks.ident == threading.get_ident(),
        )

    def _result(self, call: Call) -> Any:
        if call.error is not None:
            if isinstance(call.error, Unresolved):
                call.error.resolver = self._resolve
            raise call.error
        return call.result

    def _wait(self, call: Call, lock: threading.Lock | None = None) -> None:
        try:
            # Released by the I/O thread at the latest when the deadline passes, or when it ends.
            (lock or call.waiter).acquire()
        except BaseException:
            self._io.give_up(call)
            raise

    def request(
        self, resource: Resource, operation: str, *arguments: Any, wait: float | None, holds: bool = False
    ) -> Any:
        """One request that may have to wait at the shard, for `wait` seconds (see `requests.checked_wait`); its result.

        The operation gets the request's number and its time to wait as first arguments. Raises DeadlineExceeded when no
        answer came in time; the request is then taken back, as it is when the wait is interrupted. If it `holds` what it is
        granted, that is among the client's holdings until it is released or lost.
        """
        self.check_usable()
        wait = checked_wait(wait, self.timeout)
        lock = threading.Lock()
        lock.acquire()
        request = self.listening.requests.expect(resource, lock.release, holds=holds)
        started = monotonic()
        try:
            parts = (operation, request.number, wait_ms(wait), *arguments)
            answer = self.perform(resource, parts, False, command_timeout(wait, self.timeout))
            if answer is not None:
                return self.listening.requests.given(request, answer[0])
            left = wait + GRACE_SECONDS + started - monotonic()
            if not lock.acquire(timeout=-1 if left == inf else max(0.0, min(left, threading.TIMEOUT_MAX))):
                text = f"{operation} was not answered in time, and is taken back"
                raise DeadlineExceeded(text, resource=resource.name, shard=resource.shard)
            if isinstance(request.error, SessionExpired):
                self.take_back(resource, request.number)  # it may have left just now, in the session that follows
            if request.error is not None:
                raise request.error
            return self.listening.requests.given(request, request.result)
        except (TimeoutError, KeyboardInterrupt):
            self.take_back(resource, request.number)
            raise
        finally:
            self.listening.requests.forget(request)

    def take_back(self, resource: Resource, number: int) -> None:
        """Take a request back, or give back what it was granted; sent behind it, this finds it, however long that takes."""
        if self._io.usable:
            now, ignored = monotonic(), threading.Lock()
            ignored.acquire()
            parts = ("cancel", number)
            self._io.submit((Call(resource, parts, False, now, inf, self._owner, ignored, nested=True),))

    def check_usable(self) -> None:
        """Raises Closed when the client is closed or of another process."""
        if not self._io.usable:
            raise self._io.why_unusable()

    # -- listening -------------------------------------------------------------------------------------

    def open_listener(
        self, resource: Resource, event_type: type[Event], listener: Listener, timeout: float | None = None
    ) -> None:
        """Wait until a new listener listens."""
        lock = threading.Lock()
        lock.acquire()
        call = self.listening.open(resource, event_type, listener, lambda call: lock.release(), timeout)
        self._wait(call, lock)
        if call.error is not None:
            raise call.error

    def on_change(
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
        listening = self.listening
        subscription = Subscription(callback, lambda _: listening.close(resource, listener))
        listener = HandlerListener(
            key, partial(self._callbacks.add, subscription), partial(self._callbacks.fail, resource)
        )
        try:
            self.open_listener(resource, event_type, listener, timeout)
        except BaseException:
            subscription.close()
            raise
        return subscription

    # -- outcomes --------------------------------------------------------------------------------------

    def outcome(self, session: str, sequence: int, *, timeout: float | None = None) -> Outcome:
        """What became of a sequence of any session, named as `OutcomeUnknown.session` and `.sequence` name it.

        Raises BadArgument, DeadlineExceeded, Refused and Closed.
        """
        timeout = self.timeout if timeout is None else seconds("timeout", timeout)
        return self._ask(parse_session(session), checked_sequence(sequence), monotonic() + timeout)

    def _ask(self, name: SessionName, sequence: int, deadline: float) -> Outcome:
        self.check_usable()
        lock = threading.Lock()
        lock.acquire()
        call = self._io.outcome(*name, sequence, deadline, self._owner, lock)
        self._wait(call)
        return outcome_of(call)

    def _resolve(self, error: Unresolved, timeout: float | None) -> Outcome:
        name, sequence = parse_session(error.session), checked_sequence(error.sequence)
        timeout = self.timeout if timeout is None else seconds("timeout", timeout)
        deadline = monotonic() + timeout
        pauses = Backoff(Random(), *ASK_AGAIN_SECONDS)
        while (outcome := self._ask(name, sequence, deadline)).answer == "pending":
            pause = pauses.next()
            if monotonic() + pause >= deadline:
                raise still_pending(name, sequence, timeout)
            time.sleep(pause)
        return outcome

    # -- the end ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """End streams, sessions and the I/O thread; at most 2 s when no majority confirms. Closing twice is fine."""
        if self._finalizer.detach() is None or not self._io.usable:
            return
        self._callbacks.closing = True
        self.listening.end()
        self._io.close(self.timeout)
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
    recovery: str = "recover",
    retry: Strategy | None = None,
    selection: str = "any",
) -> Client:
    """Connect and return a blocking client, to be used in a `with` or closed.

    `endpoints`: one, a list, or several separated by commas; None means OCELOG_ENDPOINTS, else tcp://127.0.0.1:7400.
    `timeout`: seconds to find a router, and the default deadline of a call. `session_timeout`: seconds for which a
    shard keeps the session of a silent client. `recovery`: "recover" (open another session when a shard ended one) or
    "close" (calls on that shard raise SessionExpired from then on). `retry`: how connecting and repeating pause, `Once()`,
    `Exponential(first, last)` or `Fibonacci(first, last)` in seconds. `selection`: which replicas queries are for, "any",
    "leader" or "followers". Raises BadArgument at once, ConnectFailed when no endpoint answers in time.
    """
    options = check(endpoints, timeout, session_timeout, client_id, recovery=recovery, retry=retry, selection=selection)
    io = IoThread(options)
    try:
        io.ready.result()
    except BaseException:
        io.close(0)
        raise
    return Client(io, options)
