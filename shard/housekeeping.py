"""What a replica does for its own log beside serving: when it takes snapshots, compacts, and reads its files again.

One run at a time (`compaction_run.py`). Time is ticks. A run begins when a segment is full, when a timer says so, when the log
takes much more room than what lives in it, when entries were refused for want of room, and on request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..client.protocol.admin import SNAPSHOT, AdminRequest
from ..log.compaction_request import CompactionRequest, CompactionResult
from ..log.errors import Corruption
from ..log.log import Log
from .background import Background
from .compaction_config import CompactionConfig
from .compaction_run import CompactionRun, Stage
from .executor import Executor
from .raft.membership import Configuration
from .scrub import Scrub, ScrubJob

logger = logging.getLogger(__name__)

RUN_SPACING_MS = 1000
"""Pause between two runs that segments ask for, so that small ones do not keep a replica at it."""

ROOM_EVERY_MS = 1000
"""How often a full disk is looked at again."""

ANSWER_MS_MAX = 30 * 60_000
"""A compactor that has not answered for so long hangs: other runs, and their snapshots, do not wait for it."""

HOARDERS_MAX = 20
"""So many resources that never release are named."""

NO_RUN = dict.fromkeys(("last_seconds", "segments", "bytes_before", "bytes_after", "error"))


class Housekeeping:
    """Of one replica; `turn` is called between its turns.

    `clock` (seconds) is for measuring only; nothing is decided by it. `damaged` is told of entries that cannot be read.
    `runs` counts the runs that ended, well or not; `live_entries` and `live_bytes` are those of the last snapshot.
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
        self.config = config
        self.background = background
        self.scrub = Scrub(log, config.scrub_interval_ms // tick_ms)
        self.shard = shard
        self.tick_ms = tick_ms
        self.clock = clock
        self.run: CompactionRun | None = None
        self._given_up: CompactionRun | None = None
        self.runs = 0
        self.pause_ms = self.swap_ms = 0.0
        self.failures = self.snapshots = 0
        self.live_entries = self.live_bytes = 0
        self._damaged = damaged
        self._ticks = 0
        self._minor_at = config.minor_interval_ms // tick_ms
        self._major_at = config.major_interval_ms // tick_ms
        self._not_before = self._waited = 0
        self._considered = log.snapshot_index
        self._asked = self._major_asked = self._snapshot_asked = False
        self._hoarders: dict[int, str] = {}
        self._last: dict[str, Any] = NO_RUN

    # -- when ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of time passed."""
        self._ticks += 1
        if self.log.no_space and self._ticks * self.tick_ms % ROOM_EVERY_MS < self.tick_ms:
            self.log.look_for_room()
        waits = self.run is not None and self.run.stage is Stage.REWRITE
        self._waited = self._waited + 1 if waits else 0
        if self._waited * self.tick_ms > ANSWER_MS_MAX:
            self.cancel(f"the compactor has not answered for {ANSWER_MS_MAX // 60_000} minutes")
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
        return self.runs + 1 + (self.run is not None)

    def administer(self, request: AdminRequest, applied_index: int) -> dict[str, int]:
        """Begin what an operator asks for; returns how its end can be seen, in fields of an ADMIN_REPORT."""
        if request.what == SNAPSHOT:
            self.ask(snapshot_only=True)
            return {"snapshot_index": applied_index}
        return {"run": self.ask(major=request.major)}

    def _wants_run(self, applied_index: int) -> bool:
        """Whether a run should begin now, at this applied index."""
        if applied_index == 0:
            return False
        if self._asked or self._snapshot_asked:
            return True
        rested = self._ticks >= self._not_before
        if rested and self.log.no_space:
            self._major_asked = True
            return True
        if not self.config.enabled or applied_index <= self.log.snapshot_index:
            return False
        if self._ticks >= min(self._minor_at, self._major_at):
            return True
        sealed = self.log.sealed_through(applied_index) > self._considered
        return sealed and (rested or self._crowded())

    def _crowded(self) -> bool:
        """Whether the log takes much more room than what lives in it; two segments are always in use."""
        most = self.live_bytes * self.config.disk_ratio_percent // 100 + 2 * self.log.config.segment_bytes_max
        return self.log.log_bytes > most

    # -- runs ----------------------------------------------------------------------------------------

    def turn(
        self,
        executor: Executor,
        configuration_at: Callable[[int], Configuration],
        needed_from: Callable[[int], int | None],
    ) -> None:
        """Begin a run or go on with one; the caller is between two turns, and all that `executor` released is told.

        Segments that reach what `needed_from` tells, for members that lag by so many bytes at most, are left alone.
        """
        if self.run is None and self._wants_run(executor.applied_index):
            self._begin(executor, configuration_at(executor.applied_index).encode())
        if self.run is not None:
            self.run.advance(needed_from)
            self._settle(self.run)

    def _begin(self, executor: Executor, configuration: bytes) -> None:
        major = self._major_asked or self._ticks >= self._major_at
        snapshot_only = self._snapshot_asked
        self._asked = self._major_asked = self._snapshot_asked = False
        self._minor_at = self._ticks + self.config.minor_interval_ms // self.tick_ms
        if major:
            self._major_at = self._ticks + self.config.major_interval_ms // self.tick_ms
        self._considered = executor.applied_index
        self._name_hoarders(executor)
        self.run = CompactionRun(
            self.log,
            self.config,
            self.background,
            self._damaged,
            shard=self.shard,
            clock=self.clock,
            major=major,
            snapshot_only=snapshot_only,
        )
        self.run.begin(executor, configuration)

    def _name_hoarders(self, executor: Executor) -> None:
        """A machine that never releases keeps all its entries in the log for ever: say so, once for each."""
        for resource in executor.resources.values():
            if resource.hoards and resource.index not in self._hoarders and len(self._hoarders) < HOARDERS_MAX:
                self._hoarders[resource.index] = resource.name
                logger.warning(
                    "shard %d: resource %r, a %s, has released none of its %d entries; unless all of them still count, see "
                    "docs/compaction.md",
                    self.shard,
                    resource.name,
                    resource.type_name,
                    resource.kept,
                )

    def _settle(self, run: CompactionRun) -> None:
        """Take note of a run that is over."""
        if run.stage is not Stage.OVER:
            return
        self.run = None
        self.runs += 1
        self.failures += run.error is not None
        self.pause_ms, self.swap_ms = run.pause_ms, run.swap_ms
        self._not_before = self._ticks + RUN_SPACING_MS // self.tick_ms
        if run.job is not None and run.job.stats is not None:
            self.snapshots += 1
            self.live_entries = run.job.live_entries
            self.live_bytes = run.job.live_bytes
        if run.error is not None and run.error != self._last["error"]:
            logger.warning("shard %d: a compaction did not finish: %s", self.shard, run.error)
        self._last = run.status()

    def has_work(self) -> bool:
        """Whether the next turn should come at once."""
        return self.run is not None and self.run.stage is Stage.CAPTURE

    def take_request(self) -> CompactionRequest | None:
        """What the compactor is to be asked, once."""
        return None if self.run is None else self.run.take_request()

    def rewritten(self, result: CompactionResult) -> None:
        """The compactor has answered."""
        for run in (self._given_up, self.run):
            if run is not None:
                run.rewritten(result)

    def not_rewritten(self, reason: str) -> None:
        """There is no compactor, or it went away."""
        for run in (self._given_up, self.run):
            if run is not None:
                run.not_rewritten(reason)

    def cancel(self, reason: str = "cancelled, as the log was replaced by an install") -> None:
        """Give the run under way up: the log is about to be replaced, or the compactor does not answer."""
        run = self.run
        if run is not None:
            run.cancel(reason)
            self._settle(run)
            run.forget()
            # What the compactor still writes for it has to go.
            self._given_up = run if run.is_waited_for else self._given_up

    def status(self) -> dict[str, Any]:
        """The part of a status report that is about runs."""
        hoarders = list(self._hoarders.values())
        counts = {"runs": self.runs, "failures": self.failures, "snapshots": self.snapshots}
        return {"running": self.run is not None, **counts, "never_released": hoarders, **self._last}
