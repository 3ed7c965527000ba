"""What one simulated process has others do beside its loop: a persist job, a background job, a request to the compactor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ocelog.shard.persist import PersistJob
from ocelog.shard.replica import Replica
from ocelog.shard.turn import BackgroundJob, Turn

from .compactor import Answer, SimCompactor
from .disk import SimDisk
from .disk_work import DiskWork
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan


class Jobs:
    """At most one job of each kind. `wake` is called when one is done, and `deliver` then tells the replica.

    `on_durable(job)` is called when a persist job has taken effect, `no_space` when one found the disk full.
    """

    def __init__(
        self,
        plan: Plan,
        scheduler: Scheduler,
        disk: SimDisk,
        compactor: SimCompactor,
        *,
        wake: Callable[[], None],
        on_durable: Callable[[PersistJob], None],
        no_space: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.scheduler = scheduler
        self.disk = disk
        self.compactor = compactor
        self._wake = wake
        self._on_durable = on_durable
        self._no_space = no_space
        self._running: list[DiskWork] = []
        self._done: list[Callable[[Replica], None]] = []
        self._alive = True

    @property
    def waiting(self) -> bool:
        """Whether something is done that the replica has not heard of."""
        return bool(self._done)

    def begin(self, turn: Turn) -> None:
        """Carry out what a turn asks for."""
        if turn.job is None and turn.background is None and turn.compaction is None:
            return  # as after most turns
        plan, scheduler = self.plan, self.scheduler
        if turn.job is not None:
            duration = scheduler.between(plan.sync_min, plan.sync_max)
            if scheduler.chance(plan.sync_hang):
                duration += scheduler.between(100 * MS, 3 * SECOND)
            self._work(turn.job, duration, ran=partial(self._on_durable, turn.job), done=_persisted)
        if turn.background is not None:
            duration = scheduler.between(plan.background_min, plan.background_max)
            self._work(turn.background, duration, ran=_nothing, done=_carried_out)
        if turn.compaction is not None:
            self.compactor.send(turn.compaction, self._answered)

    def _work(
        self,
        job: PersistJob | BackgroundJob,
        duration: int,
        *,
        ran: Callable[[], None],
        done: Callable[[Replica, PersistJob | BackgroundJob], None],
    ) -> None:
        plan = self.plan
        work = DiskWork(
            self.scheduler,
            self.disk,
            duration,
            run=job.run,
            ran=ran,
            done=lambda: self._finish(lambda replica: done(replica, job)),
            no_space=self._no_space,
            early=plan.early_effects,
        )
        self._running = [other for other in self._running if not other.over]
        self._running.append(work)

    def _finish(self, tell: Callable[[Replica], None]) -> None:
        self._done.append(tell)
        self._wake()

    def _answered(self, answer: Answer) -> None:
        if not self._alive:
            return
        if isinstance(answer, str):
            self._finish(lambda replica: replica.not_compacted(answer))
        else:
            self._finish(lambda replica: replica.compacted(answer))

    def deliver(self, replica: Replica) -> None:
        """Tell the replica what is done."""
        done, self._done = self._done, []
        for tell in done:
            tell(replica)

    def cut_off(self, operations: int | None = None) -> None:
        """The process is killed: its jobs stop somewhere in the middle, or after so many of the disk's operations.

        The compactor's answer reaches nobody.
        """
        self._alive = False
        for work in self._running:
            work.cut_off(operations)


def _persisted(replica: Replica, job: PersistJob | BackgroundJob) -> None:
    assert isinstance(job, PersistJob)
    replica.job_done(job)


def _carried_out(replica: Replica, job: PersistJob | BackgroundJob) -> None:
    assert not isinstance(job, PersistJob)
    replica.background_done(job)


def _nothing() -> None:
    """Nobody watches."""
