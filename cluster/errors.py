"""What can keep a cluster from starting or stopping, each with the exit code the command line ends with.

The texts are sentences for an operator: they name the file, field, process or address concerned, and what to do.
"""

from __future__ import annotations

import os


class ClusterError(Exception):
    """Base of this room's errors; `exit_code` is one of sysexits' codes."""

    exit_code = os.EX_SOFTWARE


class ConfigError(ClusterError):
    """A setting that is unknown, malformed, out of bounds or at odds with another one or with the data directory."""

    exit_code = os.EX_CONFIG


class AlreadyRunning(ClusterError):
    """Another supervisor holds the data directory; `pid` is its process (None when it cannot be told)."""

    exit_code = os.EX_CANTCREAT

    def __init__(self, message: str, pid: int | None = None) -> None:
        self.pid = pid
        super().__init__(message)


class DataError(ClusterError):
    """A file of the data directory is damaged or of another format."""

    exit_code = os.EX_DATAERR


class StartFailed(ClusterError):
    """The cluster did not come up; `exit_code` is that of the process that could not start, where there is one."""

    def __init__(self, message: str, exit_code: int = os.EX_UNAVAILABLE) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class NotRunning(ClusterError):
    """No supervisor is running on the data directory, or it has stopped meanwhile."""

    exit_code = os.EX_UNAVAILABLE


class StopTimeout(ClusterError):
    """The cluster was told to stop and is still running at the deadline."""

    exit_code = os.EX_TEMPFAIL
