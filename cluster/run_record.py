"""`<data>/supervisor`: which supervisor runs on a data directory, with which children, sockets and endpoints.

Written by the supervisor that holds the directory's lock, read by `ocelog stop` and by the next supervisor, which
tidies up after one that was killed. It is a hint, never trusted: a process counts as the recorded one only if it was
also created at the recorded time, and a record that cannot be read is no record.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .errors import ConfigError

FILE_NAME = "supervisor"
SOCKETS_PREFIX = "ocelog-"
SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un's 108 bytes include the closing zero
CHILDREN_END_S_MAX = 10.0
POLL_S = 0.03
CREATED_S_TOLERANCE = 2.0  # creation times follow the wall clock's adjustments

RouterId = tuple[str, int | None]
ProcessId = tuple[int, float]
"""Process id and creation time (seconds since 1970)."""


@dataclass(kw_only=True)
class RunRecord:
    """What one supervisor has running; `compactor` is that process's id, None while it is down.

    `routers` are the endpoint (empty until it is known) and the process id (None while it is down) of each, by number.
    """

    supervisor: ProcessId
    sockets: str
    endpoints: list[str] = field(default_factory=list)
    ready: bool = False
    compactor: int | None = None
    routers: list[RouterId] = field(default_factory=list)
    children: list[ProcessId] = field(default_factory=list)

    def write(self, data: Path) -> None:
        """Replace the record of the directory `data`; whoever reads it sees the old or the new one, whole."""
        temporary = data / (FILE_NAME + ".new")
        temporary.write_text(json.dumps(asdict(self)), "utf-8")
        temporary.replace(data / FILE_NAME)

    @classmethod
    def read(cls, data: Path) -> RunRecord | None:
        """The record of the directory `data`, None if there is none."""
        try:
            fields = json.loads((data / FILE_NAME).read_bytes())
            return cls(
                supervisor=_process_id(fields["supervisor"]),
                sockets=str(fields["sockets"]),
                endpoints=[str(endpoint) for endpoint in fields["endpoints"]],
                ready=bool(fields["ready"]),
                compactor=_optional(fields["compactor"]),
                routers=[(str(endpoint), _optional(pid)) for endpoint, pid in fields.get("routers", ())],
                children=[_process_id(child) for child in fields["children"]],
            )
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None


class RecordReader:
    """The record of the directory `data` for a process that asks often: read again only when it was replaced."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._version: tuple[int, int] | None = None
        self._record: RunRecord | None = None

    def __call__(self) -> RunRecord | None:
        """The record as it is now, None if there is none."""
        try:
            found = os.stat(self._data / FILE_NAME)
        except OSError:
            return None
        version = found.st_ino, found.st_mtime_ns
        if version != self._version:
            self._version, self._record = version, RunRecord.read(self._data)
        return self._record


def remove(data: Path) -> None:
    """Remove the record of the directory `data`."""
    (data / FILE_NAME).unlink(missing_ok=True)


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)


def _process_id(value: Any) -> ProcessId:
    pid, created = value
    return int(pid), float(created)


def identify(pid: int) -> ProcessId:
    """The process's id and creation time; a time of 0 when it is gone already."""
    try:
        return pid, psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return pid, 0.0


def process_of(recorded: ProcessId) -> psutil.Process | None:
    """The recorded process if it still runs (a zombie does not), None also when its id is another process's now."""
    pid, created = recorded
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) <= CREATED_S_TOLERANCE
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError):
        return None


def clear_predecessor(data: Path) -> None:
    """Tidy up after a supervisor that was killed; the caller holds the directory's lock, so it is gone for sure.

    Its children stop by themselves when they notice; those that do not are killed, since their replicas' directories
    are needed.
    """
    record = RunRecord.read(data)
    if record is None:
        return
    for process in wait_ended(record.children, CHILDREN_END_S_MAX):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_ended(record.children, CHILDREN_END_S_MAX)
    remove_sockets(record.sockets)
    remove(data)


def wait_ended(recorded: Iterable[ProcessId], timeout: float) -> list[psutil.Process]:
    """Wait `timeout` seconds at most until the recorded processes have ended; returns those that still run.

    For processes that are not this one's children. One that ended and that its new parent has not reaped, as in a
    container without an init, has ended.
    """
    deadline = time.monotonic() + timeout
    while running := [process for process in map(process_of, recorded) if process is not None]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return running


def make_sockets(shards: int, replicas: int) -> str:
    """A new directory, for this user only, with a name short enough for sockets. Raises ConfigError when none is."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = runtime if runtime and os.access(runtime, os.W_OK | os.X_OK) else tempfile.gettempdir()
    longest_name = max(f"s{shards - 1}r{replicas - 1}.p", "compactor", key=len)
    longest = os.path.join(parent, SOCKETS_PREFIX + "12345678", longest_name)
    if len(os.fsencode(longest)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(
            f"the directory {parent} is too long a name for sockets: {longest} has {len(os.fsencode(longest))} bytes "
            f"and may have {SOCKET_PATH_BYTES_MAX}; set XDG_RUNTIME_DIR or TMPDIR to a shorter one"
        )
    return tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=parent)


def remove_sockets(sockets: str) -> None:
    """Remove a directory that `make_sockets` made; anything else that a record may name is left alone."""
    if os.path.basename(sockets).startswith(SOCKETS_PREFIX):
        shutil.rmtree(sockets, ignore_errors=True)
