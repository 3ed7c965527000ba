"""A thread that runs jobs beside the loop, one at a time, and says when they are done.

A replica has two: one syncs what must be durable before it is promised, the other writes snapshots and reads files again,
which takes longer and nobody waits for. Syncs release the interpreter's lock, so the loop goes on meanwhile. Jobs pass
through a queue, their ends through a queue and an eventfd, which the loop waits for with its other descriptors.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar


class Job(Protocol):
    """Something to be run, that touches nothing but what it captured."""

    def run(self) -> None:
        """Do it; what it raises reaches the loop."""


J = TypeVar("J", bound=Job)


class JobThread(Generic[J]):
    """Hand in a job with `submit`; when `descriptor` becomes readable, `finished` gives it back or raises its error."""

    def __init__(self, name: str) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._done: deque[tuple[J, Exception | None]] = deque()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: J) -> None:
        """Run the job on the thread. The one before must have been taken back."""
        self._jobs.put(job)

    def finished(self) -> J:
        """The job that is done; call once each time the descriptor is readable. Raises what the job raised."""
        os.eventfd_read(self.descriptor)
        job, error = self._done.popleft()
        if error is not None:
            raise error
        return job

    def stop(self) -> None:
        """Wait for the job under way and end the thread."""
        self._jobs.put(None)
        self._thread.join()
        os.close(self.descriptor)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: Exception | None = None
            try:
                job.run()
            except Exception as raised:
                error = raised
            self._done.append((job, error))
            os.eventfd_write(self.descriptor, 1)
