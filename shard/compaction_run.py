"""One run of snapshot and compaction of a replica, from the freeze to the swap.

Capture the state at applied = S in slices between turns, write the snapshot in the background, publish it with the next
manifest, plan which segments are worth rewriting, have the compactor rewrite them, and swap the new files in. The disk's
work is in jobs that others carry out, and the rewriting is the compactor's process.

On a full disk a run uses the room that the log keeps in reserve, once: what it removes makes room for everybody.

Invariants: what is rewritten lies at or below the published S and is judged by the live set in that snapshot and by nothing
newer; a run that fails or is cancelled leaves the log as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from ..log.compaction import Numbers, SegmentStats, plan
from ..log.compaction_request import CompactionGroup, CompactionRequest, CompactionResult, GroupResult
from ..log.errors import Corruption, NoSpace
from ..log.log import Log
from ..log.manifest import SegmentRecord
from ..log.rewriting import Rewritten, SwapJob
from ..log.snapshot import SnapshotHead
from .background import Background
from .capture import Capture
from .compaction_config import CompactionConfig
from .errors import CaptureFailed
from .executor import Executor
from .snapshot_job import SnapshotJob

logger = logging.getLogger(__name__)

INDEX_MAX = (1 << 63) - 1


class Stage(Enum):
    """How far a run has come."""

    CAPTURE = "capture"
    WRITE = "write"
    PUBLISH = "publish"
    REWRITE = "rewrite"
    SWAP = "swap"
    OVER = "over"


class CompactionRun:
    """See the module. When `stage` is OVER, `error` says why it did not reach its end, None if it did.

    `clock` (seconds) is for measuring only; `damaged` is told of entries that cannot be read.
    """

    def __init__(
        self,
        log: Log,
        config: CompactionConfig,
        background: Background,
        damaged: Callable[[Corruption], None],
        *,
        shard: int,
        clock: Callable[[], float],
        major: bool,
        snapshot_only: bool,
    ) -> None:
        self.log = log
        self.config = config
        self.background = background
        self.shard = shard
        self.clock = clock
        self.major = major
        self.snapshot_only = snapshot_only
        self.stage = Stage.CAPTURE
        self.error: str | None = None
        self.seconds = 0.0
        self.pause_ms = self.swap_ms = 0.0
        self.segments = 0
        self.bytes_before = log.log_bytes
        self.job: SnapshotJob | None = None
        self._damaged = damaged
        self._capture: Capture | None = None
        self._request: CompactionRequest | None = None
        self._sent: CompactionRequest | None = None
        self._swapping: SwapJob | None = None
        self._uses_reserve = False
        self._failure: str | None = None
        self._began = clock()

    def begin(self, executor: Executor, configuration: bytes) -> None:
        """Freeze the live set and begin to capture the state, at applied = S, between two turns."""
        index = executor.applied_index
        head = SnapshotHead(
            shard=self.shard,
            index=index,
            term=self.log.term_at(index),
            time=executor.time,
            digest=executor.digest,
            configuration=configuration,
        )
        published = self.log.snapshot if index == self.log.snapshot_index else None
        self.job = SnapshotJob(self.log, head, self.log.freeze(index), published)
        if published is None:
            self._capture = Capture(executor)
        else:
            self._write()
        self._measure(self._began)

    def advance(self, needed_from: Callable[[int], int | None]) -> None:
        """Go on, between two turns. See `Housekeeping.turn`."""
        if self.stage is Stage.CAPTURE:
            self._capture_slice()
        elif self.stage is Stage.PUBLISH:
            assert self.job is not None
            if self.log.snapshot_index == self.job.head.index:
                self._plan(self.job, needed_from(self.config.lag_bytes_max))

    def take_request(self) -> CompactionRequest | None:
        """What the compactor is to be asked, once."""
        request, self._request = self._request, None
        return request

    def _capture_slice(self) -> None:
        assert self._capture is not None
        began = self.clock()
        try:
            if self._capture.step(self.config.snapshot_items_per_turn):
                self._write()
        except CaptureFailed as error:
            self._end(str(error))
        self._measure(began)

    def _measure(self, began: float) -> None:
        self.pause_ms = max(self.pause_ms, 1000 * (self.clock() - began))

    def _write(self) -> None:
        assert self.job is not None
        if self._capture is not None:
            self.job.pieces = self._capture.pieces
            self._capture = None
        self.stage = Stage.WRITE
        self.background.add(self.job, self._written)

    def _written(self, job: SnapshotJob) -> None:
        """The background has carried out the job."""
        if self.stage is Stage.OVER:
            job.discard()
        elif isinstance(job.error, NoSpace) and self._use_reserve():
            job.error = None
            self.background.add(job, self._written)
        elif job.snapshot is None or job.stats is None:
            self._end(f"the snapshot at {job.head.index} was not written: {job.error}")
        else:
            if job.published is None:
                self.log.publish_snapshot(job.snapshot, job.generation)
            self.stage = Stage.PUBLISH

    def _use_reserve(self) -> bool:
        """Take the room in reserve, unless this run has done so; False when there is none."""
        if self._uses_reserve:
            return False
        self._uses_reserve = self.log.use_reserve()
        return self._uses_reserve

    def _plan(self, job: SnapshotJob, needed_from: int | None) -> None:
        """The snapshot is published: have what is worth it rewritten."""
        assert job.stats is not None and job.snapshot is not None
        log = self.log
        groups: list[Numbers] = []
        if not self.snapshot_only:
            groups = plan(
                job.stats,
                snapshot_index=job.head.index,
                needed_from=INDEX_MAX if needed_from is None else needed_from,
                threshold=self.config.threshold_percent / 100,
                segment_bytes_max=log.config.segment_bytes_max,
                segment_entries_max=log.config.segment_entries_max,
                major=self.major,
            )
        if groups:
            self._ask(
                CompactionRequest(
                    directory=log.directory,
                    shard=self.shard,
                    snapshot_path=job.snapshot.path,
                    groups=tuple(_group(job.stats, positions, log.new_generation()) for positions in groups),
                )
            )
        else:
            self._end(None)

    def _ask(self, request: CompactionRequest) -> None:
        self._request = self._sent = request
        self.stage = Stage.REWRITE

    def rewritten(self, result: CompactionResult) -> None:
        """The compactor is done: swap what it wrote in, or remove it if this run was given up meanwhile.

        Raises Corruption when a segment cannot be read and compaction will never get past that.
        """
        sent = self._sent
        if result.error is not None:
            self.not_rewritten(result.error)
        elif sent is not None and _generations(sent.groups) == _generations(result.groups):
            rewritten = [
                Rewritten(tuple(source.generation for source in group.sources), group.target if done.entries else None)
                for group, done in zip(sent.groups, result.groups, strict=True)
                if done.error is None
            ]
            self._sent = None  # heard of: what it wrote is the log's from now on, or abandoned here
            if self.stage is Stage.OVER:
                self.log.abandon(rewritten)
            else:
                self._take(sent, result, rewritten)

    def _take(self, sent: CompactionRequest, result: CompactionResult, rewritten: list[Rewritten]) -> None:
        self._failure = next((group.error for group in result.groups if group.error), None)
        for group in result.groups:
            if group.damaged is not None:
                path, offset, index = group.damaged
                damage = Corruption(path, "the compactor could not read it", offset=offset, index=index)
                if index is not None and not self._keeps(index):
                    # It reads what is dead only where the rows are damaged too, and so will every later run: compaction
                    # does not get rid of this one, and peers need not have it.
                    raise damage
                self._damaged(damage)
        if rewritten:
            self.stage = Stage.SWAP
            self._swapping = self.log.swap_job(rewritten)
            self.background.add(self._swapping, self._opened)
        elif any(group.no_space for group in result.groups) and self._use_reserve():
            self._ask(sent)
        else:
            self._end(self._failure)

    def _keeps(self, index: int) -> bool:
        """Whether this run keeps the entry of `index`: it is live at S."""
        assert self.job is not None and self.job.snapshot is not None
        live = self.job.snapshot.live
        row = int(np.searchsorted(live, np.uint64(index)))
        return row < len(live) and int(live[row]) == index

    def _opened(self, job: SwapJob) -> None:
        """The new files are open: swap them in, if the log still is the one they were made from."""
        if self.stage is Stage.OVER:
            self.log.abandon(job.rewritten)
            return
        began = self.clock()
        if self.log.swap(job):
            self.segments = sum(len(group.sources) for group in job.rewritten)
        self.swap_ms = 1000 * (self.clock() - began)
        self._end(str(job.error) if job.error else self._failure)

    def not_rewritten(self, reason: str) -> None:
        """There is no compactor, or it went away; the run ends, and the next one tries again.

        One that was killed leaves what it had written.
        """
        if self._sent is not None and self.stage in (Stage.REWRITE, Stage.OVER):
            self.log.abandon([Rewritten((), group.target) for group in self._sent.groups])
            self._sent = None
        if self.stage is Stage.REWRITE:
            self._end(reason)

    @property
    def is_waited_for(self) -> bool:
        """Whether the compactor has been asked something of which this run has not heard again."""
        return self._sent is not None

    def cancel(self, reason: str) -> None:
        """Give the run up; what the compactor still writes for it has to go."""
        if self.stage is not Stage.OVER:
            self._end(reason)

    def forget(self) -> None:
        """The run is over and kept for nothing but the compactor's answer: let go of snapshot and segments."""
        self.job = self._swapping = None

    def _end(self, error: str | None) -> None:
        self.stage = Stage.OVER
        self.error = error
        self.seconds = self.clock() - self._began
        self._request = None
        if self._capture is not None:
            self._capture.abandon()
            self._capture = None  # it holds on to all of the state
        if self._uses_reserve:
            self.log.renew_reserve()

    def status(self) -> dict[str, Any]:
        """What a run that is over came to."""
        return {
            "last_seconds": self.seconds,
            "segments": self.segments,
            "bytes_before": self.bytes_before,
            "bytes_after": self.log.log_bytes,
            "error": self.error,
        }


def _generations(groups: Sequence[CompactionGroup] | Sequence[GroupResult]) -> list[int]:
    return [group.generation for group in groups]


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
