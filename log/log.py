"""The log: segments in order, appended to at the end, read in place, and made durable by jobs that run beside the loop.

Used by one thread, but for `SyncJob.run`, which touches only what the job captured. Entries are in memory at once and
*durable* once the sync job that covers them is done; `synced_index` says how far. What makes a new file count (the
directory's sync and the manifest) is part of the job that covers its first entries, so nothing needs a wait on the loop.

Invariants: indexes are dense from `first_index` to `last_index`; synced_index <= last_index; bytes that `read` or `runs` handed
out never change; a failed append changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from . import recovery
from .entry import Entry, Record, Sizes, encode
from .errors import NoSpace
from .files import Disk, MappedFile
from .manifest import NAME, Manifest, SegmentRecord
from .segment import Segment
from .terms import Runs, TermRuns

MIB = 1 << 20
SEGMENT_BYTES_MIN = 4096
SEGMENT_BYTES_LIMIT = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """When a segment is full. Raises ValueError naming field, value and bound."""

    segment_bytes_max: int = 64 * MIB
    segment_entries_max: int = 1 << 20

    def __post_init__(self) -> None:
        bounds = {"segment_bytes_max": (SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT), "segment_entries_max": (1, 1 << 28)}
        for field in fields(self):
            low, high = bounds[field.name]
            value = getattr(self, field.name)
            if not low <= value <= high:
                raise ValueError(f"{field.name} is {value}, and must be between {low} and {high}")


class Batch:
    """Entries first_index..last_index as they stand in one mapping: `data`, uncopied, and the padded size of each.

    `terms` are ((first index, term), ...), one pair per change of term.
    """

    __slots__ = ("data", "first_index", "last_index", "sizes", "terms")

    def __init__(self, first_index: int, last_index: int, data: memoryview, sizes: Sizes, terms: Runs) -> None:
        self.first_index = first_index
        self.last_index = last_index
        self.data = data
        self.sizes = sizes
        self.terms = terms


class SyncJob:
    """Makes everything up to `index` durable. `run` on the sync thread; hand the job to `Log.sync_done` afterwards."""

    def __init__(self, index: int, segments: list[Segment], steps: list[Callable[[], None]]) -> None:
        self.index = index
        self.segments = segments
        self.spare: tuple[MappedFile, int] | None = None
        self.spare_error: NoSpace | None = None
        self._steps = steps

    def run(self) -> None:
        """Carry out the steps in order. Raises StorageFailed, after which the replica must stop."""
        for step in self._steps:
            step()


class Log:
    """See the module. Made by `open`."""

    def __init__(self, disk: Disk, directory: str, shard: int, config: LogConfig) -> None:
        self._disk = disk
        self._directory = directory
        self._shard = shard
        self.config = config
        self._segments: list[Segment] = []
        self._starts: list[int] = []
        self._open: Segment | None = None
        self._terms = TermRuns()
        self._manifest = Manifest()
        self._generation = 0
        self._spare: tuple[MappedFile, int] | None = None
        self._spare_wanted = False
        self._dirty: list[Segment] = []
        self._unsealed: list[Segment] = []
        self._obsolete: list[Segment] = []
        self._manifest_changed = False
        self._truncated_to: int | None = None
        self.first_index = 1
        self.last_index = 0
        self.synced_index = 0
        # Looked up often and through these names only.
        self.term_at = self._terms.term_at
        self.term_runs = self._terms.runs

    @classmethod
    def open(cls, disk: Disk, directory: str, *, shard: int, config: LogConfig) -> Log:
        """Open the log of a replica directory, or create an empty one; everything found is durable afterwards.

        Raises Corruption, UnknownFormat, NoSpace, StorageFailed.
        """
        log = cls(disk, directory, shard, config)
        disk.make_directory(f"{directory}/log")
        manifest = recovery.read_manifest(disk, directory)
        log._manifest = manifest
        log._segments = recovery.open_segments(disk, directory, shard, manifest)
        # Not before all that the manifest names was found sound: beside a wrong manifest the others may be the log.
        log._generation = recovery.remove_leftovers(disk, directory, manifest)
        log._starts = [segment.first_index for segment in log._segments]
        log._terms = recovery.term_runs(log._segments)
        log.term_at, log.term_runs = log._terms.term_at, log._terms.runs
        if log._segments:
            log.last_index = log._segments[-1].last_index
            if manifest.segments[-1].counts_to is None:
                log._open = log._segments[-1]
                log._dirty.append(log._open)
        log._spare_wanted = True
        log._sync_now()
        return log

    def _sync_now(self) -> None:
        job = self.sync_job()
        if job is not None:
            job.run()
            self.sync_done(job)

    # -- what is there -------------------------------------------------------------------------------

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 for an empty log."""
        return self._terms.last_term

    @property
    def log_bytes(self) -> int:
        """Bytes that entries take, over all segments."""
        return sum(segment.end for segment in self._segments)

    @property
    def released_count(self) -> int:
        """How many entries are released."""
        return sum(int(np.count_nonzero(segment.released[: segment.count])) for segment in self._segments)

    def live_indexes(self) -> npt.NDArray[np.int64]:
        """Indexes of the entries that are not released, ascending."""
        rows = [np.flatnonzero(~segment.released[: segment.count]) + segment.first_index for segment in self._segments]
        return np.concatenate(rows) if rows else np.zeros(0, np.int64)

    def _segment_of(self, index: int) -> Segment:
        assert self.first_index <= index <= self.last_index, f"entry {index} of {self.first_index}..{self.last_index}"
        segment = self._segments[-1]
        if index >= segment.first_index:
            return segment
        return self._segments[bisect_right(self._starts, index) - 1]

    def entry(self, index: int) -> Entry:
        """One entry, decoded and verified. Raises Corruption."""
        segment = self._segment_of(index)
        return Entry.decode(segment.buffer, segment.offset_of(index), segment.file.path)

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        """The last index that `read` would return; at least `first`."""
        segment = self._segment_of(first)
        last = min(last, segment.last_index)
        limit = segment.offset_of(first) + bytes_max
        if segment.end_of(last) <= limit:
            return last
        # Entry k ends where entry k + 1 begins: of the entries that begin within the limit, all but the last one fit.
        # The limit lies inside the segment here; as a Python int it would have numpy widen a copy of all the offsets.
        beginning = int(np.searchsorted(segment.offsets(first, last), np.uint32(limit), side="right"))
        return max(first, first + beginning - 2)

    def bytes_between(self, first: int, last: int) -> int:
        """Bytes of the entries first..last, which lie in one segment."""
        segment = self._segment_of(first)
        return segment.end_of(last) - segment.offset_of(first)

    def read(self, first: int, last: int, bytes_max: int) -> Batch:
        """Entries from `first` on, out of one segment and uncopied: as many as fit `bytes_max`, but at least one."""
        last = self.fit(first, last, bytes_max)
        segment = self._segment_of(first)
        start, end = segment.offset_of(first), segment.end_of(last)
        starts = segment.offsets(first, last)
        sizes = np.empty(len(starts), np.uint32)
        np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
        sizes[-1] = end - int(starts[-1])
        return Batch(first, last, segment.buffer[start:end], sizes, self.term_runs(first, last))

    def runs(self, first: int, last: int) -> Iterator[tuple[memoryview, list[int]]]:
        """Per segment, its buffer and the offsets of the entries first..last in it, ascending."""
        while first <= last:
            segment = self._segment_of(first)
            until = min(last, segment.last_index)
            yield segment.buffer, segment.offsets(first, until).tolist()
            first = until + 1

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
        segment = self._open
        fitting = segment.fitting(sizes, len(data), self.config.segment_entries_max) if segment else 0
        if segment is not None and fitting == len(sizes):
            segment.append(data, sizes)
            self._touch(segment)
        else:
            self._put_across(first, data, sizes, fitting)
        self.last_index = first + len(sizes) - 1

    def _put_across(self, first: int, data: memoryview, sizes: Sizes, fitting: int) -> None:
        """Fill the open segment and go on in new ones. All new files are made first, so that NoSpace changes nothing."""
        pieces: list[tuple[Segment, int]] = []
        if fitting and self._open is not None:
            pieces.append((self._open, fitting))
        done = fitting
        made: list[Segment] = []
        try:
            while done < len(sizes):
                segment = self._new_segment(first + done)
                made.append(segment)
                rest = sizes[done:]
                count = segment.fitting(rest, int(rest.sum(dtype=np.int64)), self.config.segment_entries_max)
                assert count, f"an entry of {sizes[done]} bytes does not fit a segment of {segment.file.size}"
                pieces.append((segment, count))
                done += count
        except NoSpace:
            for segment in made:
                self._disk.remove(segment.file.path)
            self._spare_wanted = True
            raise
        for segment in made:
            self._roll_to(segment)
        start = row = 0
        for segment, count in pieces:
            end = start + int(sizes[row : row + count].sum(dtype=np.int64))
            segment.append(data[start:end], sizes[row : row + count])
            self._touch(segment)
            start, row = end, row + count

    def _new_segment(self, first_index: int) -> Segment:
        """A segment in the spare file, or in one made now if there is none. Raises NoSpace."""
        if self._spare is not None:
            (file, generation), self._spare = self._spare, None
            path = self._path(SegmentRecord(first_index, generation, 1, None).file_name)
            self._disk.rename(file.path, path)
            file.path = path
        else:
            self._generation += 1
            generation = self._generation
            path = self._path(SegmentRecord(first_index, generation, 1, None).file_name)
            file = self._disk.create(path, self.config.segment_bytes_max)
        created_ms = self._disk.time_ms()
        return Segment.create(
            file, shard=self._shard, first_index=first_index, generation=generation, created_ms=created_ms
        )

    def _roll_to(self, segment: Segment) -> None:
        """The open segment is closed, and entries go to the new one from here on."""
        if self._open is not None:
            self._unsealed.append(self._open)
        self._open = segment
        self._segments.append(segment)
        self._starts.append(segment.first_index)
        self._manifest_changed = True
        self._spare_wanted = True

    def _touch(self, segment: Segment) -> None:
        if not self._dirty or self._dirty[-1] is not segment:
            self._dirty.append(segment)

    def _path(self, name: str) -> str:
        return f"{self._directory}/log/{name}"

    # -- truncation and release ----------------------------------------------------------------------

    def truncate(self, last_index: int) -> None:
        """Drop the entries above `last_index`. Their bytes stay; what is appended next goes to a new file."""
        assert last_index <= self.last_index, f"truncation to {last_index} of a log that ends at {self.last_index}"
        while self._segments and self._segments[-1].first_index > last_index:
            segment = self._segments.pop()
            self._starts.pop()
            self._obsolete.append(segment)
        if self._segments:
            segment = self._segments[-1]
            segment.cut(last_index)
            if segment is self._open:
                self._unsealed.append(segment)
        gone = {id(segment) for segment in self._obsolete}
        self._dirty = [segment for segment in self._dirty if id(segment) not in gone]
        self._unsealed = [segment for segment in self._unsealed if id(segment) not in gone]
        self._open = None
        self._terms.cut(last_index)
        self.last_index = last_index
        self.synced_index = min(self.synced_index, last_index)
        self._truncated_to = last_index if self._truncated_to is None else min(self._truncated_to, last_index)
        self._manifest_changed = True

    def release(self, indexes: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """The entries at these indexes contribute to nothing any more; each may be released once."""
        released = np.array(indexes, np.int64)
        released.sort()
        position = 0
        while position < len(released):
            segment = self._segment_of(int(released[position]))
            until = int(np.searchsorted(released, segment.last_index, side="right"))
            rows = released[position:until] - segment.first_index
            twice = segment.released[rows].any() or (rows[1:] == rows[:-1]).any()
            assert not twice, f"an entry of {released[position:until].tolist()} is released twice"
            segment.released[rows] = True
            position = until

    # -- durability ----------------------------------------------------------------------------------

    def sync_job(self) -> SyncJob | None:
        """Everything that is not durable yet, as it is now; None when there is nothing. One job at a time."""
        if not (self._dirty or self._manifest_changed or self._spare_wanted):
            return None
        segments, self._dirty = self._dirty, []
        self._truncated_to = None
        steps: list[Callable[[], None]] = [segment.file.sync for segment in segments]
        if self._manifest_changed:
            steps += self._manifest_steps()
        steps += self._seal_steps()
        job = SyncJob(self.last_index, segments, steps)
        if self._spare_wanted:
            self._add_spare_step(job)
        return job

    def _manifest_steps(self) -> list[Callable[[], None]]:
        """Names of new files durable, then the manifest that makes them count, then old files away."""
        self._manifest_changed = False
        self._manifest.generation = self._generation
        self._manifest.segments = [
            SegmentRecord(
                segment.first_index,
                segment.generation,
                segment.version,
                None if segment is self._open else segment.last_index,
            )
            for segment in self._segments
        ]
        disk, data = self._disk, self._manifest.encode()
        obsolete, self._obsolete = [segment.file.path for segment in self._obsolete], []

        def replace() -> None:
            disk.sync_directory(f"{self._directory}/log")
            disk.replace(f"{self._directory}/{NAME}", data)
            for path in obsolete:
                disk.remove(path)

        return [replace]

    def _seal_steps(self) -> list[Callable[[], None]]:
        unsealed, self._unsealed = self._unsealed, []
        steps: list[Callable[[], None]] = []
        for segment in unsealed:
            steps.append(_seal_step(segment, segment.seal_bytes()))
        return steps

    def _add_spare_step(self, job: SyncJob) -> None:
        """Allocate the next segment's file ahead of need; a full disk is no failure as long as nobody needs it."""
        self._spare_wanted = False
        if self._spare is not None:
            return
        self._generation += 1
        generation = self._generation
        path = self._path(f"spare-{generation}.seg")

        def prepare() -> None:
            try:
                job.spare = (self._disk.create(path, self.config.segment_bytes_max), generation)
            except NoSpace as error:
                job.spare_error = error

        job._steps.append(prepare)

    def sync_done(self, job: SyncJob) -> int:
        """The job has run: returns `synced_index`, which never counts what was truncated meanwhile."""
        durable = job.index if self._truncated_to is None else min(job.index, self._truncated_to)
        self.synced_index = max(self.synced_index, durable)
        if self._open is not None and self._open in job.segments:
            self._open.mark_synced(min(self.synced_index, self._open.last_index))
        if job.spare is not None:
            if self._spare is None:
                self._spare = job.spare
            else:
                self._disk.remove(job.spare[0].path)
        return self.synced_index

    def close(self) -> None:
        """Make everything durable; the log is not used again."""
        self._sync_now()


def _seal_step(segment: Segment, sealed: bytes) -> Callable[[], None]:
    def step() -> None:
        segment.write_seal(sealed)
        segment.file.sync()

    return step
