"""Power fails after every file operation of a scenario with rollover, truncation, minor and major compaction, snapshots and
installs; of what was not synced then, every subset is lost.

Whatever the disk kept: the log is a complete old one or a complete new one, with everything that was reported synced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain, combinations
from random import Random
from typing import NamedTuple

import pytest
from ocelog.log.durability import Durability
from ocelog.log.entry import RELEASE
from ocelog.log.errors import LogError
from ocelog.log.log import Log
from ocelog.log.segments import Segments
from ocelog.log.staging import Staging

from tests.simulation.breaking import Edit, Mutant, broken
from tests.simulation.disk import Block, SimDisk

from .history_driver import install, planned, present, rewritten, snapshot, stage, synced, write
from .log_driver import TIME_MS, TINY, Held, held, open_log, record, sync

BLOCKS_MAX = 8
"""Of so many unsynced blocks every subset is tried; of more, those of so many, with all others kept and with all others lost."""


class PowerLoss(Exception):
    """Raised by the disk in the middle of things."""


class Known(NamedTuple):
    """A complete log: S and the live set there, D, which entries at or below D were there; and all entries, compacted or not."""

    snapshot_index: int
    live: tuple[int, ...]
    dense_index: int
    low: tuple[int, ...]
    entries: Held
    durable: int
    """What of it was reported as synced, and has to be there if this is what is found."""


class Story:
    """What the log was told, and what it answered, up to the power loss."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.log: Log
        self.entries: Held = []
        self.removed: set[int] = set()
        self.live: tuple[int, ...] = ()
        self.named = self.dense = self.durable = 0
        self.known: list[Known] = []
        self.titles: list[str] = []
        self.open()

    def open(self) -> None:
        """A process that was killed may lose what was not synced, if it was in a new segment; what is found is durable."""
        self.titles.append("open")
        self._know()
        self.log = open_log(self.disk, "r")
        assert self.durable <= self.log.last_index
        self.durable = self.log.last_index
        del self.entries[self.durable :]
        self.known.clear()
        self._know()

    def _know(self) -> None:
        low = tuple(index for index in range(1, self.dense + 1) if index not in self.removed)
        self.known.append(Known(self.named, self.live, self.dense, low, list(self.entries), self.durable))

    def append(self, term: int, count: int, size: int = 40) -> None:
        self.titles.append("append")
        first = len(self.entries) + 1
        added = [(first + number, term, b"%d/%d" % (term, first + number) + bytes(size)) for number in range(count)]
        self.entries += added
        self._know()
        self.log.append(term, TIME_MS, [record(payload, RELEASE) for _, _, payload in added])

    def truncate(self, last: int) -> None:
        del self.entries[last:]
        self.durable = min(self.durable, last)
        # The old log may still be found, but what was truncated is owed to nobody any more.
        self.known = [known._replace(durable=min(known.durable, last)) for known in self.known]
        self._know()
        self.log.truncate(last)

    def sync(self) -> None:
        self.titles.append("sync")
        self.durable = sync(self.log)
        self.known.clear()
        self._know()

    def release(self, *indexes: int) -> None:
        self.log.release(indexes)

    def snapshot(self, index: int) -> None:
        """Taken and made to count, with entries coming meanwhile."""
        self.titles.append("snapshot")
        frozen = self.log.freeze(index)
        self.append(self.log.last_term, 1)
        made = write(self.disk, self.log, index, frozen)
        self.log.publish_snapshot(*made)
        self.named, self.live = index, tuple(frozen.live().tolist())
        self._know()
        self.sync()

    def compact(self, *, major: bool) -> None:
        self.titles.append("major" if major else "minor")
        groups = planned(self.log, self.log.freeze(self.named), TINY, major=major)
        assert groups
        job = self.log.swap_job(rewritten(self.disk, "r", self.log, groups))
        self.append(self.log.last_term, 1)
        job.run()
        assert self.log.swap(job)
        for group in groups:
            covered = range(group.sources[0].first_index, (group.sources[-1].counts_to or 0) + 1)
            self.removed |= set(covered) - set(self.live)
            self.dense = max(self.dense, covered[-1])
        self._know()
        self.append(self.log.last_term, 1)
        self.sync()

    def install(self, leader: Log, entries: Held, from_index: int) -> None:
        self.titles.append("install")
        staging = stage(self.disk, "r", self.log, leader, from_index)
        live, index = tuple(staging.snapshot.live.tolist()), staging.snapshot_index
        kept = set(range(1, from_index + 1)) - self.removed
        low = tuple(sorted(kept | set(live)))
        self.known.append(Known(index, live, index, low, entries[:index], index))
        install(self.log, staging)
        self.entries = entries[:index]
        self.removed = set(range(1, index + 1)) - set(low)
        self.live, self.named, self.dense, self.durable = live, index, index, index
        self.known.clear()
        self._know()

    def check(self, disk: SimDisk) -> Log:
        """A complete old or new log, with everything that was reported synced."""
        log = open_log(disk, "r")
        live = () if log.snapshot is None else tuple(log.snapshot.live.tolist())
        low = tuple(index for index, _, _ in present(log) if index <= log.dense_index)
        found = (log.snapshot_index, live, log.dense_index, low)
        logs = [known for known in self.known if known[:4] == found]
        assert logs, f"S, live set, D, entries below it are {found}: no log that ever was"
        dense = held(log)
        assert log.last_index >= max(log.snapshot_index, min(known.durable for known in logs)), (
            "synced entries are lost"
        )
        assert any(
            known.entries[log.dense_index : log.last_index] == dense
            for known in self.known
            if len(known.entries) >= log.last_index
        ), "something is there that was not appended"
        texts = {index: payload for known in logs for index, _, payload in known.entries}
        assert all(texts[index] == payload for index, _, payload in present(log) if index <= log.dense_index)
        assert set(log.live_indexes().tolist()) == {*live, *range(log.snapshot_index + 1, log.last_index + 1)}
        return log


def leader_of(entries: Held, extra: int, released: set[int], snapshot_index: int) -> tuple[Log, Held]:
    """Another member's log: these entries and more of a higher term, compacted at `snapshot_index`."""
    disk = SimDisk(Random(3))
    log = open_log(disk, "leader")
    term = entries[-1][1] + 1
    first = len(entries) + 1
    entries = [*entries, *((index, term, b"leader %d" % index) for index in range(first, first + extra))]
    for _, each_term, payload in entries:
        log.append(each_term, TIME_MS, [record(payload, RELEASE)])
    log.release(sorted(index for index in released if index <= snapshot_index))
    frozen = synced(disk, log, snapshot_index)
    job = log.swap_job(rewritten(disk, "leader", log, planned(log, frozen, TINY, major=True)))
    job.run()
    assert log.swap(job)
    sync(log)
    return log, entries


def tell(story: Story) -> None:
    """The scenario."""
    story.append(1, 3)
    story.sync()
    story.append(1, 11, 250)
    story.sync()
    story.release(1, 2, 3, 4, 6, 7, 9)
    story.snapshot(12)
    story.compact(major=False)
    story.append(2, 2)
    story.truncate(16)
    story.append(3, 5, 700)
    story.sync()
    story.append(3, 2)
    story.open()
    story.sync()
    story.release(5, 13, 14, 16, 18)
    story.snapshot(19)
    story.snapshot(20)
    story.compact(major=True)
    story.append(4, 3)
    shared, released = story.entries[:22], {*range(1, 20), 24, 25} - {10}
    leader, entries = leader_of(shared, 9, released, 29)
    story.install(leader, entries, 22)
    story.append(5, 6, 500)
    story.sync()
    story.release(21, 30)
    story.snapshot(33)
    story.compact(major=True)
    leader, entries = leader_of(story.entries[:34], 8, {*range(1, 37)} - {26}, 40)
    story.install(leader, entries, 0)
    story.append(7, 2, 900)
    story.sync()
    story.append(7, 1)


def operations() -> list[str]:
    """The file operations of the scenario, in order, and what it did in it."""
    found: list[str] = []
    story = Story(SimDisk(Random(0), operation_hook=found.append))
    tell(story)
    assert {"minor", "major", "snapshot", "install"} <= set(story.titles)
    return found


TOTAL = len(operations())


def subsets(blocks: list[Block], rng: Random) -> Iterator[tuple[Block, ...]]:
    """Which of the unsynced blocks are lost: every subset of up to BLOCKS_MAX of them."""
    chosen = blocks if len(blocks) <= BLOCKS_MAX else rng.sample(blocks, BLOCKS_MAX)
    others = tuple(block for block in blocks if block not in chosen)
    for lost in chain.from_iterable(combinations(chosen, count) for count in range(len(chosen) + 1)):
        yield lost
        if others:
            yield (*lost, *others)


def told_until(point: int) -> tuple[Story | None, SimDisk]:
    """The story up to just after its operation number `point`; None when it had not yet begun."""
    left = point
    story: list[Story] = []

    def hook(_: str) -> None:
        nonlocal left
        if left == 0:
            raise PowerLoss
        left -= 1

    disk = SimDisk(Random(point), operation_hook=hook)

    class Begun(Story):
        def open(self) -> None:
            story[:] = [self]
            super().open()

    with contextlib.suppress(PowerLoss):
        tell(Begun(disk))
    disk.operation_hook = None
    return story[0], disk


def check_power_loss_at(point: int) -> int:
    """Every way to lose power there; returns how many."""
    story, disk = told_until(point)
    assert story is not None
    blocks, directories = disk.unsynced_blocks(), disk.unsynced_directories()
    ways = 0
    for lost in subsets(blocks, Random(point)):
        for set_back in chain.from_iterable(combinations(directories, count) for count in range(len(directories) + 1)):
            ways += 1
            kept = disk.after_power_loss(lost, set_back)
            try:
                log = story.check(kept)
                if ways % 16 == 1:
                    goes_on(kept, log)
            except Exception as error:
                error.add_note(f"power lost before operation {point}, without {lost}, names set back in {set_back}")
                raise
    return ways


def goes_on(disk: SimDisk, log: Log) -> None:
    """What was recovered takes entries and snapshots, and is found again after the next power loss."""
    before, index = present(log), log.last_index
    log.append(99, TIME_MS, [record(b"goes on", RELEASE)])
    assert sync(log) == index + 1
    snapshot(disk, log, index + 1)
    sync(log)
    disk.crash()
    again = open_log(disk, "r")
    assert present(again) == [*before, (index + 1, 99, b"goes on")]
    assert again.snapshot_index == index + 1


@pytest.mark.parametrize("part", range(8))
def test_power_fails_after_every_operation(part: int) -> None:
    assert TOTAL > 150, f"the scenario has only {TOTAL} operations"
    for point in range(part, TOTAL + 1, 8):
        check_power_loss_at(point)


BREAKS = (
    Mutant(
        "the manifest before the entries are synced",
        (
            Edit(
                Durability,
                "job",
                "steps.append(self._manifest_step(manifest.encode(), snapshot is not None))",
                "steps.insert(0, self._manifest_step(manifest.encode(), snapshot is not None))",
            ),
        ),
        (),
    ),
    Mutant(
        "old files go before the manifest without them is durable",
        (
            Edit(
                Durability,
                "job",
                "steps += [self._remove_step(path) for path in old_files]",
                "steps[0:0] = [self._remove_step(path) for path in old_files]",
            ),
        ),
        (),
    ),
    Mutant(
        "names of segments are not synced",
        (Edit(Durability, "_manifest_step", 'disk.sync_directory(f"{directory}/log")', "pass"),),
        (),
    ),
    Mutant(
        "names of snapshots are not synced",
        (Edit(Durability, "_manifest_step", 'disk.sync_directory(f"{directory}/snapshots")', "pass"),),
        (),
    ),
    Mutant("staged segments are not synced", (Edit(Staging, "finish", "segment.file.sync()", "pass"),), ()),
    Mutant("a staged snapshot is not synced", (Edit(Staging, "finish", "self._file.sync()", "pass"),), ()),
    Mutant(
        "what is kept by an install is not cut",
        (Edit(Log, "install", "min(segment.last_index, kept_to)", "segment.last_index"),),
        (),
    ),
    Mutant(
        "a snapshot counts before the job that publishes it is done",
        (
            Edit(
                Durability,
                "job",
                "old_files += self._dropped",
                "old_files += [snapshot.path] if snapshot is not None else []; old_files += self._dropped",
            ),
        ),
        (),
    ),
    Mutant(
        "released bits are not taken from the snapshot",
        (Edit(Segments, "adopt_live_set", "segment.released[rows] = False", "pass"),),
        (),
    ),
    Mutant(
        "D does not rise",
        (Edit(Log, "swap", "if dense_index > self.dense_index:", "if False:"),),
        (),
    ),
)


@pytest.mark.parametrize("mutant", BREAKS, ids=lambda mutant: mutant.title)
def test_a_break_is_caught(mutant: Mutant) -> None:
    """What this test is for: each of these rules, broken, fails it."""
    with broken(mutant):
        try:
            for point in range(TOTAL + 1):
                check_power_loss_at(point)
        except (AssertionError, LogError):
            return
    pytest.fail(f"{mutant.title}: not caught")
