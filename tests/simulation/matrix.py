"""The corruption matrix: every combination of damage on three members, each healed from the others or rightly unavailable.

After Alagappan et al. (FAST 2018, "Protocol-Aware Recovery for Consensus-Based Storage"): of some entries that all three
members hold, any is damaged on any of them, which are all combinations; then the cluster starts. What is intact somewhere must
come back everywhere, what is intact nowhere must stop the shard, and nobody may ever be answered wrongly or lose what is
committed. The same with logs that have holes, and with whole files: snapshot, live set, manifest, term and vote, identity.

All checkers of the simulation watch each case, and whatever has not been damaged must still be there in the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from random import Random
from typing import NamedTuple

from ocelog.log.entry import HEADER_BYTES
from ocelog.log.log import Log
from ocelog.log.manifest import NAME as MANIFEST
from ocelog.log.segment import Segment
from ocelog.log.snapshot import HEAD, LIVE_SET, SECTION

from .host import DIRECTORY, Host
from .observer import segments_of
from .rot import damage_at
from .scheduler import SECOND
from .simulation import quiet
from .stage import NEVER_HAPPENS, Stage

MEMBERS = 3
PATIENCE = 6 * SECOND
"""Virtual time in which what can be repaired is; it takes one or two seconds."""

KEYS = [f"k{number}" for number in range(6)]

Places = tuple[str, ...]
"""What is damaged on one member, by name."""

Case = tuple[Places, ...]
"""What is damaged on each member."""

HARMLESS = frozenset({"term and vote, one copy", "rows"})
"""Damage that a member repairs by itself."""


class Ground(NamedTuple):
    """What the damage falls on: how many entries, whether the log has holes, and whether whole files are damaged, one each."""

    name: str
    entries: int
    holes: bool
    files: Places

    def cases(self) -> Iterator[Case]:
        """All of them."""
        if self.files:
            one = [(), *[(place,) for place in self.files]]
        else:
            names = [f"entry {number}" for number in range(self.entries)]
            one = [tuple(name for name, bad in zip(names, bits, strict=True) if bad) for bits in _bits(self.entries)]
        yield from product(one, repeat=MEMBERS)

    def count(self) -> int:
        """How many there are."""
        return ((1 + len(self.files)) if self.files else 1 << self.entries) ** MEMBERS


def _bits(count: int) -> Iterable[tuple[bool, ...]]:
    return product((False, True), repeat=count)


FILES: Places = (
    "entry 0",
    "entry 1",
    "the open segment",
    "rows",
    "head of a segment",
    "manifest",
    "snapshot",
    "live set",
    "term and vote",
    "term and vote, one copy",
    "identity",
)

GROUNDS = {
    ground.name: ground
    for ground in (
        Ground("entries", 4, False, ()),
        Ground("holes", 3, True, ()),
        Ground("files", 2, True, FILES),
    )
}


class Outcome(NamedTuple):
    """What became of a case, and what should have."""

    case: Case
    repaired: bool
    expected: bool
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it is as it should be."""
        return self.repaired == self.expected


def run_case(ground: Ground, case: Case) -> Outcome:
    """Damage the disks while all are down, start, and wait. Raises what a checker says, and AssertionError for a loss."""
    with quiet():
        stage = _prepared(ground)
        sites = [_sites(host, ground) for host in stage.hosts]
        for host in stage.hosts:
            host.kill(power_loss=True)
        for host, places, there in zip(stage.hosts, case, sites, strict=True):
            for place in places:
                for path, offset in there[place]:
                    host.note_rot(damage_at(host.disk, path, offset))
        began = stage.scheduler.now
        for host in stage.hosts:
            host.start()
        repaired = _settles(stage, case)
        took = (stage.scheduler.now - began) / SECOND
        if repaired:
            _reads_everything(stage)
        else:
            _keeps_everything(stage, case)
    return Outcome(case, repaired, recoverable(case), took)


def recoverable(case: Case) -> bool:
    """Whether the shard must go on: a majority keeps its log, and every entry is intact on somebody who does."""
    keeping = [places for places in case if all(place in HARMLESS or place.startswith("entry") for place in places)]
    entries = {place for places in case for place in places if place.startswith("entry")}
    everywhere = [place for place in entries if all(place in places for places in keeping)]
    return 2 * len(keeping) > MEMBERS and not everywhere


def _prepared(ground: Ground) -> Stage:
    stage = Stage()
    for key in KEYS:
        stage.put(key)
    stage.fill(1)
    if ground.holes:
        stage.fill(1)
        stage.compact()
        stage.put("last")
    stage.settle()
    return stage


def _sites(host: Host, ground: Ground) -> dict[str, list[tuple[str, int]]]:
    """Where on this member's disk each place is: path and offset, twice where there are two copies."""
    log = host.replica.log
    live = log.snapshot.live.tolist() if log.snapshot is not None else range(4, 4 + ground.entries)
    sites = {}
    for number, index in enumerate(live[: ground.entries]):
        segment = _segment_of(log, index)
        sites[f"entry {number}"] = [(segment.file.path, segment.offset_of(index) + HEADER_BYTES)]
    if not ground.files:
        return sites
    closed, open_segment = segments_of(log)[0], segments_of(log)[-1]
    assert log.snapshot is not None and closed.last_index <= log.dense_index < open_segment.first_index
    snapshot = log.snapshot.path
    assert open_segment.first_index <= log.snapshot_index, "it was synced so far, so that nothing torn can lie there"
    sites |= {
        "the open segment": [(open_segment.file.path, open_segment.offset_of(open_segment.first_index) + HEADER_BYTES)],
        "rows": [(closed.file.path, closed.end + 8)],
        "head of a segment": [(closed.file.path, 9)],
        "manifest": [(f"{DIRECTORY}/{MANIFEST}", 24)],
        "snapshot": [(snapshot, host.disk.files[snapshot].size - 60)],
        "live set": [(snapshot, _live_set(bytes(host.disk.files[snapshot].data)))],
        "term and vote": [(f"{DIRECTORY}/meta.0", 9), (f"{DIRECTORY}/meta.1", 9)],
        "term and vote, one copy": [(f"{DIRECTORY}/meta.0", 9)],
        "identity": [(f"{DIRECTORY}/identity", 40)],
    }
    return sites


def _segment_of(log: Log, index: int) -> Segment:
    return next(each for each in segments_of(log) if each.first_index <= index <= each.last_index)


def _live_set(data: bytes) -> int:
    """Where in a snapshot the live set begins."""
    at = HEAD.size
    while True:
        kind, _, length = SECTION.unpack_from(data, at)
        at += SECTION.size
        if kind == LIVE_SET:
            return at
        at += -(-length // 8) * 8


def _settles(stage: Stage, case: Case) -> bool:
    """Whether all go on within the time, with files that are sound again.

    Rows that are damaged stay until their segment is rewritten: the entries are read instead.
    """
    healed = [host for host, places in zip(stage.hosts, case, strict=True) if "rows" not in places]
    try:
        stage.run_until(lambda: stage.simulation.converged() and all(host.sound for host in healed), PATIENCE)
    except AssertionError as error:
        if str(error) != NEVER_HAPPENS:
            raise
        return False
    return True


def _reads_everything(stage: Stage) -> None:
    """Every key is there, and can be written; what it must be is the checkers' business."""
    for key in KEYS:
        assert stage.get("map", key.encode()) is not None, f"{key} is gone"
    stage.put("after")


def _keeps_everything(stage: Stage, case: Case) -> None:
    """Nobody who was not damaged beyond what peers can repair has lost anything, and nobody answers what he cannot know."""
    committed = len(stage.observer.committed)
    for host, places in zip(stage.hosts, case, strict=True):
        if all(place in HARMLESS or place.startswith("entry") for place in places):
            kept = len(stage.observer.durable[host.member])
            assert kept >= committed and host.member_incarnation == 1, (
                f"{host.name} has given up its log, {kept} entries"
            )


# -- campaigns -----------------------------------------------------------------------------------------


def sample(ground: Ground, count: int, seed: int = 1) -> list[Case]:
    """So many of the cases, the same ones each time; all of them if there are no more."""
    if count >= ground.count():
        return list(ground.cases())
    chosen = set(Random(seed).sample(range(ground.count()), count))
    return [case for number, case in enumerate(ground.cases()) if number in chosen]


def _run(name: str, case: Case) -> Outcome | str:
    try:
        return run_case(GROUNDS[name], case)
    except Exception as error:
        return f"{case}: {type(error).__name__}: {error}"


def run_matrix(*, everything: bool, jobs: int = 1) -> int:
    """All grounds, a sample of each or everything; prints what came of it, and returns the exit code."""
    bad = 0
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else None
    for ground in GROUNDS.values():
        began, counts = time.monotonic(), Counter[str]()
        cases = sample(ground, ground.count() if everything else SAMPLES[ground.name])
        judge = partial(_run, ground.name)
        slowest = 0.0
        for outcome in map(judge, cases) if pool is None else pool.map(judge, cases, chunksize=16):
            if isinstance(outcome, str) or not outcome.right:
                bad += 1
                print(f"{ground.name}: {outcome}", flush=True)
                continue
            counts["repaired" if outcome.repaired else "rightly unavailable"] += 1
            slowest = max(slowest, outcome.seconds if outcome.repaired else 0.0)
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(
            f"{ground.name}: {len(cases)} of {ground.count()} cases, {told}, the slowest after {slowest:.1f} s of virtual time; "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    if pool is not None:
        pool.shutdown()
    print(f"{bad} wrong")
    return 1 if bad else 0


SAMPLES = {"entries": 160, "holes": 60, "files": 160}
"""How many cases every run of the tests looks at."""
