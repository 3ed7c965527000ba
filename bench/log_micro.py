"""What the log costs: `python -m ocelog.bench.log_micro [--entries N] [--directory DIR]`.

Appends 100-byte entries as a leader and as a follower does, reads them in batches, walks them as the apply loop does, makes them
durable, and opens the log again. Prints one line per operation: microseconds per entry, and MB/s of entry bytes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from ..log.entry import COMMAND, RELEASE, Record, encode, padded
from ..log.files import OsDisk
from ..log.log import Log, LogConfig
from ..log.meta import Meta

PAYLOAD = b"x" * 100
TURN = 500
"""Records appended at once: about a busy leader's turn."""
BATCH_BYTES = 1 << 20
TIME_MS = 1_700_000_000_000


class Row(NamedTuple):
    """One measurement."""

    name: str
    entries: int
    seconds: float

    def __str__(self) -> str:
        micros = self.seconds / self.entries * 1e6
        rate = self.entries * padded(len(PAYLOAD)) / self.seconds / 1e6
        return (
            f"{self.name:28} {self.entries:>9} entries  {self.seconds:8.3f} s  {micros:8.3f} us/entry  {rate:8.0f} MB/s"
        )


def measure(directory: str, entries: int) -> list[Row]:
    """Run every measurement on fresh logs below `directory`."""
    turns = max(1, entries // TURN)
    total = turns * TURN
    records: list[Record] = [(COMMAND, RELEASE, 1, 2, number, PAYLOAD) for number in range(TURN)]
    rows = []

    def timed(name: str, action: Callable[[], object]) -> None:
        start = time.perf_counter()
        action()
        rows.append(Row(name, total, time.perf_counter() - start))

    leader, follower = _open(directory, "leader"), _open(directory, "follower")
    timed("encode", lambda: [encode(1, 1, TIME_MS, records) for _ in range(turns)])
    timed("append, 500 at a time", lambda: _append(leader, records, turns))
    timed("sync", lambda: _sync(leader))
    timed("read, 1 MiB at a time", lambda: _read(leader))
    timed("append_batch, 1 MiB at a time", lambda: _replicate(leader, follower))
    timed("runs, 4000 at a time", lambda: _walk(leader))
    timed("release, 500 at a time", lambda: _release(leader))
    timed("fit, 500 entries further", lambda: _fit(leader))
    timed("open", lambda: _open(directory, "leader"))
    return rows


def _open(directory: str, name: str) -> Log:
    disk = OsDisk()
    path = f"{directory}/{name}"
    disk.make_directory(path)
    Meta.load(disk, path)
    return Log.open(disk, path, shard=0, config=LogConfig())


def _append(log: Log, records: list[Record], turns: int) -> None:
    for _ in range(turns):
        log.append(1, TIME_MS, records)


def _sync(log: Log) -> None:
    job = log.sync_job()
    if job is not None:
        job.run()
        log.sync_done(job)


def _read(log: Log) -> None:
    first = 1
    while first <= log.last_index:
        first = log.read(first, log.last_index, BATCH_BYTES).last_index + 1


def _replicate(leader: Log, follower: Log) -> None:
    first = 1
    while first <= leader.last_index:
        batch = leader.read(first, leader.last_index, BATCH_BYTES)
        follower.append_batch(first, batch.data, batch.sizes, batch.terms)
        first = batch.last_index + 1


def _walk(log: Log) -> None:
    for first in range(1, log.last_index + 1, 4000):
        for _ in log.runs(first, min(first + 3999, log.last_index)):
            pass


def _release(log: Log) -> None:
    for first in range(1, log.last_index + 1, TURN):
        log.release(list(range(first, first + TURN)))


def _fit(log: Log) -> None:
    for first in range(1, log.last_index + 1, TURN):
        log.fit(first, log.last_index, BATCH_BYTES)


def main(argv: list[str] | None = None) -> int:
    """Measure in a temporary directory and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--directory", metavar="DIR", help="where to write (a temporary directory)")
    options = parser.parse_args(argv)
    directory = tempfile.mkdtemp(prefix="ocelog-log-", dir=options.directory)
    try:
        sys.stdout.write("\n".join(map(str, measure(directory, options.entries))) + "\n")
    finally:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
