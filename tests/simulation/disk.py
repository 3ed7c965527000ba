"""A disk in memory that forgets like a real one: at a crash, blocks that were not synced survive or vanish by chance.

Implements `ocelog.log.files.Disk`. Paths are plain strings. File contents are lost in blocks of BLOCK_BYTES, each for
itself; names (creations, renames, removals) are lost together since the last sync of their directory, except for
`replace`, which is durable when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import NamedTuple

from ocelog.log.errors import NoSpace
from ocelog.log.files import Extent, Part

BLOCK_BYTES = 512


class Block(NamedTuple):
    """A block of a file, by the file's newest path and where the block begins."""

    path: str
    start: int


class SimFile:
    """A mapped file: `buffer` is what the process sees, `durable` what a crash certainly leaves."""

    def __init__(self, disk: SimDisk, path: str, data: bytes) -> None:
        self._disk = disk
        self.path = path
        self.size = len(data)
        self.data = bytearray(data)
        self.durable = bytes(data)
        self.buffer = memoryview(self.data)

    def sync(self) -> None:
        """Everything written so far survives a crash from here on."""
        self._disk.operation(f"sync {self.path}")
        self.durable = bytes(self.data)

    def unsynced_blocks(self) -> list[Block]:
        """The blocks of which the platter may hold the old or the new contents."""
        if self.data == self.durable:
            return []
        starts = range(0, self.size, BLOCK_BYTES)
        ends = [start + BLOCK_BYTES for start in starts]
        return [
            Block(self.path, start)
            for start, end in zip(starts, ends, strict=True)
            if self.data[start:end] != self.durable[start:end]
        ]

    def without(self, lost: Collection[Block]) -> bytes:
        """What the platter holds when these blocks did not reach it."""
        data = bytearray(self.data)
        for path, start in lost:
            if path == self.path:
                data[start : start + BLOCK_BYTES] = self.durable[start : start + BLOCK_BYTES]
        return bytes(data)

    def after_crash(self, rng: Random) -> bytes:
        """What the platter holds: each block that differs is the old or the new one."""
        return self.without([block for block in self.unsynced_blocks() if rng.random() >= 0.5])


class SimDisk:
    """See the module. `operation_hook(what)` is called before every durable operation and may raise to crash there.

    `capacity` bounds the bytes of all files; beyond it `create` and `write` raise NoSpace, and `replace` too if
    `small_files_need_room`: a disk that is full for preallocated files mostly has room for these.
    """

    def __init__(
        self, rng: Random, *, capacity: int = 1 << 40, operation_hook: Callable[[str], None] | None = None
    ) -> None:
        self.rng = rng
        self.capacity = capacity
        self.small_files_need_room = False
        self.operation_hook = operation_hook
        self.files: dict[str, SimFile] = {}
        self._durable_names: dict[str, SimFile] = {}

    def operation(self, what: str) -> None:
        """Tell the hook what is about to happen."""
        if self.operation_hook is not None:
            self.operation_hook(what)

    def crash(self) -> None:
        """Lose power: mapped files of the old process stay with it, the disk goes on with what it kept."""
        names = self._durable_names if self.rng.random() < 0.5 else self.files
        kept = {}
        for path, file in names.items():
            kept[path] = SimFile(self, path, file.after_crash(self.rng))
        self.files = kept
        self._durable_names = dict(kept)

    def unsynced_blocks(self) -> list[Block]:
        """Those of all files."""
        files = {id(file): file for file in (*self.files.values(), *self._durable_names.values())}
        return sorted(block for file in files.values() for block in file.unsynced_blocks())

    def unsynced_directories(self) -> list[str]:
        """The directories whose names a power loss may set back."""
        differ = self.files.items() ^ self._durable_names.items()
        return sorted({_directory(path) for path, _ in differ})

    def after_power_loss(self, lost: Collection[Block], set_back: Collection[str]) -> SimDisk:
        """Another disk, with what this one would keep if these blocks were lost, and the names in these directories set back."""
        disk = SimDisk(Random(1), capacity=self.capacity)
        kept = {path: file for path, file in self.files.items() if _directory(path) not in set_back}
        kept |= {path: file for path, file in self._durable_names.items() if _directory(path) in set_back}
        disk.files = {path: SimFile(disk, path, file.without(lost)) for path, file in kept.items()}
        disk._durable_names = dict(disk.files)
        return disk

    def create(self, path: str, size: int) -> SimFile:
        self.operation(f"create {path}")
        assert path not in self.files, f"{path} exists"
        if size > self.free_bytes(path):
            raise NoSpace(f"{path}: no room for {size} bytes on the disk")
        self.files[path] = SimFile(self, path, bytes(size))
        return self.files[path]

    def write(self, path: str, parts: Iterable[Part]) -> int:
        self.operation(f"write {path}")
        assert path not in self.files, f"{path} exists"
        data = b"".join(_bytes_of(part) for part in parts)
        if len(data) > self.free_bytes(path):
            raise NoSpace(f"{path}: no room for {len(data)} bytes on the disk")
        # Killed half-way a process leaves what it has written so far.
        self.files[path] = SimFile(self, path, data[: self.rng.randint(0, len(data))])
        self.files[path].durable = bytes(len(self.files[path].data))
        self.operation(f"end of write {path}")
        file = self.files[path] = SimFile(self, path, bytes(len(data)))
        file.buffer[:] = data
        file.sync()
        return len(data)

    def open(self, path: str) -> SimFile:
        file = self._existing(path)
        return file

    def read(self, path: str) -> bytes:
        return bytes(self._existing(path).data)

    def replace(self, path: str, data: bytes) -> None:
        self.operation(f"replace {path}")
        if self.small_files_need_room and len(data) > self.free_bytes(path):
            raise NoSpace(f"{path}: no room for {len(data)} bytes on the disk")
        file = SimFile(self, path, data)
        self.files[path] = file
        self.sync_directory(path.rpartition("/")[0])

    def rename(self, old: str, new: str) -> None:
        self.operation(f"rename {old} {new}")
        if old not in self.files:
            self._rename_directory(old + "/", new + "/")
            return
        file = self.files.pop(old)
        file.path = new
        self.files[new] = file

    def _rename_directory(self, old: str, new: str) -> None:
        """Its name is one in its parent: what is in it keeps what durability it has, and none of it is lost halfway."""
        for names in (self.files, self._durable_names):
            for path in [path for path in names if path.startswith(old)]:
                file = names.pop(path)
                file.path = new + path[len(old) :]
                names[file.path] = file

    def remove(self, path: str) -> None:
        self.operation(f"remove {path}")
        self._existing(path)
        del self.files[path]

    def remove_tree(self, path: str) -> None:
        self.operation(f"remove tree {path}")
        for name in [name for name in self.files if name.startswith(path + "/")]:
            del self.files[name]
            self._durable_names.pop(name, None)

    def list(self, directory: str) -> list[str]:
        prefix = directory.rstrip("/") + "/"
        return sorted({path[len(prefix) :].partition("/")[0] for path in self.files if path.startswith(prefix)})

    def make_directory(self, path: str) -> None:
        """Directories exist by the files in them."""

    def sync_directory(self, path: str) -> None:
        self.operation(f"sync directory {path}")
        # Only the names in this very directory: a subdirectory has to be synced for itself.
        directory = path.rstrip("/")
        inside = {name: file for name, file in self.files.items() if name.rpartition("/")[0] == directory}
        gone = [name for name in self._durable_names if name.rpartition("/")[0] == directory and name not in inside]
        for name in gone:
            del self._durable_names[name]
        self._durable_names.update(inside)

    def exists(self, path: str) -> bool:
        if path in self.files:
            return True
        prefix = path.rstrip("/") + "/"
        return any(name.startswith(prefix) for name in self.files)

    @property
    def used_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def free_bytes(self, path: str) -> int:
        return self.capacity - self.used_bytes

    def time_ms(self) -> int:
        return 0

    def survives(self, path: str) -> bool:
        """Whether the file's name would be there after any crash."""
        return path in self._durable_names

    def durable_bytes(self, path: str) -> bytes:
        """What of a file a crash certainly leaves."""
        return self._durable_names[path].durable

    def _existing(self, path: str) -> SimFile:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _bytes_of(part: Part) -> bytes:
    return bytes(part.file.buffer[part.start : part.end] if isinstance(part, Extent) else part)
