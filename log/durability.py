"""What of a log is not durable yet, and the jobs that make it so, beside the loop and in an order that a crash can cut anywhere.

A job syncs the segments that were appended to, then replaces the manifest if other files are to count, then removes the
files that do not count any more, then writes what only saves time. It touches nothing but what it captured.

Invariants: a file is removed only after a manifest without it is durable; a snapshot gets into the manifest only after the
entries that it covers are synced; a generation, and with it a name, is given once, also across crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .config import LogConfig
from .errors import NoSpace
from .files import Disk, MappedFile
from .manifest import NAME, Manifest, SegmentRecord
from .reserve import Reserve
from .segment import Segment
from .snapshot import Snapshot

GENERATIONS_AHEAD = 1024
"""The manifest names a generation this far above the last one given. A compactor may still write a file that was named before
a crash; the names given after it must be others, though the manifest never named that file."""

Step = Callable[[], None]


class SyncJob:
    """Makes everything up to `index` durable. `run` on the sync thread; hand the job to `Log.sync_done` afterwards."""

    def __init__(self, index: int, segments: Sequence[Segment], steps: list[Step]) -> None:
        self.index = index
        self.segments = segments
        self.snapshot: Snapshot | None = None
        """The snapshot that counts when the job is done, if it changes it."""
        self.spare: tuple[MappedFile, int] | None = None
        self.spare_error: NoSpace | None = None
        self._steps = steps

    def add(self, step: Step) -> None:
        """One more step, behind the others."""
        self._steps.append(step)

    def run(self) -> None:
        """Carry out the steps in order. Raises StorageFailed or NoSpace, after which the replica must stop."""
        # Let go of, since some of them know the job: as a cycle, job and segments would outlive their use by far.
        steps, self._steps = self._steps, []
        for step in steps:
            step()


class Durability:
    """The files of a log, as far as they are not durable or not wanted any more. `generation` was given to a name last."""

    def __init__(self, disk: Disk, directory: str, shard: int, config: LogConfig, generation: int) -> None:
        self._disk = disk
        self._directory = directory
        self._shard = shard
        self._config = config
        self.generation = generation
        self._generation_bound = 0
        self.reserve = Reserve(disk, f"{directory}/log", config.segment_bytes_max if config.reserve else 0)
        self._reserve_due = True
        self._spare: tuple[MappedFile, int] | None = None
        self.spare_wanted = True
        self.no_space = False
        """Whether entries were refused for want of room, and none has been found since."""
        self.manifest_changed = True
        """Set by whoever changes what counts. True at first, so that the names given from now on are above all old ones."""
        self._dirty: list[Segment] = []
        self._unsealed: list[Segment] = []
        self._dropped: list[str] = []
        self._abandoned: list[str] = []

    # -- names and files -----------------------------------------------------------------------------

    def segment_path(self, name: str) -> str:
        """Where a segment's file is."""
        return f"{self._directory}/log/{name}"

    def new_generation(self) -> int:
        """A number for the name of a file that no name had before."""
        self.generation += 1
        assert self.generation <= self._generation_bound or self.manifest_changed, "generations have run out"
        if self._generation_bound - self.generation < GENERATIONS_AHEAD // 2:
            self.manifest_changed = True
        return self.generation

    def new_segment(self, first_index: int) -> Segment:
        """A segment in the spare file, or in one made now if there is none. Raises NoSpace."""
        if self._spare is not None:
            (file, generation), self._spare = self._spare, None
            path = self.segment_path(SegmentRecord(first_index, generation, 1, None).file_name)
            self._disk.rename(file.path, path)
            file.path = path
        else:
            generation = self.new_generation()
            path = self.segment_path(SegmentRecord(first_index, generation, 1, None).file_name)
            file = self._disk.create(path, self._config.segment_bytes_max)
        self.no_space = False
        created_ms = self._disk.time_ms()
        return Segment.create(
            file, shard=self._shard, first_index=first_index, generation=generation, created_ms=created_ms
        )

    # -- what happened -------------------------------------------------------------------------------

    def touch(self, segment: Segment) -> None:
        """It was appended to."""
        if not self._dirty or self._dirty[-1] is not segment:
            self._dirty.append(segment)

    def closed(self, segment: Segment) -> None:
        """Nothing is appended to it any more."""
        self._unsealed.append(segment)

    def dropped(self, segments: Sequence[Segment]) -> None:
        """They do not count any more; their files go when the manifest does not name them."""
        gone = {id(segment) for segment in segments}
        self._dropped += [segment.file.path for segment in segments]
        self._dirty = [segment for segment in self._dirty if id(segment) not in gone]
        self._unsealed = [segment for segment in self._unsealed if id(segment) not in gone]

    def abandoned(self, paths: Iterable[str]) -> None:
        """Files that never counted and never will."""
        self._abandoned += paths

    def want_reserve(self) -> None:
        """Whoever used the reserve is done."""
        self.reserve.want()
        self._reserve_due = self.reserve.wanted

    # -- jobs ----------------------------------------------------------------------------------------

    @property
    def owed(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self._dirty or self.manifest_changed or self._abandoned or self.spare_wanted or self._reserve_due)

    def job(self, index: int, manifest: Manifest | None, snapshot: Snapshot | None, old: Snapshot | None) -> SyncJob:
        """All that is owed, up to entry `index`. `manifest` is what counts from now on if it changed; the generation in it is
        set here. `snapshot` is new in it and takes the place of `old`."""
        segments, self._dirty = self._dirty, []
        steps: list[Step] = [segment.file.sync for segment in segments]
        files = self.spare_wanted or self._reserve_due or manifest is not None
        old_files, self._abandoned = self._abandoned, []
        if manifest is not None:
            self.manifest_changed = False
            self._generation_bound = manifest.generation = self.generation + GENERATIONS_AHEAD
            steps.append(self._manifest_step(manifest.encode(), snapshot is not None))
            # Not before a manifest without them is durable.
            old_files += self._dropped + ([old.path] if snapshot is not None and old is not None else [])
            self._dropped = []
        steps += [self._remove_step(path) for path in old_files]
        steps += [_seal_step(segment, segment.seal_bytes()) for segment in self._unsealed]
        self._unsealed = []
        if files and self.reserve.wanted:
            steps.append(self.reserve.renew)
        self._reserve_due = False
        job = SyncJob(index, segments, steps)
        job.snapshot = snapshot
        if self.spare_wanted:
            self._add_spare_step(job)
        return job

    def _manifest_step(self, data: bytes, new_snapshot: bool) -> Step:
        """Names of new files durable, then the manifest that makes them count."""
        disk, directory, reserve = self._disk, self._directory, self.reserve

        def replace() -> None:
            disk.sync_directory(f"{directory}/log")
            if new_snapshot:
                disk.sync_directory(f"{directory}/snapshots")
            reserve.replace(f"{directory}/{NAME}", data)

        return replace

    def _remove_step(self, path: str) -> Step:
        disk = self._disk

        def remove() -> None:
            # A compactor that was told to stop, or whoever abandoned the file, may have removed it.
            if disk.exists(path):
                disk.remove(path)

        return remove

    def _add_spare_step(self, job: SyncJob) -> None:
        """Allocate the next segment's file ahead of need; a full disk is no failure as long as nobody needs it."""
        self.spare_wanted = False
        if self._spare is not None:
            return
        generation = self.new_generation()
        path = self.segment_path(f"spare-{generation}.seg")

        def prepare() -> None:
            try:
                job.spare = (self._disk.create(path, self._config.segment_bytes_max), generation)
            except NoSpace as error:
                job.spare_error = error

        job.add(prepare)

    def done(self, job: SyncJob) -> None:
        """The job has run: take the spare that it made."""
        if job.spare is None:
            return
        self.no_space = False
        if self._spare is None:
            self._spare = job.spare
        else:
            self._disk.remove(job.spare[0].path)


def _seal_step(segment: Segment, sealed: bytes) -> Step:
    def step() -> None:
        segment.write_seal(sealed)
        segment.file.sync()

    return step
