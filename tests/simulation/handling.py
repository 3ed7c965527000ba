"""The application's side of events: one handler per client that takes them in order, sometimes late, sometimes never.

Like an application's callback it runs beside the client's I/O: while it is busy, events wait and results do not. It may call a
command and wait for the result before it is done with its event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ocelog.client.calls import EventBatch

from .scheduler import MS

if TYPE_CHECKING:
    from .client import SimClient


class Handler:
    """Takes what `client` was given. `on_handled` is told of each batch before the client is."""

    def __init__(self, client: SimClient) -> None:
        self.client = client
        self.on_handled: list[Callable[[EventBatch], None]] = []
        self.stuck = False
        self._queue: deque[EventBatch] = deque()
        self._busy = False
        self._life = 0

    def reset(self) -> None:
        """The application has been restarted."""
        self._queue.clear()
        self._busy = self.stuck = False
        self._life += 1

    def recover(self) -> None:
        """Whatever the handler hung on is over, with the session that it was for."""
        if self.stuck:
            self.stuck = False
            self._end()

    def give(self, batch: EventBatch) -> None:
        """Something to handle."""
        self._queue.append(batch)
        self._begin()

    def _begin(self) -> None:
        client, plan = self.client, self.client.plan
        while self._queue and not self._busy:
            self._busy = True
            chance = client.scheduler.chance if client.working else lambda probability: False
            if chance(plan.handle_never):
                client.scheduler.note(f"{client.name} hangs over {self._queue[0]}")
                self.stuck = True
            elif chance(plan.handle_late):
                delay = client.scheduler.between(0, plan.handle_max)
                client.scheduler.after(delay, self._late, self._life)
            elif chance(plan.nest):
                self._nest()
            else:
                self._done()  # and round the loop, however many wait

    def _late(self, life: int) -> None:
        if life != self._life:
            return
        if self.client.scheduler.now < self.client.paused_until:
            self.client.scheduler.after(self.client.paused_until - self.client.scheduler.now + MS, self._late, life)
        elif self.client.scheduler.chance(self.client.plan.nest):
            self._nest()
        else:
            self._end()
            self.client.act()

    def _nest(self) -> None:
        """The handler calls a command and is done when that has ended, whatever came of it."""
        life = self._life
        operation = self.client.nested()
        operation.then = lambda: self._end() if life == self._life else None
        self.client.act_soon()

    def _end(self) -> None:
        self._done()
        self._begin()

    def _done(self) -> None:
        batch = self._queue.popleft()
        self._busy = False
        for callback in self.on_handled:
            callback(batch)
        batch.done()
        self.client.act_soon()
