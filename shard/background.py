"""What takes long and nobody waits for, one job at a time: the order in which it is done, and who is told afterwards.

Jobs touch nothing but what they captured; `done` callbacks run on the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class BackgroundJob(Protocol):
    """Something to be run beside the loop; what goes wrong with it it keeps, and raises only what must stop the replica."""

    def run(self) -> None:
        """Do it."""


class Background:
    """The jobs of one replica. `next` hands one out; it comes back through `finished` before the next one leaves."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[BackgroundJob, Callable[[Any], None]]] = deque()
        self._running: tuple[BackgroundJob, Callable[[Any], None]] | None = None

    def add(self, job: BackgroundJob, done: Callable[[Any], None]) -> None:
        """Have the job run after those before it, and `done(job)` called then."""
        self._waiting.append((job, done))

    def next(self) -> BackgroundJob | None:
        """The job to run now, None while one is running or when there is none."""
        if self._running is not None or not self._waiting:
            return None
        self._running = self._waiting.popleft()
        return self._running[0]

    def finished(self, job: BackgroundJob) -> None:
        """The job has run."""
        assert self._running is not None and self._running[0] is job, "one background job at a time"
        _, done = self._running
        self._running = None
        done(job)
