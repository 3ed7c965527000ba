"""The log file of one process: rotated, and written by a thread of its own so that logging never blocks a loop.

Not the log that the rest of this room is about. It is here because this is the lowest room, and every process has one.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(message)s"
QUEUED_LINES_MAX = 10_000


class _Listener(logging.handlers.QueueListener):
    def enqueue_sentinel(self) -> None:
        """Ask the thread to end; the default raises queue.Full when the disk is behind."""
        self.queue.put(self._sentinel)  # type: ignore[attr-defined]


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
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED_LINES_MAX)
    listener = _Listener(lines, file)
    listener.start()
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.addHandler(_DroppingQueueHandler(lines))
    return listener
