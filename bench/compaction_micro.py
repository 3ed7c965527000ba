"""What compaction can do: `python -m ocelog.bench.compaction_micro [--entries N] [--rounds N] [--directory DIR]`.

Plans (entries per second), releases (microseconds per entry, in batches as a turn makes them), and rewrites segments of
100-byte commands at several live shares (MB of live entries per second), with and without verifying them, alternating
in the same run with a copy of the same number of bytes by `shutil.copyfile` and a sync, as `cp` would do it. What
compaction asks of the loop is `pause_micro`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from ..log.compaction import SegmentStats, keep_mask, live_bytes, plan, within
from ..log.compaction_request import CompactionGroup, CompactionRequest
from ..log.compactor import rewrite_groups
from ..log.entry import COMMAND, RELEASE, Record, padded
from ..log.files import OsDisk
from ..log.log import Log, LogConfig
from ..log.manifest import SegmentRecord
from ..log.segment import ENTRIES_START, Indexes
from ..log.snapshot import SnapshotHead, write_snapshot

PAYLOAD = b"x" * 100
TURN = 500
TIME_MS = 1_700_000_000_000
SHARES = (0.1, 0.5, 0.9)
RELEASED_PER_TURN = (1, 16, 256)
NEVER = 1 << 62


def seconds_of(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def chosen(count: int, share: float, seed: int = 1) -> Indexes:
    """A live set: this share of the entries 1..count, at random."""
    return np.flatnonzero(np.random.default_rng(seed).random(count) < share).astype(np.uint64) + np.uint64(1)


class Bench:
    """A log of `entries` commands in `directory` and what is measured on it; every figure is a median of `rounds`."""

    def __init__(self, directory: str, entries: int, rounds: int) -> None:
        self.lines: list[str] = []
        self._directory = f"{directory}/replica"
        self._rounds = rounds
        self._disk = OsDisk()
        self._disk.make_directory(self._directory)
        self._log = Log.open(self._disk, self._directory, shard=0, config=LogConfig())
        records: list[Record] = [(COMMAND, RELEASE, 1, 2, number, PAYLOAD) for number in range(TURN)]
        for _ in range(entries // TURN):
            self._log.append(1, TIME_MS, records)
        job = self._log.sync_job()
        assert job is not None
        job.run()
        self._log.sync_done(job)

    def run(self) -> None:
        """Measure all of it."""
        self._plan()
        for share in SHARES:
            self._rewrite(share)
        self._release()

    def _say(self, name: str, values: Iterable[float], unit: str) -> None:
        listed = sorted(values)
        middle = statistics.median(listed)
        digits = 3 if middle < 10 else 1
        spread = f"{listed[0]:.{digits}f} to {listed[-1]:.{digits}f}"
        self.lines.append(f"{name:50} {middle:12.{digits}f} {unit:14} ({spread})")

    # -- planning ------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """The part per entry, on a dense segment and on one that was rewritten, and the part per segment."""
        count = 1 << 20
        offset = ENTRIES_START + padded(len(PAYLOAD)) * np.arange(count, dtype=np.uint32)
        mode = np.full(count, RELEASE, np.uint8)
        dense = np.arange(1, count + 1, dtype=np.uint64)
        sparse = np.cumsum(np.random.default_rng(2).integers(1, 20, count).astype(np.uint64), dtype=np.uint64)
        for name, index in (("dense", dense), ("rewritten", sparse)):
            live = index[np.random.default_rng(3).random(count) < 0.5]

            def judge(index: Indexes = index, live: Indexes = live) -> None:
                keep = keep_mask(index, mode, within(live, int(index[0]), int(index[-1])), NEVER >> 1)
                live_bytes(keep, offset, ENTRIES_START + padded(len(PAYLOAD)) * count)

            seconds = [seconds_of(judge) for _ in range(self._rounds)]
            self._say(f"plan, entries of a {name} segment", (count / s / 1e6 for s in seconds), "million/s")
        stats = _stats_of(1000)
        for major in (False, True):
            seconds = [seconds_of(partial(_planned, stats, major)) for _ in range(self._rounds)]
            name = f"plan, {'major' if major else 'minor'}, 1000 segments"
            self._say(name, (s * 1e3 for s in seconds), "ms")

    # -- rewriting -----------------------------------------------------------------------------------

    def _rewrite(self, share: float) -> None:
        """Rewrite every sealed segment on its own, and copy as many bytes, in turn."""
        sealed = self._log.freeze(self._log.last_index).stats()
        assert len(sealed), "no segment is full: more --entries"
        columns = (sealed.first_index, sealed.generation, sealed.version, sealed.last_index)
        sources = [SegmentRecord(*map(int, row)) for row in zip(*columns, strict=True)]
        last = int(sealed.last_index[-1])
        head = SnapshotHead(shard=0, index=last, term=1, time=TIME_MS, digest=b"", configuration=b"")
        path = f"{self._directory}/snapshots/{share}.snap"
        write_snapshot(self._disk, path, head, chosen(last, share), [])
        rates: dict[str, list[float]] = {"verified": [], "not verified": [], "copied": []}
        for _ in range(self._rounds):
            size = 0
            for name, verify in (("verified", True), ("not verified", False)):
                size, seconds = self._rewritten(path, sources, verify)
                rates[name].append(size / seconds / 1e6)
            rates["copied"].append(self._copied(sources[0], size))
        for name, values in rates.items():
            what = (
                f"rewrite, {share:.0%} live, {name}" if name != "copied" else f"copy and sync of as much, {share:.0%}"
            )
            self._say(what, values, "MB/s")
        self._disk.remove(path)

    def _rewritten(self, snapshot: str, sources: list[SegmentRecord], verify: bool) -> tuple[int, float]:
        """Bytes of live entries that were moved, and the seconds it took."""
        groups = tuple(CompactionGroup((source,), self._log.new_generation()) for source in sources)
        request = CompactionRequest(directory=self._directory, shard=0, snapshot_path=snapshot, groups=groups)
        began = time.perf_counter()
        results = list(rewrite_groups(self._disk, request, verify=verify))
        seconds = time.perf_counter() - began
        assert all(result.error is None for result in results), results
        for group in groups:
            self._disk.remove(f"{self._directory}/log/{group.target.file_name}")
        return sum(result.entries for result in results) * padded(len(PAYLOAD)), seconds

    def _copied(self, source: SegmentRecord, size: int) -> float:
        """MB/s of copying and syncing `size` bytes, a segment's file or what is left of `size` at a time."""
        path, copy = f"{self._directory}/log/{source.file_name}", f"{self._directory}/copy"
        whole, left, seconds = os.path.getsize(path), size, 0.0
        piece = f"{self._directory}/piece"
        while left > 0:
            taken = min(left, whole)
            with open(path, "rb") as file, open(piece, "wb") as part:
                part.write(file.read(taken))
            seconds += seconds_of(lambda: _copy_and_sync(piece, copy))
            os.unlink(copy)
            left -= taken
        os.unlink(piece)
        return size / seconds / 1e6

    # -- releasing -----------------------------------------------------------------------------------

    def _release(self) -> None:
        """Release entries all over the log, so many in each call; each once."""
        count = self._log.last_index // (2 * len(RELEASED_PER_TURN) * self._rounds)
        indexes = np.random.default_rng(4).permutation(self._log.last_index)[
            : count * len(RELEASED_PER_TURN) * self._rounds
        ]
        portions = iter((indexes + 1).reshape(-1, count).tolist())
        release = self._log.release
        for batch in RELEASED_PER_TURN:
            cost = []
            for _ in range(self._rounds):
                portion = next(portions)
                batches = [portion[start : start + batch] for start in range(0, count, batch)]
                began = time.perf_counter()
                for one in batches:
                    release(one)
                cost.append((time.perf_counter() - began) / count * 1e6)
            self._say(f"release, {batch} at a time, all over the log", cost, "us/entry")


def _copy_and_sync(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    descriptor = os.open(target, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def _stats_of(segments: int) -> SegmentStats:
    random = np.random.default_rng(5)
    entries = np.full(segments, 400_000, np.int64)
    live = random.integers(0, 400_000, segments)
    return SegmentStats(
        first_index=np.arange(segments) * 400_000 + 1,
        last_index=(np.arange(segments) + 1) * 400_000,
        generation=np.arange(segments),
        version=random.integers(1, 5, segments),
        entries=entries,
        live_entries=live,
        bytes=entries * 152,
        live_bytes=live * 152,
    )


def _planned(stats: SegmentStats, major: bool) -> None:
    plan(
        stats,
        snapshot_index=NEVER,
        needed_from=NEVER,
        threshold=0.5,
        segment_bytes_max=64 << 20,
        segment_entries_max=1 << 20,
        major=major,
    )


def main(argv: list[str] | None = None) -> int:
    """Measure in a temporary directory and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_500_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--directory", metavar="DIR", help="where to write (a temporary directory)")
    options = parser.parse_args(argv)
    directory = tempfile.mkdtemp(prefix="ocelog-compaction-", dir=options.directory)
    try:
        bench = Bench(directory, options.entries, options.rounds)
        bench.run()
    finally:
        shutil.rmtree(directory)
    sys.stdout.write(f"{'medians of ' + str(options.rounds) + ' rounds':50} (least to most)\n")
    sys.stdout.write("\n".join(bench.lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
