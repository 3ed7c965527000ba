"""Driving a log by hand: records of any size, jobs carried out at once, and what a log holds as plain values."""

from __future__ import annotations

from collections.abc import Sequence

from ocelog.log.entry import COMMAND, RELEASE, SNAPSHOT, Entry, Record
from ocelog.log.files import Disk
from ocelog.log.log import Log, LogConfig
from ocelog.log.meta import Meta

TINY = LogConfig(segment_bytes_max=4096, segment_entries_max=5)
TIME_MS = 1_700_000_000_000

Held = list[tuple[int, int, bytes]]
"""(index, term, payload) of every entry."""


def record(payload: bytes, mode: int = SNAPSHOT) -> Record:
    """A command with this payload."""
    return (COMMAND, mode, 3, 11, 22, payload)


def records(*payloads: bytes) -> list[Record]:
    """Commands of alternating modes."""
    return [record(payload, RELEASE if number % 2 else SNAPSHOT) for number, payload in enumerate(payloads)]


def open_log(disk: Disk, directory: str, config: LogConfig = TINY) -> Log:
    """Open as a replica does: term and vote first."""
    Meta.load(disk, directory)
    return Log.open(disk, directory, shard=3, config=config)


def append(log: Log, term: int, *payloads: bytes) -> int:
    """Append commands as a leader does."""
    return log.append(term, TIME_MS, records(*payloads))


def sync(log: Log) -> int:
    """Carry out what is to be made durable; returns `synced_index`."""
    job = log.sync_job()
    if job is None:
        return log.synced_index
    job.run()
    return log.sync_done(job)


def held(log: Log) -> Held:
    """Every entry, read the way the apply loop reads, and verified."""
    found: Held = []
    for buffer, offsets in log.runs(log.first_index, log.last_index):
        for offset in offsets:
            entry = Entry.decode(buffer, offset)
            found.append((entry.index, entry.term, entry.payload))
    return found


def expected(first: int, term: int, payloads: Sequence[bytes]) -> Held:
    """What `held` returns for these."""
    return [(index, term, payload) for index, payload in enumerate(payloads, first)]


def copy(source: Log, target: Log, first: int, last: int, *, bytes_max: int = 300) -> None:
    """Replicate entries first..last as batches, as leader and follower do."""
    while first <= last:
        batch = source.read(first, last, bytes_max)
        skip = max(0, target.last_index + 1 - first)
        if skip < len(batch.sizes):
            target.append_batch(first, bytes(batch.data), batch.sizes, batch.terms, skip=skip)
        first = batch.last_index + 1
