"""A file that stays allocated, so that a full disk has room for what makes room: votes, manifests, snapshots and compaction.

Used from the loop and from the sync thread; every step is one call to the file system, and a file that is gone already is no
error.
"""

from __future__ import annotations

import logging

from .errors import NoSpace
from .files import Disk

logger = logging.getLogger(__name__)

NAME = "reserve"


class Reserve:
    """`size` bytes in a file of `directory`, none if 0. `wanted`: the file is not there, and nobody needs its room just now."""

    def __init__(self, disk: Disk, directory: str, size: int) -> None:
        self._disk = disk
        self._path = f"{directory}/{NAME}"
        self._size = size
        if disk.exists(self._path) and disk.open(self._path).size != size:
            disk.remove(self._path)
        self.wanted = size > 0 and not disk.exists(self._path)

    def use(self) -> bool:
        """Give its room back to the disk, until `want` is called; False when there is none to give."""
        self.wanted = False
        try:
            self._disk.remove(self._path)
        except FileNotFoundError:
            return False
        logger.warning("%s: the disk is full, the room in reserve is used now", self._path)
        return True

    def want(self) -> None:
        """Whoever used the room is done: allocate it again when `renew` can."""
        self.wanted = self._size > 0 and not self._disk.exists(self._path)

    def renew(self) -> None:
        """Allocate it again if it is wanted and there is room; else it stays wanted."""
        # Asked first, since failing to allocate takes a disk much longer.
        if self.wanted and self._disk.free_bytes(self._path.rpartition("/")[0]) >= self._size:
            try:
                self._disk.create(self._path, self._size)
            except NoSpace:
                return
            self.wanted = False

    def replace(self, path: str, data: bytes) -> None:
        """Replace a small file, with the reserve's room if there is no other. Raises StorageFailed, NoSpace."""
        try:
            self._disk.replace(path, data)
        except NoSpace:
            if not self.use():
                raise
            self._disk.replace(path, data)
            self.want()
