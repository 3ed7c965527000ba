"""The sync thread: runs persist jobs beside the loop, one at a time, and says when they are done.

It is the only other thread of a replica. `fdatasync` releases the interpreter's lock, so the loop goes on meanwhile.
Jobs and their ends pass through an inproc pair of sockets, which the loop polls with its other sockets.
"""

from __future__ import annotations

import threading
from collections import deque

import zmq

from .persist import PersistJob


class SyncThread:
    """Hand in a job with `submit`; when `socket` becomes readable, `finished` gives it back or raises its error."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        address = f"inproc://sync-{id(self)}"
        self.socket = context.socket(zmq.PAIR)
        self.socket.bind(address)
        self._far_end = context.socket(zmq.PAIR)
        self._far_end.connect(address)
        self._jobs: deque[PersistJob] = deque()
        self._done: deque[tuple[PersistJob, Exception | None]] = deque()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def submit(self, job: PersistJob) -> None:
        """Run the job on the sync thread."""
        self._jobs.append(job)
        self.socket.send(b"j")

    def finished(self) -> PersistJob:
        """The job that is done; call once per readable message. Raises what the job raised."""
        self.socket.recv()
        job, error = self._done.popleft()
        if error is not None:
            raise error
        return job

    def stop(self) -> None:
        """Wait for the job under way and end the thread."""
        self.socket.send(b"s")
        self._thread.join()
        self.socket.close(linger=0)

    def _run(self) -> None:
        while self._far_end.recv() == b"j":
            job = self._jobs.popleft()
            error: Exception | None = None
            try:
                job.run()
            except Exception as raised:
                error = raised
            self._done.append((job, error))
            self._far_end.send(b"d")
        self._far_end.close(linger=0)
