"""A socket file that clients connect to: held by one router at a time, and for this user only.

Binding takes a socket file away from whoever listens there, silently, so a lock beside it is taken first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StartFailed


class SocketFile:
    """Holds the file at `path` for this process, as long as that lives. Raises StartFailed when another one has it."""

    def __init__(self, path: str) -> None:
        try:
            self._lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartFailed(f"cannot listen on ipc://{path}: {error.strerror}: {path}.lock") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StartFailed(f"cannot listen on ipc://{path}: address in use; choose another with --listen") from None

    def close(self) -> None:
        """Give it back."""
        os.close(self._lock)


@contextmanager
def for_this_user_only() -> Iterator[None]:
    """A file or socket made within can be used by nobody else."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
