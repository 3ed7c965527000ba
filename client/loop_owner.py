"""Where an asyncio client meets its event loop: calls go out, and what comes back is taken in the loop's thread.

Invariants: what is delivered is taken in the order of its delivery, whichever thread delivered it; nothing is taken, and no
callback is run, inside a turn of the `IoThread`.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .calls import Call, StateChange
from .handlers import LoopHandlers
from .io import IoThread
from .listening import Listening
from .options import Options
from .protocol.errors import Closed


class LoopOwner:
    """Settles the futures and runs the callbacks of one event loop, in its thread, once per batch.

    The loop reads and sends for the client where it can (`IoThread.share`): an answer wakes the loop and nobody else.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, io: IoThread, options: Options) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._io = io
        self._batch: list[Call] = []
        # Of nobody: callbacks see the same, whatever call or thread they follow.
        self._context = contextvars.Context()
        self._due = self._wanted = self._working = self._take_due = False
        self._arrived: deque[Any] = deque()
        self._descriptor: int | None = None
        self.handlers = LoopHandlers(loop)
        self.listening = Listening(self.submit, self, options.timeout, recovers=options.recovery == "recover")
        self.handlers.release = self.listening.release
        io.owner = self
        self._descriptor = io.share(self._watch, self._nudged)
        io.ended.add_done_callback(self._io_ended)

    def _watch(self, descriptor: int) -> None:
        self._context.run(partial(self._loop.add_reader, descriptor, self._work))

    def submit(self, call: Call) -> None:
        """Hand a call over when this turn of the loop is over, with all that the turn submits."""
        self._batch.append(call)
        self._work_soon()

    def _work_soon(self) -> None:
        self._wanted = True
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self.hand_over, context=self._context)

    def _nudged(self) -> None:
        """There is something to be sent. In any thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._work_soon()
        else:
            self._io.signal()

    def hand_over(self) -> None:
        """Hand over what this turn has submitted so far."""
        self._due = False
        if self._wanted:
            self._wanted = False
            batch, self._batch = self._batch, []
            self._work(batch)

    def _work(self, calls: Sequence[Call] = ()) -> None:
        self._working = True
        try:
            self._io.turn(calls)
        finally:
            self._working = False
        self._take()

    def deliver(self, items: Sequence[Any], /) -> None:
        """Finished calls, events and changes of state have come: taken in this order, by the loop. In any thread."""
        self._arrived.extend(items)
        # Once for all that comes until the loop takes it; it clears the mark before it looks, so nothing is left lying.
        if not self._take_due and not (self._working and threading.get_ident() == self._thread):
            self._take_due = True
            self._later(self._take)

    def _later(self, function: Callable[..., None]) -> bool:
        """Whether the loop will do it; once it is closed, nobody can be waiting in it."""
        try:
            self._loop.call_soon_threadsafe(function, context=self._context)
        except RuntimeError:
            return False
        return True

    def _take(self) -> None:
        """Wake the waiters of finished calls, and take events and changes of state."""
        self._take_due = False
        arrived = self._arrived
        if not arrived:
            return
        while arrived:
            item = arrived.popleft()
            if type(item) is Call:
                future = item.waiter
                if not future.done():
                    if item.error is None:
                        future.set_result(item.result)
                    else:
                        future.set_exception(item.error)
                continue
            self.listening.take(item)
            if type(item) is StateChange:
                self.handlers.state(item)
        # Behind whatever was woken just now: what that submits leaves in the same turn of the loop, not in the one after it.
        self._look_soon()
        self.handlers.run()

    def _io_ended(self, ended: object) -> None:
        """The I/O thread has ended, for whatever reason."""
        if not self._later(self._end):
            self._close_descriptor()

    def _end(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._close_descriptor()
        self.listening.end(Closed("the client is closed"))

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
