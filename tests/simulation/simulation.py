"""One run of one seed: a cluster under faults (safety phase), then healed until everything is answered (liveness phase).

outcome = run(4711)          # raises Failure, whose text says how to replay it
outcome.trace                # equal for equal seeds, on any machine and under any PYTHONHASHSEED
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from ocelog.shard import housekeeping, rebuild, transfers
from ocelog.shard import replica as replica_module

from .client import SimClient
from .client_checkers import CLIENT_CHECKERS
from .compaction_checkers import COMPACTION_CHECKERS
from .event_checkers import EVENT_CHECKERS
from .faults import Faults
from .host import Host
from .keyed_checkers import KEYED_CHECKERS
from .network import Network
from .observer import Observer, Violation, present
from .profiles import PROFILES
from .raft_checkers import RAFT_CHECKERS
from .read_checkers import READ_CHECKERS
from .resources import queries_of
from .router import SimRouter
from .rule_checkers import RULE_CHECKERS
from .scheduler import MS, SECOND, Scheduler
from .swarm import draw
from .workload import Workload

CHECKERS = (
    *RAFT_CHECKERS,
    *CLIENT_CHECKERS,
    *READ_CHECKERS,
    *EVENT_CHECKERS,
    *COMPACTION_CHECKERS,
    *RULE_CHECKERS,
    *KEYED_CHECKERS,
)

LIVENESS_MAX = 60 * SECOND
"""Virtual time within which a healed cluster has to have answered everything."""

DISK_BYTES = 1 << 26


class Failure(AssertionError):
    """A seed broke an invariant, or an assertion of the code itself.

    `what` says which: the checker's name, or the exception's; `seconds` of virtual time it took, and `faults` and `operations`.
    """

    def __init__(self, text: str, simulation: Simulation, error: Exception) -> None:
        super().__init__(text)
        kind = type(error).__name__
        self.what = str(error).partition(":")[0] if isinstance(error, Violation) else kind
        self.seconds = simulation.scheduler.seconds
        self.faults = simulation.faults.strikes
        self.operations = simulation.workload.issued


@dataclass(frozen=True)
class Run:
    """What a run amounted to, so that a test can see that the seeds exercise something."""

    seed: int
    trace: int
    steps: int
    seconds: float
    entries: int
    terms: int
    restarts: int
    answered: int
    unknown: int
    faults: int
    looks: int
    counts: Counter[str]


class Simulation:
    """The parts of one run, put together; `overrides` are fields of the plan that are not left to the seed."""

    def __init__(
        self, seed: int, *, listener: Callable[[str], None] | None = None, overrides: Mapping[str, Any] | None = None
    ) -> None:
        self.seed = seed
        self.scheduler = Scheduler(seed, listener)
        named = [name for name, fields in PROFILES.items() if overrides and fields == overrides]
        self._profile = f" --profile {named[0]}" if named else f" with {dict(overrides)}" if overrides else ""
        self.plan = replace(draw(self.scheduler.rng), **(overrides or {}))
        self.network = Network(self.scheduler, self.plan.weather)
        self.workload = Workload()
        self.observer = Observer(self.plan.members, self.workload)
        self.observer.model.queries = queries_of(self.plan.machines)
        self.observer.checkers = [checker(self.observer) for checker in CHECKERS]
        self.hosts = [
            Host(member, self.plan, self.scheduler, self.network, DISK_BYTES) for member in range(self.plan.members)
        ]
        for host in self.hosts:
            self.observer.watch_host(host)
            self.scheduler.after(self.scheduler.between(0, 100 * MS), host.start)
        self.routers = [
            SimRouter(number, self.plan, self.scheduler, self.network, self.hosts)
            for number in range(self.plan.routers)
        ]
        self.clients = [
            SimClient(number, self.plan, self.scheduler, self.network, self.workload, self.routers)
            for number in range(self.plan.clients)
        ]
        for client in self.clients:
            self.observer.watch_client(client)

    def run(self) -> Run:
        """Both phases. Raises Failure."""
        self.faults = Faults(self.plan, self.scheduler, self.network, self.hosts, self.clients, self.routers)
        with self.tiny_limits(), quiet(), uncollected():
            try:
                self.scheduler.run_until(self.plan.duration)
                self.faults.stop()
                self._finish()
            except Exception as error:
                raise Failure(
                    f"seed {self.seed} fails at {self.scheduler.seconds:.6f} s: {type(error).__name__}: {error}\n"
                    f"replay it with: python -m tests.simulation --seed {self.seed}{self._profile}",
                    self,
                    error,
                ) from error
        return self._summary()

    @contextmanager
    def tiny_limits(self) -> Iterator[None]:
        """What the code does in slices it does in tiny ones, so that everything else comes in between."""
        plan = self.plan
        with ExitStack() as stack:
            for module, name, value in (
                (replica_module, "APPLY_ENTRIES_MAX", plan.apply_entries_max),
                (transfers, "PART_BYTES", plan.part_bytes),
                (transfers, "WINDOW_BYTES", plan.window_parts * plan.part_bytes),
                (rebuild, "RESTORE_ENTRIES_MAX", plan.restore_entries_max),
                (housekeeping, "RUN_SPACING_MS", plan.run_spacing_ms),
            ):
                stack.enter_context(patch.object(module, name, value))
            yield

    def _finish(self) -> None:
        """Everything asked is answered, one more write and read per client succeed, and all replicas end equal."""
        for client in self.clients:
            client.finish()
        deadline = self.scheduler.now + LIVENESS_MAX
        while self.workload.open and self.scheduler.now < deadline:
            self.scheduler.run_until(self.scheduler.now + 100 * MS)
        if self.workload.open:
            raise Violation(
                f"Liveness: {len(self.workload.open)} calls never end, such as {min(map(str, self.workload.open))}"
            )
        while not self.converged() and self.scheduler.now < deadline:
            self.scheduler.run_until(self.scheduler.now + 100 * MS)
        if not self.converged():
            raise Violation(f"Liveness: the replicas stay apart: {[self._position(host) for host in self.hosts]}")
        while (late := self._unhandled()) and self.scheduler.now < deadline:
            self.scheduler.run_until(self.scheduler.now + 100 * MS)
        if late:
            raise Violation(f"Liveness: {', '.join(late)}")
        self.observer.tell("finished", self.clients)
        self._compact_everything(deadline)

    def _compact_everything(self, deadline: int) -> None:
        """A last major compaction everywhere: what is dead goes, and all replicas still agree after they were restarted."""
        waiting = dict.fromkeys(self.hosts, 0)
        while waiting:
            if self.scheduler.now >= deadline:
                raise Violation(f"Liveness: the last compactions of {[host.name for host in waiting]} do not end")
            for host, run in list(waiting.items()):
                # At once, as the next run may begin with the next turn. What is healed or stopped meanwhile is asked again.
                house = None if host.replica is None else host.replica.housekeeping
                if house is not None and 0 < run <= house.runs and house.status()["error"] is None:
                    del waiting[host]
                    self._check_compacted(host)
                elif house is None or run <= house.runs:
                    waiting[host] = 0 if house is None else house.ask(major=True)
            self.scheduler.step()

    def _check_compacted(self, host: Host) -> None:
        log = host.replica.log
        here = [index for index, _ in present(log, log.dense_index)]
        live = [index for index in self.observer.model.lives[log.snapshot_index] if index <= log.dense_index]
        if here != live:
            raise Violation(f"Compacts: {host.name} still holds {len(here)} entries, {len(live)} of them live")

    def _unhandled(self) -> list[str]:
        """The sessions whose events are not all handled, as the log knows, though their application would handle them."""
        late = []
        for client in self.clients:
            session = self.observer.model.sessions.get(client.session.envelope.session)
            if session is not None and session.events and not client.handler.stuck:
                late.append(
                    f"{client.name} does not get events, or the log not what it handled: {session.events[0][:2]}"
                )
        return late

    def _position(self, host: Host) -> tuple[int, int, int]:
        replica = host.replica
        if replica is None:
            return (0, 0, 0)
        return (replica.executor.applied_index, replica.core.commit_index, replica.log.last_index)

    def converged(self) -> bool:
        """Whether every replica runs, votes, and has logged, committed and applied all that anybody committed."""
        committed = len(self.observer.committed)
        there = all(self._position(host) == (committed, committed, committed) for host in self.hosts)
        return there and all(host.votes_in(host.configuration) for host in self.hosts)

    def _summary(self) -> Run:
        finished = self.workload.finished
        return Run(
            seed=self.seed,
            trace=self.scheduler.trace,
            steps=self.scheduler.steps,
            seconds=self.scheduler.seconds,
            entries=len(self.observer.committed),
            terms=max(host.replica.core.term for host in self.hosts),
            restarts=sum(host.counts["starts"] for host in self.hosts) - len(self.hosts),
            answered=sum(operation.call.error is None for operation in finished),
            unknown=sum(not getattr(operation.call.error, "definite", True) for operation in finished),
            faults=self.faults.strikes + self.network.lost,
            looks=self.observer.looks,
            counts=sum((host.counts for host in self.hosts), self.observer.counts)
            + self.workload.counts
            + Counter(
                rewritten=sum(host.compactor.rewritten for host in self.hosts),
                combined=sum(host.compactor.combined for host in self.hosts),
                changes=self.faults.operator.changes,
                handovers=self.faults.operator.transfers,
            ),
        )


def run(seed: int, *, overrides: Mapping[str, Any] | None = None) -> Run:
    """Run one seed. Raises Failure."""
    return Simulation(seed, overrides=overrides).run()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cyclic garbage, which takes a twentieth of the time; what one run leaves is small."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def quiet() -> Iterator[None]:
    """The code under test logs what it should; a thousand simulated elections are nobody's news."""
    logger = logging.getLogger("ocelog")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
