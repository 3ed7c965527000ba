"""A file system of its own whose power can be cut: what was not synced is lost, as it is not when a process is killed.

    disk = PowerDisk(Path("image"), Path("directory"))
    disk.cut()         # nothing reaches the disk any more, not even what the kernel had still to write
    disk.restore()     # what there is after the reboot; nobody may have a file of it open any more
    disk.close()

It is ext4 on a loop device. Its own ioctl shuts it down without writing pages or journal, which is what its developers test
with; mounting it again replays the journal. What a disk's own cache would lose after it was told to flush is not lost here.
Takes root, and a name in the machine's table of mounts until it is closed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

DISK_BYTES = 64 << 20
TOOL_S_MAX = 30.0
FREE_S_MAX = 15.0
"""So long is waited for the last process to let go of its files."""

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN"""
WITHOUT_FLUSHING = struct.pack("I", 2)


class NoPower(Exception):
    """This machine cannot have such a disk, or it could not be mounted again; the text says why."""

    exit_code = os.EX_UNAVAILABLE


class PowerDisk:
    """`image` is made, and mounted at `directory`, which has to be there and empty. Raises NoPower."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self.directory = directory
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        _do(["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", str(image)])
        self._mount()
        directory.joinpath("lost+found").rmdir()
        directory.chmod(0o700)

    def _mount(self) -> None:
        _do(["mount", "-o", "loop", str(self._image), str(self.directory)])

    def cut(self) -> None:
        """Whatever is written or synced from now on is an error or is lost."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_FLUSHING)
        finally:
            os.close(descriptor)

    def restore(self) -> None:
        """Mount what was on the disk. Raises NoPower when somebody keeps a file of it open."""
        deadline = time.monotonic() + FREE_S_MAX
        while True:
            try:
                _do(["umount", str(self.directory)])
                break
            except NoPower:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
        self._mount()

    def close(self) -> None:
        """Unmount it for good, whoever uses it, and remove its image."""
        subprocess.run(["umount", "-l", str(self.directory)], capture_output=True, timeout=TOOL_S_MAX, check=False)
        self._image.unlink(missing_ok=True)


def _do(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_S_MAX, check=False)
    except FileNotFoundError:
        raise NoPower(f"{command[0]} is not on the PATH") from None
    if done.returncode:
        raise NoPower(f"{command[0]} fails: {done.stderr.strip() or 'it does not say why'}")
