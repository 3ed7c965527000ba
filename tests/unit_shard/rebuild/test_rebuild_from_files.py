"""The property through the real log: snapshot files, rewritten segments, installs, and a start from what is on the disk.

Segments are tiny, so that a history of a few dozen entries closes, rewrites and combines many of them.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from ocelog.client.protocol import operations
from ocelog.log.entry import RELEASE
from ocelog.log.liveness import Frozen
from ocelog.log.snapshot import Snapshot as SnapshotFile
from ocelog.log.snapshot import SnapshotHead, write_snapshot
from ocelog.shard.restoring import Restoring

from tests.simulation.disk import SimDisk
from tests.unit_log.history_driver import SHARD, compact, install, stage
from tests.unit_log.log_driver import open_log, sync

from .drawing import draw_steps
from .histories import AuditedExecutor, History, Snapshot, facts_of
from .machines import MACHINES

SEEDS = 60
CHUNK = 20


class Replica:
    """A log on a disk, and the state of it: started from the disk, however often."""

    def __init__(self, disk: SimDisk, directory: str, random: Random) -> None:
        self.disk, self.directory, self.random = disk, directory, random
        disk.make_directory(directory)
        self.log = open_log(disk, directory)
        self.executor = AuditedExecutor(MACHINES)
        self.frozen: Frozen | None = None

    def follow(self, history: History, last: int | None = None) -> None:
        """Append and apply what the history has and this replica lacks."""
        first = self.log.last_index + 1
        last = history.last_index if last is None else last
        for index in range(first, last + 1):
            entry = history.log[index]
            self.log.append_batch(index, entry, np.array([len(entry)], np.uint32), ((index, 1),))
        self.apply()
        sync(self.log)

    def apply(self) -> None:
        """Apply all of the log, and tell it what was released."""
        for buffer, offsets in self.log.runs(self.executor.applied_index + 1, self.log.last_index):
            self.executor.apply(buffer, offsets)
            modes = {int.from_bytes(buffer[at + 8 : at + 16], "little"): buffer[at + 21] for at in offsets}
            self.executor.live |= {index for index, mode in modes.items() if mode == RELEASE}
            released = self.executor.take_released()
            self.executor.live.difference_update(released)
            self.log.release(released)
        self.executor.forget_moved()
        assert set(self.log.live_indexes().tolist()) == self.executor.live

    def publish(self, snapshot: Snapshot) -> None:
        """Write the snapshot's file, in which the live set is the log's own, and clean the log by it."""
        capture, log = snapshot.capture, self.log
        assert capture.index == self.executor.applied_index
        frozen = log.freeze(capture.index)
        assert set(frozen.live().tolist()) == snapshot.live
        while not capture.step():
            pass
        generation = log.new_generation()
        path = log.snapshot_path(capture.index, generation)
        head = SnapshotHead(
            shard=SHARD,
            index=capture.index,
            term=1,
            time=capture.time,
            digest=capture.digest,
            configuration=b"",
        )
        write_snapshot(self.disk, path, head, frozen.live(), capture.pieces)
        log.publish_snapshot(SnapshotFile.open(self.disk, path, SHARD), generation)
        sync(log)
        self.frozen = frozen

    def clean(self) -> None:
        """Some compaction by the newest snapshot."""
        if self.random.random() < 0.8 and self.frozen is not None:
            compact(self.disk, self.directory, self.log, self.frozen, major=self.random.random() < 0.5)
            sync(self.log)

    def start(self) -> int:
        """Start again from the disk; returns S, up to which the state was rebuilt and not applied."""
        self.log = open_log(self.disk, self.directory)
        return self.rebuild()

    def rebuild(self) -> int:
        """The state out of the log's own snapshot and live entries, and then out of what follows."""
        self.executor = AuditedExecutor(MACHINES)
        snapshot = self.log.snapshot
        if snapshot is not None:
            restoring = Restoring(self.executor, snapshot.head.index)
            for piece in snapshot.pieces():
                restoring.install(piece)
            last = 0
            while True:
                runs, last = self.log.live_runs(snapshot.live, last, self.random.randint(1, 9))
                if not runs:
                    break
                for buffer, offsets in runs:
                    restoring.restore(buffer, offsets)
            restoring.finish()
            assert restoring.restored == len(snapshot.live)
            assert (self.executor.time, self.executor.digest) == (snapshot.head.time, snapshot.head.digest)
            self.executor.live = set(snapshot.live.tolist())
            for index in self.executor.live:
                self.executor.owners[index] = operations.decode(self.log.entry(index).payload)[0]
        applied = self.executor.applied_index
        self.apply()
        return applied


class Reached(NamedTuple):
    """How far a run went: entries that a start had not to apply, up to where the log has holes, whether it was installed."""

    rebuilt: int
    dense_index: int
    installed: bool


def run(seed: int) -> Reached:
    """One history on two replicas, the second of which lags and may be sent an install."""
    random = Random(seed)
    disk = SimDisk(Random(seed))
    history = History()
    leader, other = (Replica(disk, name, random) for name in ("leader", "other"))
    rebuilt = 0
    for _ in range(random.randint(1, 4)):
        history.run([*draw_steps(random, random.randint(1, 40)), ("noop",)])
        leader.follow(history)
        if random.random() < 0.7:
            other.follow(history, random.randint(other.log.last_index, history.last_index))
        leader.publish(history.snapshot())
        history.run(draw_steps(random, random.randint(0, 15)))
        leader.follow(history)
        leader.clean()
        rebuilt += leader.start()
        assert facts_of(leader.executor) == history.facts()
    log = leader.log
    assert log.snapshot is not None
    installed = other.log.last_index < log.snapshot_index
    if installed:
        staging = stage(disk, "other", other.log, log, other.log.last_index, chunk_bytes=100)
        install(other.log, staging)
        rebuilt += other.rebuild()
        other.follow(history)
        assert facts_of(other.executor) == history.facts()
    return Reached(rebuilt, log.dense_index, installed)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_start_from_the_disk_gives_the_same_state(first: int) -> None:
    """And the runs go where it is difficult."""
    reached = [run(seed) for seed in range(first, first + CHUNK)]
    assert sum(each.rebuilt for each in reached) > 40 * CHUNK
    assert sum(each.dense_index > 0 for each in reached) > CHUNK // 2
    assert sum(each.installed for each in reached) > CHUNK // 4


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 6000, 500))
def test_many_starts_from_the_disk_give_the_same_state(first: int) -> None:
    """The same for longer."""
    for seed in range(first, first + 500):
        run(seed)
