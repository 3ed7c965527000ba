"""The log of one process: a rotated file, or its standard error, written by a thread of its own: logging never blocks a loop.

Not the log that the rest of this room is about. It is here because this is the lowest room, and every process has one.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import select
from typing import TextIO

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(message)s"
QUEUED_LINES_MAX = 10_000
STOP_S_MAX = 2.0
"""At the end so long is waited for the disk to take what is left."""
TAKEN_S_MAX = 0.2
"""So long is waited for whoever reads a pipe to take a line."""


class _Listener(logging.handlers.QueueListener):
    def stop(self) -> None:
        """Write what is left and end, or give up when nobody takes it: the thread ends with the process then."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self.queue.put(self._sentinel, timeout=STOP_S_MAX)  # type: ignore[attr-defined]
            thread.join(STOP_S_MAX)


class _DroppingQueueHandler(logging.handlers.QueueHandler):
    """Drops lines when the disk cannot keep up, rather than wait for it."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


def start_logging(path: str, *, level: str, file_bytes_max: int, files_max: int) -> logging.handlers.QueueListener:
    """Send this process's log to `path`, at most `files_max` files of `file_bytes_max` bytes.

    The listener must be stopped at the end.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=file_bytes_max, backupCount=max(0, files_max - 1))
    file.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%d %H:%M:%S"))
    return _started(file, level)


def start_console(stream: TextIO, *, level: str) -> logging.handlers.QueueListener:
    """Send this process's log to a stream, where people read it. The listener must be stopped at the end."""
    console = _Console(stream.fileno())
    console.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return _started(console, level)


class _Console(logging.Handler):
    """Writes lines to a descriptor and drops those that nobody takes: a thread that hung in a write could not be ended."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        for start in range(0, len(line), select.PIPE_BUF):
            # What is written to a pipe with room for so much does not wait.
            if not select.select([], [self._descriptor], [], TAKEN_S_MAX)[1]:
                return
            with contextlib.suppress(OSError):  # whoever read it is gone
                os.write(self._descriptor, line[start : start + select.PIPE_BUF])


def _started(handler: logging.Handler, level: str) -> logging.handlers.QueueListener:
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED_LINES_MAX)
    listener = _Listener(lines, handler)
    listener.start()
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.addHandler(_DroppingQueueHandler(lines))
    return listener
