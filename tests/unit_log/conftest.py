"""Both disks: what holds on the real file system must hold on the simulated one, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from ocelog.log.files import Disk, OsDisk

from tests.simulation.disk import SimDisk


@dataclass(frozen=True)
class Place:
    """A disk and an empty directory on it."""

    disk: Disk
    directory: str


@pytest.fixture(params=["os", "sim"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty directory on each kind of disk."""
    disk: Disk = OsDisk() if request.param == "os" else SimDisk(Random(1))
    directory = str(tmp_path / "replica-0")
    disk.make_directory(directory)
    return Place(disk, directory)
