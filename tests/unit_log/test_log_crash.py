"""Power fails before every single operation of a scenario with rollover, truncation and restarts.

Whatever the disk kept: everything that was reported synced is there, nothing is there that was not appended, and the log goes on.
"""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from ocelog.log.log import Log

from tests.simulation.disk import SimDisk

from .log_driver import Held, append, held, open_log, sync


class PowerLoss(Exception):
    """Raised by the disk in the middle of things."""


class Story:
    """What the log was told, and what it answered, up to the power loss."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.entries: Held = []
        self.synced: Held = []
        self.before_truncation: Held | None = None

    def append(self, log: Log, term: int, count: int, size: int) -> None:
        payloads = [b"%d/%d" % (term, number) + bytes(size) for number in range(count)]
        first = log.last_index + 1
        self.entries += [(first + number, term, payload) for number, payload in enumerate(payloads)]
        append(log, term, *payloads)

    def sync(self, log: Log) -> None:
        sync(log)
        self.synced = self.entries[: log.synced_index]
        self.before_truncation = None

    def truncate(self, log: Log, last: int) -> None:
        self.before_truncation = list(self.entries)
        self.synced = self.synced[:last]
        del self.entries[last:]
        log.truncate(last)

    def tell(self) -> None:
        log = open_log(self.disk, "r")
        self.append(log, 1, 3, 10)
        self.sync(log)
        self.append(log, 1, 9, 100)
        self.sync(log)
        self.append(log, 2, 1, 5)
        self.truncate(log, 8)
        self.append(log, 3, 4, 900)
        self.sync(log)
        self.append(log, 3, 2, 10)
        log = open_log(self.disk, "r")
        self.sync(log)
        self.truncate(log, 5)
        self.sync(log)
        self.append(log, 4, 12, 20)
        self.sync(log)
        self.append(log, 4, 3, 20)

    def check(self) -> None:
        found = held(log := open_log(self.disk, "r"))
        assert found[: len(self.synced)] == self.synced, "what was reported synced is lost"
        possible = [self.entries, *([self.before_truncation] if self.before_truncation is not None else [])]
        assert any(found == entries[: len(found)] for entries in possible), "something is there that was not appended"
        append(log, 9, b"goes on")
        assert sync(log) == len(found) + 1
        self.disk.crash()
        assert held(open_log(self.disk, "r")) == [*found, (len(found) + 1, 9, b"goes on")]


def _operations(seed: int) -> int:
    count = 0

    def hook(_: str) -> None:
        nonlocal count
        count += 1

    Story(SimDisk(Random(seed), operation_hook=hook)).tell()
    return count


@pytest.mark.parametrize("seed", range(4))
def test_power_fails_before_every_operation(seed: int) -> None:
    total = _operations(seed)
    assert total > 50, f"the scenario has only {total} operations"
    for point in range(total + 1):
        left = point

        def hook(_: str) -> None:
            nonlocal left
            if left == 0:
                raise PowerLoss
            left -= 1

        disk = SimDisk(Random(1000 * seed + point), operation_hook=hook)
        story = Story(disk)
        with contextlib.suppress(PowerLoss):
            story.tell()
        disk.operation_hook = None
        disk.crash()
        try:
            story.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}, power lost before operation {point}: {error}") from error
