"""What cleaning the log asks of the loop: `python -m ocelog.bench.pause_micro [--entries N] [--directory DIR]`.

A log of N entries of 100 bytes, every second one released. On the loop are only the *freeze* (a copy of the released
bits at S) and the *swap* (the rewritten segments take over, with what was released meanwhile); what is done beside it
is shown too: the live set, the snapshot file, the rewriting and the opening of what was rewritten. One line each, in
milliseconds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..log.compaction import plan
from ..log.compaction_request import CompactionGroup, CompactionRequest
from ..log.compactor import rewrite
from ..log.entry import COMMAND, RELEASE, Record
from ..log.files import OsDisk
from ..log.liveness import Frozen
from ..log.log import Log, LogConfig
from ..log.manifest import SegmentRecord
from ..log.rewriting import Rewritten
from ..log.snapshot import Snapshot, SnapshotHead, write_snapshot

PAYLOAD = b"x" * 100
TURN = 500
TIME_MS = 1_700_000_000_000
NEVER = 1 << 62
SHARD = 0


class Cleaning:
    """One log and the steps of cleaning it; `milliseconds` by step, in their order."""

    def __init__(self, directory: str, entries: int) -> None:
        self.milliseconds: dict[str, float] = {}
        self._directory = directory
        self._disk = OsDisk()
        self._disk.make_directory(directory)
        # Every segment is sealed but the last one, which holds little.
        config = LogConfig(segment_entries_max=max(1, entries // 4))
        self._log = Log.open(self._disk, directory, shard=SHARD, config=config)
        records: list[Record] = [(COMMAND, RELEASE, 1, 2, number, PAYLOAD) for number in range(TURN)]
        for _ in range(entries // TURN):
            self._log.append(1, TIME_MS, records)
        self._sync()
        self._log.release(np.arange(1, self._log.last_index, 2, dtype=np.uint64))

    def run(self) -> None:
        """Freeze, write the snapshot, rewrite everything and swap."""
        log, index = self._log, self._log.last_index
        frozen: Frozen = self._timed("freeze, on the loop", lambda: log.freeze(index))
        live = self._timed("live set, beside it", frozen.live)
        generation = log.new_generation()
        path = log.snapshot_path(index, generation)
        head = SnapshotHead(shard=SHARD, index=index, term=1, time=TIME_MS, digest=b"", configuration=b"")
        self._timed("snapshot file, beside it", lambda: write_snapshot(self._disk, path, head, live, []))
        log.publish_snapshot(Snapshot.open(self._disk, path, SHARD), generation)
        self._sync()
        groups = self._timed("plan, beside it", lambda: self._groups(frozen))
        request = CompactionRequest(directory=self._directory, shard=SHARD, snapshot_path=path, groups=tuple(groups))
        done = self._timed("rewriting, another process", lambda: rewrite(self._disk, request))
        assert all(one.error is None for one in done.groups), done
        rewritten = [
            Rewritten(tuple(source.generation for source in group.sources), group.target if result.entries else None)
            for group, result in zip(groups, done.groups, strict=True)
        ]
        job = log.swap_job(rewritten)
        self._timed("opening the new files, beside it", job.run)
        assert self._timed("swap, on the loop", lambda: log.swap(job)), "the rewritten segments were not taken"
        self._timed("sync of the new manifest, beside it", self._sync)
        log.close()

    def _groups(self, frozen: Frozen) -> list[CompactionGroup]:
        stats, config = frozen.stats(), self._log.config
        groups = plan(
            stats,
            snapshot_index=frozen.index,
            needed_from=NEVER,
            threshold=0.5,
            segment_bytes_max=config.segment_bytes_max,
            segment_entries_max=config.segment_entries_max,
            major=True,
        )
        columns = (stats.first_index, stats.generation, stats.version, stats.last_index)
        records = [SegmentRecord(*map(int, row)) for row in zip(*columns, strict=True)]
        return [CompactionGroup(tuple(records[at] for at in group), self._log.new_generation()) for group in groups]

    def _sync(self) -> None:
        job = self._log.sync_job()
        if job is not None:
            job.run()
            self._log.sync_done(job)

    def _timed(self, name: str, action: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = action()
        self.milliseconds[name] = (time.perf_counter() - began) * 1e3
        return result


def main(argv: list[str] | None = None) -> int:
    """Measure in a temporary directory and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--directory", metavar="DIR", help="where to write (a temporary directory)")
    options = parser.parse_args(argv)
    directory = tempfile.mkdtemp(prefix="ocelog-pause-", dir=options.directory)
    try:
        cleaning = Cleaning(f"{directory}/replica", max(TURN, options.entries))
        cleaning.run()
    finally:
        shutil.rmtree(directory)
    lines = [f"{name:36} {milliseconds:10.3f} ms" for name, milliseconds in cleaning.milliseconds.items()]
    sys.stdout.write(f"{options.entries} entries, half of them released\n" + "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
