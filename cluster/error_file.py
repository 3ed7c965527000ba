"""What a child process says on its standard error: kept in a file, and its last line given back.

The child's log proper is a file that it writes and rotates itself. Standard error has what it says when it cannot start
or dies: the one line with the reason, a traceback, a dump of its threads. It goes straight into a file rather than
through a pipe, so that neither a busy nor a dead supervisor can make the child wait or lose its last words.
"""

from __future__ import annotations

import os
from pathlib import Path

FILE_BYTES_MAX = 1024 * 1024
TAIL_BYTES = 16 * 1024


class ErrorFile:
    """The file `path`, appended to over all of a child's restarts; what is larger than `FILE_BYTES_MAX` at a start
    becomes `path.1`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> int:
        """A descriptor for a child that is about to start; the caller closes its own copy. Raises OSError."""
        if self.path.exists() and self.path.stat().st_size > FILE_BYTES_MAX:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._start = os.fstat(descriptor).st_size
        return descriptor

    def last_line(self) -> str:
        """The last line that is not blank since the last `open`; empty if there is none."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._start, end - TAIL_BYTES))
                lines = file.read(TAIL_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
