"""What a replica does for its own log beside serving: snapshots and compaction, one run at a time.

A run: capture the state at applied = S in slices between turns, write the snapshot in the background, publish it with the
next manifest, plan which segments are worth rewriting, have the compactor rewrite them, and swap the new files in. It
decides when and what; the disk's work is in jobs that others carry out, and the rewriting is the compactor's process. Time
is ticks.

Invariants: one run at a time; what is rewritten lies at or below the published S and is judged by the live set in that
snapshot and by nothing newer; a run that fails or is cancelled leaves the log as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from ..client.protocol.admin import SNAPSHOT, AdminRequest
from ..log.compaction import Numbers, SegmentStats, plan
from ..log.compaction_request import CompactionGroup, CompactionRequest, CompactionResult
from ..log.errors import Corruption
from ..log.log import Log
from ..log.manifest import SegmentRecord
from ..log.rewriting import Rewritten, SwapJob
from ..log.snapshot import SnapshotHead
from .background import Background
from .capture import Capture
from .errors import CaptureFailed
from .executor import Executor
from .raft.membership import Configuration
from .scrub import Scrub, ScrubJob
from .snapshot_job import SnapshotJob

logger = logging.getLogger(__name__)

RUN_SPACING_MS = 1000
"""Pause between two runs that segments or timers ask for, so that small segments do not keep a replica at it."""


INDEX_MAX = (1 << 63) - 1


@dataclass(frozen=True, kw_only=True)
class CompactionConfig:
    """When a replica takes snapshots, compacts and reads its files again; the section [compaction] of the settings.

    enabled                  0: only when somebody asks.
    threshold_percent        A minor compaction rewrites a segment whose dead part, times its version, is at least this.
    lag_bytes_max            A leader leaves segments alone that an available member still needs, until it lags by more.
    disk_ratio_percent       Log bytes over live bytes beyond which a run begins at once.
    scrub_interval_ms        A sealed segment is read and checked this often.
    snapshot_items_per_turn  Sessions and resources captured in one turn.
    digest_entries           Members compare digests at multiples of this index.

    Raises ValueError naming field, value and bound.
    """

    enabled: int = 1
    minor_interval_ms: int = 60_000
    major_interval_ms: int = 3_600_000
    threshold_percent: int = 50
    lag_bytes_max: int = 256 << 20
    disk_ratio_percent: int = 300
    scrub_interval_ms: int = 60_000
    snapshot_items_per_turn: int = 256
    digest_entries: int = 65_536

    def __post_init__(self) -> None:
        for field in fields(self):
            value, bound = getattr(self, field.name), 0 if field.name in ("enabled", "lag_bytes_max") else 1
            if value < bound:
                raise ValueError(f"{field.name} is {value}, and must be at least {bound}")


class Stage(Enum):
    """How far the run under way has come."""

    IDLE = "idle"
    CAPTURE = "capture"
    WRITE = "write"
    PUBLISH = "publish"
    REWRITE = "rewrite"
    SWAP = "swap"


class Housekeeping:
    """Runs of one replica; `turn` is called between its turns.

    `clock` (seconds) is for measuring only; nothing is decided by it. `damaged` is told of entries that
    cannot be read. `runs` counts the runs that ended, well or not.
    """

    def __init__(
        self,
        log: Log,
        config: CompactionConfig,
        background: Background,
        damaged: Callable[[Corruption], None],
        *,
        shard: int,
        tick_ms: int,
        clock: Callable[[], float],
    ) -> None:
        self.log = log
        self.background = background
        self.scrub = Scrub(log, config.scrub_interval_ms // tick_ms)
        self._damaged = damaged
        self.config = config
        self.shard = shard
        self.tick_ms = tick_ms
        self.clock = clock
        self.stage = Stage.IDLE
        self.runs = 0
        self.pause_ms = self.swap_ms = 0.0
        self.live_entries = self.live_bytes = 0
        self._ticks = 0
        self._minor_at = config.minor_interval_ms // tick_ms
        self._major_at = config.major_interval_ms // tick_ms
        self._not_before = 0
        self._considered = log.snapshot_index
        self._asked = self._major_asked = self._snapshot_asked = False
        self._major = self._snapshot_only = False
        self._capture: Capture | None = None
        self._running: SnapshotJob | None = None
        self._request: CompactionRequest | None = None
        self._sent: CompactionRequest | None = None
        self._swapping: SwapJob | None = None
        self._failure: str | None = None
        self._began = 0.0
        self._bytes_before = self._segments = 0
        self._last: dict[str, Any] = dict.fromkeys(("last_seconds", "segments", "bytes_before", "bytes_after", "error"))

    # -- when ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of time passed."""
        self._ticks += 1
        self.scrub.tick()
        job = self.scrub.next_job()
        if job is not None:
            self.background.add(job, self._scrubbed)

    def _scrubbed(self, job: ScrubJob) -> None:
        damage = self.scrub.done(job)
        if damage is not None:
            self._damaged(damage)

    def ask(self, *, major: bool = False, snapshot_only: bool = False) -> int:
        """Somebody wants a run: it begins with the next turn, or after the one under way. Returns what `runs` will be."""
        if snapshot_only and not self._asked:
            self._snapshot_asked = True
        else:
            self._asked = True
            self._snapshot_asked = False
            self._major_asked = self._major_asked or major
        return self.runs + 1 + (self.stage is not Stage.IDLE)

    def administer(self, request: AdminRequest, applied_index: int) -> dict[str, int]:
        """Begin what an operator asks for; returns how its end can be seen, in fields of an ADMIN_REPORT."""
        if request.what == SNAPSHOT:
            self.ask(snapshot_only=True)
            return {"snapshot_index": applied_index}
        return {"run": self.ask(major=request.major)}

    def wants_run(self, applied_index: int) -> bool:
        """Whether a run should begin now, at this applied index."""
        if self.stage is not Stage.IDLE or applied_index == 0:
            return False
        if self._asked or self._snapshot_asked:
            return True
        if not self.config.enabled or applied_index <= self.log.snapshot_index:
            return False
        if self._ticks >= min(self._minor_at, self._major_at):
            return True
        sealed = self.log.sealed_through(applied_index) > self._considered
        return sealed and (self._ticks >= self._not_before or self._crowded())

    def _crowded(self) -> bool:
        """Whether the log takes much more room than what lives in it; two segments are always in use."""
        most = self.live_bytes * self.config.disk_ratio_percent // 100 + 2 * self.log.config.segment_bytes_max
        return self.log.log_bytes > most

    # -- a run ---------------------------------------------------------------------------------------

    def turn(
        self,
        executor: Executor,
        configuration_at: Callable[[int], Configuration],
        needed_from: Callable[[int], int | None],
    ) -> None:
        """Begin a run or go on with one; the caller is between two turns, and all that `executor` released is told.

        Segments that reach what `needed_from` tells, for members that lag by so many bytes at most, are left alone.
        """
        if self.wants_run(executor.applied_index):
            self._begin(executor, configuration_at(executor.applied_index).encode())
        self._advance(needed_from)

    def take_request(self) -> CompactionRequest | None:
        """What the compactor is to be asked, once."""
        request, self._request = self._request, None
        return request

    def _begin(self, executor: Executor, configuration: bytes) -> None:
        """Freeze the live set and begin to capture the state, at applied = S."""
        index = executor.applied_index
        self._snapshot_only = self._snapshot_asked
        self._major = self._major_asked or self._ticks >= self._major_at
        self._asked = self._major_asked = self._snapshot_asked = False
        self._minor_at = self._ticks + self.config.minor_interval_ms // self.tick_ms
        if self._major:
            self._major_at = self._ticks + self.config.major_interval_ms // self.tick_ms
        self._considered = index
        self._began = self.clock()
        self._bytes_before, self._segments = self.log.log_bytes, 0
        self.pause_ms = 0.0
        head = SnapshotHead(
            shard=self.shard,
            index=index,
            term=self.log.term_at(index),
            time=executor.time,
            digest=executor.digest,
            configuration=configuration,
        )
        published = self.log.snapshot if index == self.log.snapshot_index else None
        self._running = SnapshotJob(self.log, head, self.log.freeze(index), published)
        if published is None:
            self._capture = Capture(executor)
            self.stage = Stage.CAPTURE
        else:
            self._write()
        self._measure(self._began)

    def _advance(self, needed_from: Callable[[int], int | None]) -> None:
        if self.stage is Stage.CAPTURE:
            assert self._capture is not None
            began = self.clock()
            try:
                if self._capture.step(self.config.snapshot_items_per_turn):
                    self._write()
            except CaptureFailed as error:
                self._end(str(error))
            self._measure(began)
        elif self.stage is Stage.PUBLISH:
            assert self._running is not None
            if self.log.snapshot_index == self._running.head.index:
                self._plan(needed_from(self.config.lag_bytes_max))

    def has_work(self) -> bool:
        """Whether the next turn should come at once."""
        return self.stage is Stage.CAPTURE

    def _write(self) -> None:
        assert self._running is not None
        if self._capture is not None:
            self._running.pieces = self._capture.pieces
            self._capture = None
        self.stage = Stage.WRITE
        self.background.add(self._running, self._written)

    def _written(self, job: SnapshotJob) -> None:
        """The background has carried out the job."""
        if job is not self._running:
            job.discard()
            return
        if job.snapshot is None or job.stats is None:
            self._end(f"the snapshot at {job.head.index} was not written: {job.error}")
            return
        self.live_entries = job.live_entries
        self.live_bytes = int(job.stats.live_bytes.sum())
        if job.published is None:
            self.log.publish_snapshot(job.snapshot, job.generation)
        self.stage = Stage.PUBLISH

    def _plan(self, needed_from: int | None) -> None:
        """The snapshot is published: have what is worth it rewritten."""
        job = self._running
        assert job is not None and job.stats is not None and job.snapshot is not None
        log = self.log
        groups: list[Numbers] = []
        if not self._snapshot_only:
            groups = plan(
                job.stats,
                snapshot_index=job.head.index,
                needed_from=INDEX_MAX if needed_from is None else needed_from,
                threshold=self.config.threshold_percent / 100,
                segment_bytes_max=log.config.segment_bytes_max,
                segment_entries_max=log.config.segment_entries_max,
                major=self._major,
            )
        if not groups:
            self._end(None)
            return
        self._request = self._sent = CompactionRequest(
            directory=log.directory,
            shard=self.shard,
            snapshot_path=job.snapshot.path,
            groups=tuple(_group(job.stats, positions, log.new_generation()) for positions in groups),
        )
        self.stage = Stage.REWRITE

    def rewritten(self, result: CompactionResult) -> None:
        """The compactor is done: swap what it wrote in. The answer to a request that was given up is ignored."""
        if result.error is not None:
            self.not_rewritten(result.error)
            return
        sent = self._sent
        if sent is None or [group.generation for group in sent.groups] != [group.generation for group in result.groups]:
            return
        self._failure = next((group.error for group in result.groups if group.error), None)
        for group in result.groups:
            if group.damaged is not None:
                path, offset, index = group.damaged
                self._damaged(Corruption(path, "the compactor could not read it", offset=offset, index=index))
        rewritten = [
            Rewritten(tuple(source.generation for source in group.sources), group.target if done.entries else None)
            for group, done in zip(sent.groups, result.groups, strict=True)
            if done.error is None
        ]
        if not rewritten:
            self._end(self._failure)
            return
        self.stage = Stage.SWAP
        self._swapping = self.log.swap_job(rewritten)
        self.background.add(self._swapping, self._opened)

    def _opened(self, job: SwapJob) -> None:
        """The new files are open: swap them in, if the log still is the one they were made from."""
        if job is not self._swapping:
            self.log.abandon(job.rewritten)
            return
        began = self.clock()
        if self.log.swap(job):
            self._segments = sum(len(group.sources) for group in job.rewritten)
        self.swap_ms = 1000 * (self.clock() - began)
        self._end(str(job.error) if job.error else self._failure)

    def not_rewritten(self, reason: str) -> None:
        """There is no compactor, or it went away; the run ends, and the next one tries again."""
        if self.stage is Stage.REWRITE:
            self._end(reason)

    def cancel(self) -> None:
        """Give the run up: the log is about to be replaced."""
        if self.stage is not Stage.IDLE:
            self._end("cancelled, as the log was replaced by an install")
        self._request = None

    def _end(self, error: str | None) -> None:
        self.runs += 1
        self.stage = Stage.IDLE
        if self._capture is not None:
            self._capture.abandon()
        self._capture = self._running = self._sent = self._swapping = None
        self._not_before = self._ticks + RUN_SPACING_MS // self.tick_ms
        if error is not None and error != self._last["error"]:
            logger.warning("shard %d: a compaction did not finish: %s", self.shard, error)
        self._last = {
            "last_seconds": self.clock() - self._began,
            "segments": self._segments,
            "bytes_before": self._bytes_before,
            "bytes_after": self.log.log_bytes,
            "error": error,
        }

    def _measure(self, began: float) -> None:
        self.pause_ms = max(self.pause_ms, 1000 * (self.clock() - began))

    def status(self) -> dict[str, Any]:
        """The run's part of a status report."""
        return {"running": self.stage is not Stage.IDLE, "runs": self.runs, **self._last}


def _group(stats: SegmentStats, positions: Numbers, generation: int) -> CompactionGroup:
    """The segments at these positions, to become one in a file of this generation."""
    sources = tuple(
        SegmentRecord(
            int(stats.first_index[position]),
            int(stats.generation[position]),
            int(stats.version[position]),
            int(stats.last_index[position]),
        )
        for position in positions
    )
    return CompactionGroup(sources, generation)
