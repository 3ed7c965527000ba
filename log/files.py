"""The only calls to the operating system of this room.

Rules kept here: a mapped file is preallocated whole (a full disk is an error at creation, never a SIGBUS on a write), never
shortened and never closed while views of it may live; a small file is replaced by write, fsync, rename, fsync of its directory;
a large one is written once, whole, under a name that was never used before.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import shutil
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeAlias

from .errors import DirectoryInUse, NoSpace, StorageFailed

EXTENT_BYTES_MIN = 64 * 1024
"""Shorter stretches of another file are gathered: one copy_file_range for each would move only 60-120 MB/s."""

GATHERED_PARTS_MAX = 1024
"""Linux takes that many parts in one writev."""

GATHERED_BYTES_MAX = 1 << 20
"""As much is written at once, and its way to the disk begun: what is left for the sync at the end is then little, and the syncs
of others on the same disk do not wait for tens of MiB (their p99 fell by a third)."""


class MappedFile(Protocol):
    """A whole file in memory; `buffer` is writable."""

    path: str
    size: int
    buffer: memoryview

    def sync(self) -> None:
        """Make everything written so far durable. Raises StorageFailed."""


class Extent(NamedTuple):
    """The bytes start..end of a mapped file, as a part of another one."""

    file: MappedFile
    start: int
    end: int


Part: TypeAlias = bytes | memoryview | Extent


class Disk(Protocol):
    """What a log needs of a file system; the simulation has another one."""

    def create(self, path: str, size: int) -> MappedFile:
        """A new file of `size` zero bytes, allocated whole. Raises NoSpace and leaves nothing behind."""

    def write(self, path: str, parts: Iterable[Part]) -> int:
        """A new file that holds the parts one after the other; returns its size.

        Its contents are durable on return, its name after sync_directory. Raises NoSpace or StorageFailed, and whatever
        `parts` raises, and leaves nothing behind.
        """

    def open(self, path: str) -> MappedFile:
        """Map an existing file. Raises FileNotFoundError."""

    def read(self, path: str) -> bytes:
        """A small file, whole. Raises FileNotFoundError."""

    def replace(self, path: str, data: bytes) -> None:
        """Put `data` durably in the place of the file: all of it or nothing. Raises StorageFailed, NoSpace."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file or a directory; durable after sync_directory."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def remove_tree(self, path: str) -> None:
        """Remove a directory and all that is in it."""

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted."""

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents if need be; the new names are durable."""

    def sync_directory(self, path: str) -> None:
        """Make names durable. Raises StorageFailed."""

    def exists(self, path: str) -> bool:
        """Whether there is something at the path."""

    def free_bytes(self, path: str) -> int:
        """Room left on the file system of the path."""

    def time_ms(self) -> int:
        """Milliseconds since the epoch, for the creation times in headers; nothing is decided by it."""


class OsMappedFile:
    """A file mapped for reading and, unless it is not `writable`, for writing."""

    def __init__(self, path: str, fd: int, *, writable: bool = True) -> None:
        self.path = path
        self.descriptor = fd
        self.size = os.fstat(fd).st_size
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._map = mmap.mmap(fd, self.size, access=access) if self.size else None
        self.buffer = memoryview(self._map) if self._map is not None else memoryview(bytearray())

    def sync(self) -> None:
        """fdatasync: on Linux it covers pages written through the mapping; the interpreter's lock is released."""
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise StorageFailed(
                f"{self.path}: fdatasync failed: {error}; stopping, as what is durable is unknown"
            ) from error

    def __del__(self) -> None:
        os.close(self.descriptor)


class OsDisk:
    """The real file system."""

    def create(self, path: str, size: int) -> OsMappedFile:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failure(path, "cannot be created", error) from error
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            os.close(fd)
            os.unlink(path)
            raise _failure(path, f"{size} bytes cannot be allocated", error) from error
        try:
            return OsMappedFile(path, fd)  # which closes the descriptor, also when mapping fails
        except OSError as error:
            os.unlink(path)
            raise _failure(path, "cannot be mapped", error) from error

    def write(self, path: str, parts: Iterable[Part]) -> int:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failure(path, "cannot be created", error) from error
        try:
            try:
                size = _write_parts(fd, parts)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            os.unlink(path)
            raise _failure(path, "cannot be written", error) from error
        except BaseException:
            os.unlink(path)
            raise
        return size

    def open(self, path: str) -> OsMappedFile:
        return OsMappedFile(path, os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def replace(self, path: str, data: bytes) -> None:
        temporary = path + ".new"
        try:
            try:
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                try:
                    _write_gathered(fd, [data])
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(temporary, path)
            except OSError:
                # What was written of it takes room that a full disk has not got.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise _failure(path, "cannot be replaced", error) from error
        self.sync_directory(os.path.dirname(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_tree(self, path: str) -> None:
        shutil.rmtree(path)

    def list(self, directory: str) -> list[str]:
        return sorted(os.listdir(directory))

    def make_directory(self, path: str) -> None:
        path = os.path.abspath(path)
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self.make_directory(parent)
        os.makedirs(path, mode=0o700, exist_ok=True)
        # Each name for itself: a power loss must not lose the directory of entries that were acknowledged.
        self.sync_directory(parent)

    def sync_directory(self, path: str) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageFailed(f"{path}: the directory cannot be synced: {error}") from error

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def free_bytes(self, path: str) -> int:
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize

    def time_ms(self) -> int:
        return int(time.time() * 1000)


class ReadingDisk(OsDisk):
    """The real file system for those who look on while a replica runs: what they map they cannot write to."""

    def open(self, path: str) -> OsMappedFile:
        return OsMappedFile(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), writable=False)


def _write_parts(fd: int, parts: Iterable[Part]) -> int:
    """Write the parts one after the other, short ones many at a time; returns how many bytes that were."""
    gathered: list[bytes | memoryview] = []
    waiting = size = 0
    for part in parts:
        if isinstance(part, Extent):
            length = part.end - part.start
            if length >= EXTENT_BYTES_MIN and isinstance(part.file, OsMappedFile):
                size += _write_and_begin_writeback(fd, gathered, size)
                waiting = 0
                _copy_extent(fd, part.file, part.start, part.end)
                _begin_writeback(fd, size, length)
                size += length
                continue
            part = part.file.buffer[part.start : part.end]
        gathered.append(part)
        waiting += len(part)
        if len(gathered) == GATHERED_PARTS_MAX or waiting >= GATHERED_BYTES_MAX:
            size += _write_and_begin_writeback(fd, gathered, size)
            waiting = 0
    return size + _write_and_begin_writeback(fd, gathered, size)


def _write_and_begin_writeback(fd: int, parts: list[bytes | memoryview], position: int) -> int:
    """Write all of the parts at the file's end, which is `position`, and empty the list; returns their bytes."""
    length = sum(map(len, parts))
    _write_gathered(fd, parts)
    _begin_writeback(fd, position, length)
    return length


def _write_gathered(fd: int, parts: list[bytes | memoryview]) -> None:
    """Write all of the parts and empty the list."""
    left = sum(map(len, parts))
    while left:
        written = os.writev(fd, parts)
        left -= written
        if left:
            _drop_written(parts, written)
    parts.clear()


def _begin_writeback(fd: int, position: int, length: int) -> None:
    """Have the kernel begin to write a stretch to the disk. What is on its way stays in memory until it is there."""
    if length:
        os.posix_fadvise(fd, position, length, os.POSIX_FADV_DONTNEED)


def _drop_written(parts: list[bytes | memoryview], written: int) -> None:
    done = 0
    while written >= len(parts[done]):
        written -= len(parts[done])
        done += 1
    del parts[:done]
    parts[0] = memoryview(parts[0])[written:]


def _copy_extent(fd: int, source: OsMappedFile, start: int, end: int) -> None:
    """Append a stretch of another file, inside the kernel where its file system can."""
    while start < end:
        try:
            copied = os.copy_file_range(source.descriptor, fd, end - start, offset_src=start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            copied = 0
        # A file system that cannot, or a file that is shorter on disk than it was mapped: plain writing tells which.
        start += copied or os.write(fd, source.buffer[start:end])


def _failure(path: str, what: str, error: OSError) -> NoSpace | StorageFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{path}: {what}: the disk is full; free some room and it goes on by itself")
    return StorageFailed(f"{path}: {what}: {error}")


class DirectoryLock:
    """Holds a directory for one process, as long as that lives. The file `lock` names its pid."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, directory: str) -> DirectoryLock:
        """Take the directory. Raises DirectoryInUse naming the process that has it."""
        path = os.path.join(directory, "lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).strip()
            os.close(fd)
            raise DirectoryInUse(directory, int(holder) if holder.isdigit() else None) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return cls(path, fd)

    def release(self) -> None:
        """Give the directory back."""
        os.close(self._fd)
