"""A cluster of real processes under kills, clients that record what they see, and the verdict on their history.

Every few seconds a leader, another replica or a router is killed or frozen, and comes back a moment later. Clients come
and go, listen, read at every level, write with and without waiting for listeners. At the end everything is healed, everybody
reads once more, and every listener has to have got everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic_ns
from typing import Protocol

from ocelog.client import DeadlineExceeded, OcelogError
from ocelog.cluster.local import LocalCluster

from .check import check
from .objects import ObjectWorker
from .recording import COUNTER, KEYS, MAP, Recorder
from .records import OK, UNKNOWN, History

logger = logging.getLogger(__name__)

FINAL_SECONDS = 60.0
ABANDON_SECONDS = 10.0
"""Longer than a fault takes."""
BACK_SECONDS = (0.2, 2.0)
"""A victim comes back after a while drawn from here."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run. Times in seconds; `clients` work all the time, beside one that comes and goes."""

    seconds: float = 60.0
    clients: int = 5
    routers: int = 3
    replicas: int = 3
    every: float = 4.0
    pause: float = 0.02
    seed: int = 1


@dataclass(kw_only=True)
class Report:
    """What came of it."""

    history: History
    complaints: list[str]
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Counter[str]:
        """How much of what there was."""
        counts: Counter[str] = Counter()
        for operation in self.history.operations:
            kind = "reads" if operation.is_query else "commands"
            counts[f"{operation.level} {kind}"] += 1
            if operation.outcome != OK:
                counts[f"{operation.outcome} {kind}"] += 1
        for each in self.history.objects:
            counts[f"{each.model} operations"] += 1
        for listener in self.history.listeners:
            counts["listeners"] += 1
            for given in listener.given:
                counts["resyncs" if given.kind == "resync" else "events"] += 1
        return counts

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(self.counts.items()))
        faults = ", ".join(f"{number} {name}" for name, number in sorted(self.faults.items()))
        verdict = "every promise kept" if not self.complaints else f"{len(self.complaints)} complaints"
        return f"{counts}\n{faults or 'no faults'}\n{verdict}"


class Faults:
    """Strikes every `every` seconds, on average, until `stop`; then everybody is back."""

    def __init__(self, cluster: LocalCluster, plan: Plan) -> None:
        self.cluster = cluster
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.whole = True
        self.error: BaseException | None = None
        self._rng = random.Random(plan.seed + 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """Strike no more: the run has ended before its time."""
        self._over.set()
        self._thread.join(ABANDON_SECONDS)

    def stop(self) -> None:
        """Strike no more; raises what went wrong."""
        self._over.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._over.wait(self._rng.uniform(0.5, 1.5) * self.plan.every):
                self._strike()
        except BaseException as error:
            self.error = error

    def _strike(self) -> None:
        draw = self._rng.random()
        if draw < 0.3:
            self._router()
            return
        with contextlib.suppress(TimeoutError, OcelogError):
            replica = self.cluster.leader(0, timeout=10)
            who = "leader"
            if draw < 0.45:
                who, replica = "follower", (replica + 1) % self.plan.replicas
            if draw > 0.85:
                self.counts[f"{who}s frozen"] += 1
                self.cluster.pause(0, replica)
                self._wait()
                self.cluster.resume(0, replica)
            else:
                self.counts[f"{who}s killed"] += 1
                self.cluster.kill(0, replica)
                self._wait()
                self.cluster.restart(0, replica)

    def _router(self) -> None:
        router = self._rng.randrange(self.plan.routers)
        self.counts["routers killed"] += 1
        self.cluster.kill_router(router)
        self._wait()
        self.cluster.restart_router(router)

    def _wait(self) -> None:
        time.sleep(self._rng.uniform(*BACK_SECONDS))


class Striking(Protocol):
    """What strikes beside the load: `counts` says how often it did what, `stop` ends it and puts everything back.

    `whole` is False when the cluster did not come back after that: then nobody reads it once more.
    """

    counts: Counter[str]
    whole: bool

    def stop(self) -> None:
        """Strike no more; raises what went wrong."""

    def abandon(self) -> None:
        """Strike no more, whatever state it leaves: the run has ended before its time."""


def run(
    plan: Plan,
    cluster: LocalCluster | None = None,
    strike: Callable[[LocalCluster, Plan], Striking] = Faults,
) -> Report:
    """Run it all in this process, with the cluster, started here, in processes of its own."""
    cluster = cluster or LocalCluster(shards=1, replicas=plan.replicas, routers=plan.routers)
    with cluster:
        faults: list[Striking] = []
        complaints: list[str] = []
        try:
            history = asyncio.run(_load(cluster, plan, faults, strike, complaints))
        except BaseException:
            for each in faults:
                each.abandon()  # or it would start again what is being stopped
            raise
        report = Report(history=history, complaints=complaints, faults=faults[0].counts)
    report.complaints += check(history)
    return report


async def _load(
    cluster: LocalCluster,
    plan: Plan,
    faults: list[Striking],
    strike: Callable[[LocalCluster, Plan], Striking],
    complaints: list[str],
) -> History:
    history, serials = History(), count(1)
    recorders = [_recorder(f"client-{number}", cluster, plan, history, serials) for number in range(plan.clients)]
    for position, recorder in enumerate(recorders):
        await recorder.connect()
        await recorder.listen(*_what(position))
        if position % 2:
            await recorder.stream(*_what(position + 1))
    until = asyncio.get_running_loop().time() + plan.seconds
    faults.append(strike(cluster, plan))
    # Two at once for every client: what is in flight together must keep its order.
    working = [recorder.work(until, plan.pause) for recorder in recorders for _ in range(2)]
    objects = [ObjectWorker(recorder) for recorder in recorders]
    working += [worker.work(until, 2 * plan.pause) for worker in objects]
    await asyncio.gather(_come_and_go(cluster, plan, history, serials, until, complaints), *working)
    await asyncio.to_thread(faults[0].stop)
    if faults[0].whole:
        for worker in objects:
            await worker.look()
        await _finish(recorders)
    for recorder in recorders:
        await recorder.close()
        if recorder.errors:
            raise recorder.errors[0]
    return history


def _recorder(name: str, cluster: LocalCluster, plan: Plan, history: History, serials: Iterator[int]) -> Recorder:
    rng = random.Random(f"{plan.seed} {name}")
    endpoints = list(cluster.endpoints)
    rng.shuffle(endpoints)
    return Recorder(name=name, endpoints=endpoints, history=history, serials=serials, rng=rng)


def _what(position: int) -> tuple[str, str | None]:
    """What listeners listen to, in turn: everything, a counter, one key."""
    return ((MAP, None), (COUNTER, None), (MAP, KEYS[0]))[position % 3]


async def _come_and_go(
    cluster: LocalCluster,
    plan: Plan,
    history: History,
    serials: Iterator[int],
    until: float,
    complaints: list[str],
) -> None:
    """One client after the other: it listens, works for a while and closes. One that is turned away is a complaint."""
    loop = asyncio.get_running_loop()
    for number in count():
        if loop.time() + 2 > until:
            return
        recorder = _recorder(f"guest-{number}", cluster, plan, history, serials)
        await recorder.connect()
        try:
            await recorder.listen(*_what(number))
            await recorder.work(min(until, loop.time() + recorder.rng.uniform(1, 4)), plan.pause)
        except DeadlineExceeded as error:
            # No fault lasts as long as a deadline, so there was time enough to serve it.
            complaints.append(f"{recorder.name} was turned away: {error}")
        await recorder.close()


async def _finish(recorders: list[Recorder]) -> None:
    """Everybody reads everything; one last change of everything tells the listeners' end."""
    for recorder in recorders:
        await recorder.read_everything()
    # Not the last records of the history: handlers go on calling.
    last = [await recorders[0].operate("put", key, "sequential") for key in KEYS]
    last.append(await recorders[0].operate("add", None, "sequential"))
    lost = sum(operation.outcome == UNKNOWN for operation in last)
    assert not lost, f"{lost} of the last commands have no outcome, in a cluster that is whole"
    ends = {operation.key: operation.index for operation in last}
    deadline = monotonic_ns() + int(FINAL_SECONDS * 1e9)
    for recorder in recorders:
        for listener in recorder.listeners:
            everything = KEYS if listener.resource == MAP else (None,)
            keys = everything if listener.key is None else (listener.key,)
            listener.until = max(ends[key] for key in keys)
            while max((given.index for given in listener.given), default=0) < listener.until:
                if monotonic_ns() > deadline:
                    break  # the checker says what is missing
                await asyncio.sleep(0.02)
