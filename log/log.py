"""The log: segments in order, appended to at the end, read in place, made durable and compacted by jobs that run beside the loop.

Used by one thread, but for what a job's `run` does, which touches only what the job captured. Entries are in memory at once and
*durable* once the sync job that covers them is done; `synced_index` says how far. What makes a new file count (the
directory's sync and the manifest) is part of the job that covers its first entries, so nothing needs a wait on the loop.

Invariants: no index is missing from dense_index + 1 to last_index; dense_index <= snapshot_index <= synced_index <= last_index;
bytes that were handed out never change; a failed append changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import recovery
from .config import LogConfig
from .durability import Durability, SyncJob
from .entry import Record, Sizes, encode
from .errors import NoSpace
from .files import Disk
from .manifest import Manifest, record_of, snapshot_name
from .reader import Batch, LogReader
from .reserve import Reserve
from .rewriting import Rewritten, SwapJob, find_groups
from .segment import Segment
from .segments import Segments
from .snapshot import Snapshot
from .staging import Staging
from .terms import Runs

__all__ = ["Batch", "Log", "LogConfig", "SyncJob"]


class Log(LogReader):
    """See the module. Made by `open`. Readable: the `disk` and the replica's `directory` on it, `config`, `synced_index`."""

    def __init__(
        self, disk: Disk, directory: str, shard: int, config: LogConfig, manifest: Manifest, segments: Segments
    ) -> None:
        terms = recovery.term_runs(segments, manifest.dense_index, manifest.term_at_dense)
        super().__init__(segments, terms, manifest.dense_index)
        self.disk = disk
        self.directory = directory
        self._shard = shard
        self.config = config
        self.synced_index = 0
        self._truncated_to: int | None = None
        self._publishing: tuple[Snapshot, int] | None = None
        self._installing: Staging | None = None
        self._named = (manifest.snapshot_index, manifest.snapshot_generation)
        """Index and generation of the snapshot in the newest manifest, durable or not."""
        self._durability: Durability

    @classmethod
    def open(cls, disk: Disk, directory: str, *, shard: int, config: LogConfig) -> Log:
        """Open the log of a replica directory, or create an empty one; everything found is durable afterwards.

        Raises Corruption, UnknownFormat, NoSpace, StorageFailed.
        """
        for name in ("log", "snapshots"):
            disk.make_directory(f"{directory}/{name}")
        manifest = recovery.read_manifest(disk, directory)
        segments = Segments(f"{directory}/log", recovery.open_segments(disk, directory, shard, manifest))
        snapshot = recovery.open_snapshot(disk, directory, shard, manifest)
        log = cls(disk, directory, shard, config, manifest, segments)
        if snapshot is not None:
            log.snapshot = snapshot
            recovery.check_against_snapshot(directory, log.last_index, log._terms, snapshot)
            segments.adopt_live_set(snapshot.live, snapshot.head.index)
        # Not before all that the manifest names was found sound: beside a wrong manifest the others may be the log.
        generation = recovery.remove_leftovers(disk, directory, manifest)
        log._durability = Durability(disk, directory, shard, config, generation)
        if segments and manifest.segments[-1].counts_to is None:
            log._open = segments[-1]
            log._durability.touch(log._open)
        log._sync_now()
        return log

    def _sync_now(self) -> None:
        job = self.sync_job()
        if job is not None:
            job.run()
            self.sync_done(job)

    # -- appending -----------------------------------------------------------------------------------

    def append(self, term: int, time_ms: int, records: Sequence[Record]) -> int:
        """Append a leader's records as entries of one term and time; returns the first one's index.

        Raises NoSpace, and then nothing was appended.
        """
        first = self.last_index + 1
        data, sizes = encode(first, term, time_ms, records)
        self._put(first, memoryview(data), sizes)
        self._terms.extend(first, term)
        return first

    def append_batch(
        self, first_index: int, data: memoryview | bytes, sizes: Sizes, terms: Runs, *, skip: int = 0
    ) -> None:
        """Append a batch as a leader sent it, but for its first `skip` entries: one copy per segment it touches.

        The caller has verified the data. Raises NoSpace, and then nothing was appended.
        """
        view = memoryview(data)
        first = first_index + skip
        assert first == self.last_index + 1, f"a batch from {first} on after entry {self.last_index}"
        if skip:
            view = view[int(sizes[:skip].sum(dtype=np.int64)) :]
            sizes = sizes[skip:]
        self._put(first, view, sizes)
        for position, (start, term) in enumerate(terms):
            all_skipped = position + 1 < len(terms) and terms[position + 1][0] <= first
            if not all_skipped:
                self._terms.extend(max(start, first), term)

    def _put(self, first: int, data: memoryview, sizes: Sizes) -> None:
        assert self._installing is None, "an append while an install is published"
        segment = self._open
        fitting = segment.fitting(sizes, len(data), self.config.segment_entries_max) if segment else 0
        if segment is not None and fitting == len(sizes):
            segment.append(data, sizes)
            self._durability.touch(segment)
        else:
            self._put_across(first, data, sizes, fitting)
        self.last_index = first + len(sizes) - 1

    def _put_across(self, first: int, data: memoryview, sizes: Sizes, fitting: int) -> None:
        """Fill the open segment and go on in new ones. All new files are made first, so that NoSpace changes nothing."""
        durability = self._durability
        pieces: list[tuple[Segment, int]] = []
        if fitting and self._open is not None:
            pieces.append((self._open, fitting))
        done = fitting
        made: list[Segment] = []
        try:
            while done < len(sizes):
                segment = durability.new_segment(first + done)
                made.append(segment)
                rest = sizes[done:]
                count = segment.fitting(rest, int(rest.sum(dtype=np.int64)), self.config.segment_entries_max)
                assert count, f"an entry of {sizes[done]} bytes does not fit a segment of {segment.file.size}"
                pieces.append((segment, count))
                done += count
        except NoSpace:
            for segment in made:
                self.disk.remove(segment.file.path)
            durability.spare_wanted = durability.no_space = True
            raise
        for segment in made:
            self._roll_to(segment)
        start = row = 0
        for segment, count in pieces:
            end = start + int(sizes[row : row + count].sum(dtype=np.int64))
            segment.append(data[start:end], sizes[row : row + count])
            durability.touch(segment)
            start, row = end, row + count

    def _roll_to(self, segment: Segment) -> None:
        """The open segment is closed, and entries go to the new one from here on."""
        if self._open is not None:
            self._durability.closed(self._open)
        self._open = segment
        self._segments.append(segment)
        self._durability.manifest_changed = True
        self._durability.spare_wanted = True

    @property
    def no_space(self) -> bool:
        """Whether entries were refused for want of room, and none has been found since."""
        return self._durability.no_space

    def look_for_room(self) -> None:
        """Have the next sync job try again to make the next segment."""
        self._durability.spare_wanted = True

    # -- truncation and release ----------------------------------------------------------------------

    def truncate(self, last_index: int) -> None:
        """Drop the entries above `last_index`. Their bytes stay; what is appended next goes to a new file."""
        assert last_index <= self.last_index, f"truncation to {last_index} of a log that ends at {self.last_index}"
        assert last_index >= self.snapshot_index, f"truncation to {last_index}, below S = {self.snapshot_index}"
        assert self._installing is None, "a truncation while an install is published"
        segments, gone = self._segments, []
        while segments and segments[-1].first_index > last_index:
            gone.append(segments.pop())
        self._durability.dropped(gone)
        if segments and segments[-1].last_index > last_index:
            segments[-1].cut(last_index)
        if self._open is not None and segments and segments[-1] is self._open:
            self._durability.closed(self._open)
        self._open = None
        self._terms.cut(last_index)
        self.last_index = last_index
        self.synced_index = min(self.synced_index, last_index)
        self._truncated_to = last_index if self._truncated_to is None else min(self._truncated_to, last_index)
        self._durability.manifest_changed = True

    def release(self, indexes: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
        """The entries at these indexes contribute to nothing any more; returns those that are not there or were before."""
        return self._segments.release(indexes)

    def repair(self, index: int, data: bytes | memoryview) -> bool:
        """Put a sound copy in the place of an entry that was found damaged; False if it cannot be that entry.

        Durable with the next sync job.
        """
        segment = self._segments.repair(index, data)
        if segment is not None:
            self._durability.touch(segment)
        return segment is not None

    # -- snapshots and compaction --------------------------------------------------------------------

    def new_generation(self) -> int:
        """A number for the name of a new file: no file had it before, nor will one."""
        return self._durability.new_generation()

    def snapshot_path(self, index: int, generation: int) -> str:
        """Where to write a snapshot."""
        return f"{self.directory}/snapshots/{snapshot_name(index, generation)}"

    def publish_snapshot(self, snapshot: Snapshot, generation: int) -> None:
        """Have the next sync job put it in the place of the one before, when all up to its index is synced."""
        index = snapshot.head.index
        assert self.snapshot_index < index <= self.last_index, f"a snapshot at {index}, of {self.snapshot_index}.."
        assert self.term_at(index) == snapshot.head.term, f"a snapshot at {index} of term {snapshot.head.term}"
        assert self._installing is None, "a snapshot while an install is published"
        if self._publishing is not None:
            self._durability.abandoned([self._publishing[0].path])
        self._publishing = (snapshot, generation)
        self._durability.manifest_changed = True

    def swap_job(self, rewritten: Sequence[Rewritten]) -> SwapJob:
        """Begin to put rewritten segments in the place of their sources; `swap` finishes it. One at a time."""
        return SwapJob(self.disk, self.directory, self._shard, rewritten, find_groups(self._segments, rewritten))

    def swap(self, job: SwapJob) -> bool:
        """The job has run: the rewritten segments take over, with what was released meanwhile; D rises to their end.

        False if a source is no part of the log any more, or a new file is not sound: then all stays as it was, and the
        new files go.
        """
        current = set(map(id, self._segments))
        sources = [source for group in job.groups for source in group.sources]
        if (
            job.error is not None
            or not sources
            or self._installing is not None
            or not current.issuperset(map(id, sources))
        ):
            self.abandon(job.rewritten)
            return False
        dense_index = max(self.dense_index, *(group.last_index for group in job.groups))
        assert dense_index <= self.snapshot_index, f"rewritten up to {dense_index}, S is {self.snapshot_index}"
        taking = {id(group.sources[0]): group.take_over() for group in job.groups}
        gone = set(map(id, sources))
        segments: list[Segment] = []
        for segment in self._segments:
            segments += taking.get(id(segment), () if id(segment) in gone else (segment,))
        self._segments.replace(segments)
        self._durability.dropped(sources)
        self._durability.manifest_changed = True
        if dense_index > self.dense_index:
            self._terms.rebase(dense_index)
            self.dense_index = dense_index
        return True

    def abandon(self, rewritten: Sequence[Rewritten]) -> None:
        """Files of a compaction that are not wanted; they are removed, if they are there, with the next sync job."""
        names = [group.record.file_name for group in rewritten if group.record is not None]
        self._durability.abandoned(map(self._durability.segment_path, names))

    @property
    def reserve(self) -> Reserve:
        """The room that is kept for when the disk is full."""
        return self._durability.reserve

    def use_reserve(self) -> bool:
        """Give the disk the room that is kept in reserve, until `renew_reserve`; False when there is none."""
        return self._durability.reserve.use()

    def renew_reserve(self) -> None:
        """Have sync jobs allocate the reserve again as soon as there is room."""
        self._durability.want_reserve()

    # -- installs ------------------------------------------------------------------------------------

    def stage(self, *, from_index: int, snapshot_index: int, snapshot_bytes: int) -> Staging:
        """Begin to set aside what an install sends. Raises NoSpace, Corruption, StorageFailed."""
        return Staging(
            self.disk,
            self.directory,
            self._shard,
            self.config,
            self.new_generation,
            from_index=from_index,
            snapshot_index=snapshot_index,
            snapshot_bytes=snapshot_bytes,
        )

    def install(self, staging: Staging) -> SyncJob:
        """Begin to put what was staged in the place of all above `staging.from_index`; `installed` finishes it.

        Nothing is appended or truncated in between. The job replaces the manifest once: before that the old log is whole,
        afterwards the new one, which ends at the snapshot.
        """
        snapshot, kept_to = staging.snapshot, staging.from_index
        head = snapshot.head
        assert self.snapshot_index < head.index and kept_to <= self.last_index, f"{kept_to}.. installed at {head.index}"
        has_it = self.last_index >= head.index > self.dense_index and self.term_at(head.index) == head.term
        assert not has_it, f"entry {head.index} is there: what follows it may have been acknowledged"
        assert self._installing is None and self.missing(snapshot.live, kept_to) is None
        if self._publishing is not None:
            self._durability.abandoned([self._publishing[0].path])
            self._publishing = None
        kept = [segment for segment in self._segments if segment.first_index <= kept_to]
        self._durability.dropped(self._segments[len(kept) :])
        records = [record_of(segment, min(segment.last_index, kept_to)) for segment in kept] + staging.records
        self._named = (head.index, staging.generation)
        manifest = Manifest(0, *self._named, head.index, head.term, records)
        self._installing = staging
        return self._durability.job(head.index, manifest, snapshot, self.snapshot)

    def installed(self, job: SyncJob) -> None:
        """The job of `install` has run: the log is what the manifest says now, and ends at S."""
        staging = self._installing
        assert staging is not None, "there is no install"
        self._installing = None
        kept = [segment for segment in self._segments if segment.first_index <= staging.from_index]
        if kept:
            kept[-1].cut(min(kept[-1].last_index, staging.from_index))
            if kept[-1] is self._open:
                self._durability.closed(kept[-1])
        self._open = None
        self.snapshot, head = staging.snapshot, staging.snapshot.head
        self._segments.replace([*kept, *staging.segments])
        self._segments.adopt_live_set(staging.snapshot.live, head.index)
        self._terms.reset(head.index, head.term)
        self.dense_index = self.last_index = self.synced_index = head.index
        self._durability.done(job)

    # -- durability ----------------------------------------------------------------------------------

    def sync_job(self) -> SyncJob | None:
        """Everything that is not durable yet, as it is now; None when there is nothing. One job at a time."""
        durability, snapshot, manifest = self._durability, None, None
        assert self._installing is None, "an install is being published"
        if not durability.owed:
            return None
        self._truncated_to = None
        if self._publishing is not None:
            (snapshot, generation), self._publishing = self._publishing, None
            self._named = (snapshot.head.index, generation)
        if durability.manifest_changed:
            records = [
                record_of(segment, segment.last_index) for segment in self._segments if segment is not self._open
            ]
            if self._open is not None:
                records.append(record_of(self._open, None))
            dense = self.dense_index
            manifest = Manifest(0, *self._named, dense, self.term_at(dense), records)
        return durability.job(self.last_index, manifest, snapshot, self.snapshot)

    def sync_done(self, job: SyncJob) -> int:
        """The job has run: returns `synced_index`, which never counts what was truncated meanwhile."""
        durable = job.index if self._truncated_to is None else min(job.index, self._truncated_to)
        self.synced_index = max(self.synced_index, durable)
        if self._open is not None and self._open in job.segments:
            self._open.mark_synced(min(self.synced_index, self._open.last_index))
        if job.snapshot is not None:
            self.snapshot = job.snapshot
        self._durability.done(job)
        return self.synced_index

    def close(self) -> None:
        """Make everything durable; the log is not used again."""
        self._sync_now()
