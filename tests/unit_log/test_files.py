"""The contract of a disk, on the real one and the simulated one, and the lock on a directory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from ocelog.log.errors import Corruption, DirectoryInUse, NoSpace, StorageFailed
from ocelog.log.files import EXTENT_BYTES_MIN, DirectoryLock, Extent, OsDisk, Part

from tests.simulation.disk import SimDisk

from .conftest import Place


def test_a_created_file_is_zeros_and_keeps_what_is_written(place: Place) -> None:
    path = f"{place.directory}/a"
    file = place.disk.create(path, 8192)
    assert (file.size, bytes(file.buffer)) == (8192, bytes(8192))
    file.buffer[10:13] = b"abc"
    file.sync()
    assert place.disk.read(path)[10:13] == b"abc"
    assert bytes(place.disk.open(path).buffer[10:13]) == b"abc"


def test_replace_rename_remove_and_list(place: Place) -> None:
    disk, directory = place.disk, place.directory
    disk.replace(f"{directory}/b", b"old")
    disk.replace(f"{directory}/b", b"new")
    disk.create(f"{directory}/a", 16)
    assert disk.list(directory) == ["a", "b"]
    assert disk.read(f"{directory}/b") == b"new"
    disk.rename(f"{directory}/a", f"{directory}/c")
    disk.remove(f"{directory}/b")
    disk.sync_directory(directory)
    assert disk.list(directory) == ["c"]
    assert disk.exists(f"{directory}/c") and not disk.exists(f"{directory}/b")


def test_a_file_written_whole_holds_its_parts_in_order(place: Place) -> None:
    """Short parts, empty ones, and stretches of another file above and below the size that is copied by the kernel."""
    disk, directory = place.disk, place.directory
    source = disk.create(f"{directory}/source", 4 * EXTENT_BYTES_MIN)
    source.buffer[:] = bytes(range(256)) * (source.size // 256)
    parts: list[Part] = [b"head", b"", Extent(source, 5, 7), memoryview(b"abc")[1:]]
    parts += [bytes([number % 251]) * (number % 7) for number in range(3000)]
    parts += [Extent(source, 3, 3 + EXTENT_BYTES_MIN), b"tail", Extent(source, 100, source.size), b""]
    flat = [part.file.buffer[part.start : part.end] if isinstance(part, Extent) else part for part in parts]
    wanted = b"".join(flat)
    assert disk.write(f"{directory}/a", iter(parts)) == len(wanted)
    assert disk.read(f"{directory}/a") == wanted
    assert bytes(disk.open(f"{directory}/a").buffer) == wanted
    assert disk.write(f"{directory}/empty", []) == 0


def test_a_file_is_written_whole_or_not_at_all(place: Place) -> None:
    """Also when it is the parts that fail: whoever reads another file to make them may find it damaged."""

    def parts() -> Iterator[Part]:
        yield b"some"
        raise Corruption("elsewhere", "for a test")

    with pytest.raises(Corruption):
        place.disk.write(f"{place.directory}/a", parts())
    assert place.disk.list(place.directory) == []


def test_a_name_is_written_once(place: Place) -> None:
    place.disk.write(f"{place.directory}/a", [b"first"])
    with pytest.raises((StorageFailed, AssertionError)):
        place.disk.write(f"{place.directory}/a", [b"second"])
    assert place.disk.read(f"{place.directory}/a") == b"first"


@pytest.mark.parametrize("call", ["writev", "fsync", "copy_file_range"])
def test_a_disk_that_fills_while_a_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    source = OsDisk().create(str(tmp_path / "source"), EXTENT_BYTES_MIN)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(NoSpace):
        OsDisk().write(str(tmp_path / "a"), [b"a", Extent(source, 0, source.size)])
    assert os.listdir(tmp_path) == ["source"]
    with pytest.raises(NoSpace):
        SimDisk(Random(1), capacity=100).write("a", [bytes(101)])


def test_what_the_kernel_cannot_copy_or_write_at_once_is_written_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two file systems there is no copy_file_range, and a write may be cut short."""

    def cannot(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    def short(fd: int, parts: list[bytes | memoryview]) -> int:
        return os.write(fd, b"".join(parts)[:7])

    monkeypatch.setattr(os, "copy_file_range", cannot)
    monkeypatch.setattr(os, "writev", short)
    source = OsDisk().create(str(tmp_path / "source"), EXTENT_BYTES_MIN)
    source.buffer[:] = b"0123456789abcdef" * (source.size // 16)
    parts: list[Part] = [b"abc", b"", b"defghijkl", Extent(source, 0, source.size), b"m" * 20]
    OsDisk().write(str(tmp_path / "a"), parts)
    assert (tmp_path / "a").read_bytes() == b"abcdefghijkl" + bytes(source.buffer) + b"m" * 20


def test_a_written_file_survives_with_its_name_only() -> None:
    """The simulated disk: contents are durable on return, the name after the directory's sync; before, a crash may lose it."""
    seen = set()
    for seed in range(40):
        disk = SimDisk(Random(seed))
        disk.write("d/a", [b"whole" * 500])
        if seed % 2:
            disk.sync_directory("d")
        disk.crash()
        seen.add((seed % 2, disk.read("d/a") == b"whole" * 500 if disk.exists("d/a") else None))
    assert seen == {(0, None), (0, True), (1, True)}


def test_a_missing_file_is_not_found(place: Place) -> None:
    for access in (place.disk.open, place.disk.read):
        with pytest.raises(FileNotFoundError):
            access(f"{place.directory}/none")


def test_a_mapping_outlives_the_name(place: Place) -> None:
    """A dropped segment may still be in an outgoing frame."""
    file = place.disk.create(f"{place.directory}/a", 4096)
    file.buffer[:3] = b"abc"
    window = file.buffer[:3]
    place.disk.remove(f"{place.directory}/a")
    del file
    assert bytes(window) == b"abc"


def test_a_full_disk_is_no_space_and_leaves_nothing(tmp_path: Path) -> None:
    too_large = 1 << 55
    with pytest.raises((NoSpace, StorageFailed)):
        OsDisk().create(str(tmp_path / "a"), too_large)
    assert os.listdir(tmp_path) == []
    with pytest.raises(NoSpace):
        SimDisk(Random(1), capacity=100).create("a", 101)


def test_enospc_is_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpace):
        OsDisk().create(str(tmp_path / "a"), 4096)
    assert os.listdir(tmp_path) == []


def test_a_failed_sync_is_storage_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica must stop: the same file is never synced again hoping for the best."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    file = OsDisk().create(str(tmp_path / "a"), 4096)
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(StorageFailed, match="a: fdatasync failed"):
        file.sync()


def test_unsynced_blocks_may_vanish_and_synced_ones_may_not() -> None:
    """The simulated disk itself: over many crashes each unsynced block is seen in both states."""
    states = set()
    for seed in range(50):
        disk = SimDisk(Random(seed))
        file = disk.create("d/a", 2048)
        file.buffer[0:4] = b"sync"
        file.sync()
        disk.sync_directory("d")
        file.buffer[512:516] = b"lost"
        file.buffer[1024:1028] = b"lost"
        disk.crash()
        data = disk.read("d/a")
        assert data[:4] == b"sync"
        states.add((data[512:516], data[1024:1028]))
    assert len(states) == 4


def test_a_second_process_is_told_the_first_ones_pid(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(str(tmp_path))
    code = (
        "import sys\nfrom ocelog.log.files import DirectoryLock\nfrom ocelog.log.errors import DirectoryInUse\n"
        "try: DirectoryLock.acquire(sys.argv[1])\nexcept DirectoryInUse as e: print(e.pid, e.exit_code)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(os.getpid()), "73"]
    lock.release()


def test_a_released_directory_may_be_taken_again(tmp_path: Path) -> None:
    first = DirectoryLock.acquire(str(tmp_path))
    with pytest.raises(DirectoryInUse, match=str(os.getpid())):
        DirectoryLock.acquire(str(tmp_path))
    first.release()
    DirectoryLock.acquire(str(tmp_path)).release()
