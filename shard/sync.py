"""The sync thread: runs persist jobs beside the loop, one at a time, and says when they are done.

It is the only other thread of a replica. `fdatasync` releases the interpreter's lock, so the loop goes on meanwhile. Jobs
pass through a queue, their ends through a queue and an eventfd, which the loop waits for with its other descriptors.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue

from .persist import PersistJob


class SyncThread:
    """Hand in a job with `submit`; when `descriptor` becomes readable, `finished` gives it back or raises its error."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._jobs: SimpleQueue[PersistJob | None] = SimpleQueue()
        self._done: deque[tuple[PersistJob, Exception | None]] = deque()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def submit(self, job: PersistJob) -> None:
        """Run the job on the sync thread. The one before must have been taken back."""
        self._jobs.put(job)

    def finished(self) -> PersistJob:
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
