"""How a worker takes the tasks that are handed to it. No sessions, no calls."""

from __future__ import annotations

from .changes import Event, Resync
from .listeners import Pending, Phase, StreamListener
from .protocol.errors import OcelogError


class TaskFailed(OcelogError):
    """A worker has given a task up; `reason` is what it said."""

    def __init__(self, reason: str, **context: object) -> None:
        self.reason = reason
        super().__init__(f"the task failed: {reason}", **context)


class WorkerListener(StreamListener):
    """Takes every task from the moment it subscribes, however many: the shard hands out no more than the worker has asked for.

    When the session ends, the shard has taken back what was under way: what nobody has begun with is dropped here.
    """

    __slots__ = ()

    def offer(self, event: Event, pending: Pending) -> None:
        """A task that was handed out; the first ones may have the very index at which the worker subscribed."""
        if self.phase is not Phase.ENDED:
            self._take(event, None)

    def lose(self) -> None:
        """The session ended."""
        self.buffer.clear()
        super().lose()

    def resume(self, resync: Resync) -> None:
        """It is subscribed again; nothing was missed."""
        self.wanting = False
        self.begin(resync.index)

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        self.buffer.append(event)
        self._wake()
