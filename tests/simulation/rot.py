"""Bit rot: one byte of one file changes on the disk, and for whoever has the file mapped.

What can be damaged is what a disk had for a while: closed segments, snapshots and the small files. The synced end of an open
segment is left out, which recovery cannot tell from a torn tail, and so are entries that a running replica has yet to apply:
those it has just received, in memory that no disk can damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from ocelog.log.errors import Corruption
from ocelog.log.manifest import NAME, Manifest

from .disk import SimDisk


class Damage(NamedTuple):
    """A byte of a file, and the wrong value that it has."""

    path: str
    offset: int
    wrong: int

    def lasts(self, disk: SimDisk) -> bool:
        """Whether the file still has it: it was neither repaired nor replaced nor removed."""
        file = disk.files.get(self.path)
        return file is not None and self.wrong in (*file.durable[self.offset :][:1], *file.data[self.offset :][:1])


def damage_something(disk: SimDisk, directory: str, rng: Random, *, applied_index: int | None) -> Damage | None:
    """Change one byte; None if there is nothing. `applied_index` is that of a running replica, None if it is down."""
    paths = sorted(_candidates(disk, directory, applied_index))
    if not paths:
        return None
    path = rng.choice(paths)
    return damage_at(disk, path, rng.randrange(disk.files[path].size), bit=rng.randrange(8))


def damage_at(disk: SimDisk, path: str, offset: int, *, bit: int = 0) -> Damage:
    """Change one bit of one byte."""
    file = disk.files[path]
    value = file.durable[offset]
    wrong = value ^ (1 << bit)
    file.durable = file.durable[:offset] + bytes([wrong]) + file.durable[offset + 1 :]
    if file.data[offset] == value:
        file.data[offset] = wrong
    return Damage(path, offset, wrong)


def _candidates(disk: SimDisk, directory: str, applied_index: int | None) -> Iterator[str]:
    if not disk.survives(f"{directory}/{NAME}"):
        return
    try:
        manifest = Manifest.decode(NAME, disk.durable_bytes(f"{directory}/{NAME}"))
    except Corruption:
        return
    paths = [f"{directory}/{name}" for name in (NAME, "identity", "meta.0", "meta.1")]
    if manifest.snapshot_name is not None:
        paths.append(f"{directory}/snapshots/{manifest.snapshot_name}")
    for record in manifest.segments:
        if record.counts_to is not None and (applied_index is None or record.counts_to <= applied_index):
            paths.append(f"{directory}/log/{record.file_name}")
    yield from (path for path in paths if path in disk.files and disk.survives(path))
