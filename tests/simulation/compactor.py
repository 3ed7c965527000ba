"""The compactor process of one machine: it outlives the replica that asked, dies with the power, and may die by itself.

It does what `log/compactor_process.py` does: the requests in turn, over the same disk as the replica.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ocelog.log.compaction_request import CompactionRequest, CompactionResult
from ocelog.log.compactor import rewrite

from .disk import SimDisk
from .disk_work import DiskWork
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan

Answer = CompactionResult | str
"""What came of a request, or why nothing will."""
Answered = Callable[[Answer], None]

ABSENT = "no compactor is running on this host"
LOST = "the compactor went away"


class SimCompactor:
    """Takes requests with `send`. `rewritten` counts the segments that were rewritten, `combined` those made of several."""

    def __init__(self, plan: Plan, scheduler: Scheduler, disk: SimDisk) -> None:
        self.plan = plan
        self.scheduler = scheduler
        self.disk = disk
        self.rewritten = 0
        self.combined = 0
        self._waiting: deque[tuple[bytes, Answered]] = deque()
        self._work: DiskWork | None = None

    def send(self, request: CompactionRequest, answer: Answered) -> None:
        """Carry out a request when those before it are done, and call `answer`; soon if there is nobody to do it."""
        if self.scheduler.chance(self.plan.compactor_absent):
            self.scheduler.after(MS, answer, ABSENT)
            return
        self._waiting.append((request.to_wire(), answer))
        self._next()

    def _next(self) -> None:
        if not self._waiting or (self._work is not None and not self._work.over):
            return
        plan, scheduler = self.plan, self.scheduler
        data, answer = self._waiting[0]
        request = CompactionRequest.from_wire(data)
        result: list[CompactionResult] = []
        self._work = DiskWork(
            scheduler,
            self.disk,
            scheduler.between(plan.compaction_min, plan.compaction_max),
            run=lambda: result.append(rewrite(self.disk, request)),
            ran=lambda: None,
            done=lambda: self._done(request, result[0], answer),
            no_space=lambda: None,
        )
        if scheduler.chance(plan.compactor_crash):
            scheduler.after(scheduler.between(0, plan.compaction_max), self._crash, self._work)

    def _done(self, request: CompactionRequest, result: CompactionResult, answer: Answered) -> None:
        written = [group for group, made in zip(request.groups, result.groups, strict=True) if made.error is None]
        self.rewritten += len(written)
        self.combined += sum(len(group.sources) > 1 for group in written)
        self.scheduler.note(f"a compactor is done: {[(group.entries, group.error) for group in result.groups]}")
        self._waiting.popleft()
        answer(CompactionResult.from_wire(result.to_wire()))
        self._next()

    def _crash(self, work: DiskWork) -> None:
        if not work.over:
            self.scheduler.note("a compactor is killed")
            for answer in self.cut_off():
                self.scheduler.after(SECOND // 10, answer, LOST)

    def cut_off(self) -> list[Answered]:
        """The process is killed, in the middle of its work if there is any; returns who waits in vain."""
        if self._work is not None:
            self._work.cut_off()
        waiting = [answer for _, answer in self._waiting]
        self._waiting.clear()
        return waiting
