"""Callbacks: who is called for what, one at a time, and what becomes of an exception in one.

All callbacks of a client run one after the other, in the order in which events and changes of state were delivered: an asyncio
client's in its event loop, a blocking client's in one thread named "ocelog-events", which starts when there is first
something to do. A callback may call the client, close its subscription and close the client.

Invariants: nothing is run after its subscription was closed; whatever a callback does, its event counts as handled when
it is over; a callback never runs inside the thread that reads the socket.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple

from .calls import StateChange
from .listeners import Pending

logger = logging.getLogger("ocelog.client")

THREAD_NAME = "ocelog-events"

TURN_CALLBACKS_MAX = 256
"""Callbacks run in one turn of an event loop, so that a flood of events does not hold up everything else in it."""


class Subscription:
    """A callback that is called until this is closed; closing it twice is fine. Usable with `with`."""

    __slots__ = ("_close", "active", "callback")

    def __init__(self, callback: Callable[..., Any], close: Callable[[Subscription], None]) -> None:
        self.callback = callback
        self.active = True
        self._close = close

    def close(self) -> None:
        """The callback is not called again; one that is running goes on to its end. May be called from inside it."""
        if self.active:
            self.active = False
            self._close(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Task(NamedTuple):
    """One callback to run: whose, with what, and what to release when it has run."""

    subscription: Subscription
    item: Any
    pending: Pending | None


class Handlers:
    """What both kinds of clients share. `release` tells that somebody has handled a batch; any thread may call it."""

    def __init__(self) -> None:
        self.release: Callable[[Pending], None] = Pending.release
        self.closing = False
        self._errors: list[Subscription] = []
        self._states: list[Subscription] = []

    def on_error(self, callback: Callable[[BaseException, Any], Any]) -> Subscription:
        """Call back with each exception of a callback and what that was called with; in the thread that it ran in."""
        return self._subscribe(self._errors, callback)

    def on_state(self, callback: Callable[[StateChange], Any]) -> Subscription:
        """Call back with each change of a session's state."""
        return self._subscribe(self._states, callback)

    def _subscribe(self, subscriptions: list[Subscription], callback: Callable[..., Any]) -> Subscription:
        subscription = Subscription(callback, subscriptions.remove)
        subscriptions.append(subscription)
        return subscription

    def state(self, change: StateChange) -> None:
        """A session's state has changed: tell whoever wants to know."""
        for subscription in list(self._states):
            self.add(subscription, change, None)

    def fail(self, resource: Any, error: Exception) -> None:
        """The events of a resource have ended: tell whoever wants to know of errors, behind the callbacks that wait."""
        self.add(Subscription(partial(self._report, item=resource), _nothing), error, None)

    def once(self, callback: Callable[[Any], Any], item: Any) -> None:
        """Run this callback when those before it are over; nobody takes it back."""
        self.add(Subscription(callback, _nothing), item, None)

    def add(self, subscription: Subscription, item: Any, pending: Pending | None) -> None:
        """Run this callback when those before it are over."""
        raise NotImplementedError

    def _wanted(self, task: Task) -> bool:
        # While the client closes its states are still told, its events are not.
        return task.subscription.active and not (self.closing and not isinstance(task.item, StateChange))

    def _over(self, task: Task) -> None:
        if task.pending is not None:
            self.release(task.pending)

    def _report(self, error: BaseException, item: Any) -> None:
        logger.error("a callback for events raised, or can get no more of them: %r", item, exc_info=error)
        for subscription in list(self._errors):
            try:
                subscription.callback(error, item)
            except Exception:
                logger.exception("the callback for errors raised")


def _nothing(subscription: Subscription) -> None:
    """It is registered nowhere."""


# -- asyncio -----------------------------------------------------------------------------------------


class _Running:
    """Whether the callback that a piece of code was started by is still running."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = True


_handling: ContextVar[_Running | None] = ContextVar("ocelog_handling", default=None)


class LoopHandlers(Handlers):
    """Runs callbacks, plain functions and coroutine functions, in one event loop; used in its thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._tasks: deque[Task] = deque()
        self._busy = False
        self._interrupted = False
        self._coroutine: asyncio.Task[Any] | None = None  # referred to, so that it is not collected while it runs
        self.used = False

    @property
    def inside(self) -> bool:
        """Whether this code was started by a callback that is not over."""
        running = _handling.get()
        return running is not None and running.now

    def add(self, subscription: Subscription, item: Any, pending: Pending | None) -> None:
        """Run this callback when those before it are over."""
        self.used = True
        self._tasks.append(Task(subscription, item, pending))

    def once(self, callback: Callable[[Any], Any], item: Any) -> None:
        """Run this callback when those before it are over, at the latest in the loop's next turn."""
        super().once(callback, item)
        self._loop.call_soon(self.run)

    def run(self) -> None:
        """Run what waits, up to a coroutine that is not over at once; that one goes on here when it is."""
        if self._interrupted:
            return  # it goes on in a turn of its own
        left = TURN_CALLBACKS_MAX
        while self._tasks and not self._busy:
            if not left:
                self._interrupted = True
                self._loop.call_soon(self._go_on)
                return
            left -= 1
            task = self._tasks.popleft()
            if not self._wanted(task):
                self._over(task)
                continue
            self._busy = True
            running = _Running()
            token = _handling.set(running)
            try:
                result = task.subscription.callback(task.item)
                if result is not None and inspect.isawaitable(result):
                    self._coroutine = self._loop.create_task(self._await(result, task, running))
                    continue
            except Exception as error:
                self._report(error, task.item)
            except BaseException:  # the loop is about to stop; should it run again, so do the callbacks
                self._finish(task, running)
                raise
            finally:
                _handling.reset(token)
            self._finish(task, running)

    def _go_on(self) -> None:
        self._interrupted = False
        self.run()

    async def _await(self, result: Any, task: Task, running: _Running) -> None:
        try:
            await result
        except Exception as error:
            self._report(error, task.item)
        finally:
            self._finish(task, running)
            self._coroutine = None
            self._loop.call_soon(self.run)

    def _finish(self, task: Task, running: _Running) -> None:
        running.now = self._busy = False
        self._over(task)


# -- blocking ----------------------------------------------------------------------------------------


class ThreadHandlers(Handlers):
    """Runs callbacks in a thread of its own, which knows nothing of the client."""

    def __init__(self) -> None:
        super().__init__()
        self.ident: int | None = None
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False

    def add(self, subscription: Subscription, item: Any, pending: Pending | None) -> None:
        """Run this callback when those before it are over."""
        self._queue.put(Task(subscription, item, pending))
        if self.ident is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self.ident is None and not self._stopped:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # too many threads, or the interpreter is ending: the thread of the socket goes on
                    logger.exception("the thread for callbacks cannot start; the next event tries again")
                    return
                self.ident = thread.ident

    def _run(self) -> None:
        self.ident = threading.get_ident()
        while (task := self._queue.get()) is not None:
            try:
                if self._wanted(task):
                    task.subscription.callback(task.item)
            except BaseException as error:  # SystemExit included: one callback's end is not the others'
                self._report(error, task.item)
            finally:
                self._over(task)

    def stop(self) -> None:
        """The client has ended: the thread ends behind what waits, of which events are dropped."""
        with self._lock:
            self._stopped = True
        self._queue.put(None)
