"""What compaction costs those who are served meanwhile: the same load without it and beside it, in turns, in one run.

    python -m ocelog.bench.interference --rounds 3 --seconds 10

A cluster of 1 x 3 that compacts only when asked is filled so that its log holds much that is live and much that is
dead. Then, per round, puts are offered at half of the highest rate that was measured, once with nothing else going on
and once while every replica compacts (major, every second, as often as full segments would have it); and the same with
as many puts as the cluster takes. A slow minute of the machine hits both.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..client.protocol.admin import COMPACT, AdminRequest
from ..cluster.maintenance import DONE, Outcome, carry_out
from .figures import Figures, count_within, measure
from .filled import CALL_SECONDS, NAME, NotDone, fill
from .harness import Phase, run_phase
from .histogram import Histogram
from .plan import OPERATIONS_MAX, Plan
from .report import Rows, show

REPLICAS = 3
SEGMENT_BYTES = 16 << 20
CLEAN_SECONDS = 120.0
WARM_UP_SECONDS = 3.0
INFLIGHT, INFLIGHT_OFFERED = 256, 1024
VALUE_BYTES = 100


class Compacting:
    """Has every replica compact every `every` seconds, from `begin` to `end`; `outcomes` of all runs."""

    def __init__(self, endpoints: Sequence[str], every: float) -> None:
        self.outcomes: list[Outcome] = []
        self._endpoints = endpoints
        self._every = every
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="compacting", daemon=True)

    def begin(self) -> None:
        """The load begins now."""
        self._thread.start()

    def end(self) -> None:
        """Let the run under way end. Raises NotDone when one failed."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + self._every
                outcomes = carry_out(self._endpoints, AdminRequest(COMPACT, True), None, CLEAN_SECONDS)
                self.outcomes += outcomes
                for outcome in outcomes:
                    if outcome.result != DONE:
                        raise NotDone(f"replica {outcome.replica}: {outcome.result}: {outcome.reason}")
        except BaseException as error:
            self._error = error


@dataclass(kw_only=True)
class Side:
    """What was measured on one side of the comparison, over all rounds."""

    latency: Histogram = field(default_factory=Histogram)
    offered: int = 0
    in_time: int = 0
    paces: list[float] = field(default_factory=list)
    runs: int = 0
    segments: int = 0
    compacting_seconds: float = 0.0
    load_seconds: float = 0.0

    @property
    def in_time_share(self) -> float:
        """Part of the offered operations that were served in time."""
        return self.in_time / max(self.offered, 1)

    @property
    def pace(self) -> float:
        """Operations a second when saturated, the mean of the rounds."""
        return sum(self.paces) / max(len(self.paces), 1)


class Comparison:
    """The two sides over a filled cluster: `alone`, and `beside` compactions."""

    def __init__(self, cluster: Any, *, keys: int, seconds: float, in_time_ms: float, every: float) -> None:
        self.alone, self.beside = Side(), Side()
        self.rate = 0.0
        self._cluster = cluster
        self._keys = keys
        self._seconds = seconds
        self._in_time_ns = int(in_time_ms * 1e6)
        self._every = every
        self._source = 1

    def run(self, rounds: int) -> None:
        """Fill, find the highest rate, and compare that many times. Raises what `filled` raises, and NotDone."""
        fill(self._cluster, keys=self._keys, entries=2 * self._keys, value_bytes=VALUE_BYTES)
        self._load(0.0, WARM_UP_SECONDS)
        self.rate = measure(self._load(0.0, self._seconds).history).operations_per_second / 2
        for _ in range(rounds):
            for side in (self.alone, self.beside):
                with self._compacting(side):
                    self._offered(side)
                with self._compacting(side):
                    side.paces.append(self._measured(self._load(0.0, self._seconds), side).operations_per_second)

    @contextmanager
    def _compacting(self, side: Side) -> Iterator[None]:
        if side is self.alone:
            yield
            return
        compacting = Compacting(self._cluster.endpoints, self._every)
        compacting.begin()
        try:
            yield
        finally:
            compacting.end()
        side.runs += len(compacting.outcomes)
        side.segments += sum(outcome.segments or 0 for outcome in compacting.outcomes)
        side.compacting_seconds += sum(outcome.seconds or 0.0 for outcome in compacting.outcomes)

    def _offered(self, side: Side) -> None:
        phase = self._load(self.rate, self._seconds)
        figures = self._measured(phase, side)
        side.latency.merge([figures.latency])
        side.offered += phase.offered
        side.in_time += count_within(phase.history, self._in_time_ns)

    def _measured(self, phase: Phase, side: Side) -> Figures:
        figures = measure(phase.history)
        side.load_seconds += figures.seconds
        return figures

    def _load(self, rate: float, seconds: float) -> Phase:
        self._source += 1
        plan = Plan(
            workload="put",
            endpoints=tuple(self._cluster.endpoints),
            source=self._source,
            names=(NAME,),
            inflight=INFLIGHT_OFFERED if rate else INFLIGHT,
            operations=OPERATIONS_MAX,
            seconds=seconds,
            keys=self._keys,
            value_bytes=VALUE_BYTES,
            timeout=CALL_SECONDS,
            rate=rate,
        )
        return run_phase([plan])


def rows(comparison: Comparison) -> Rows:
    """The table: each side, and how they compare."""
    alone, beside = comparison.alone, comparison.beside
    p99 = beside.latency.quantile(0.99) / max(alone.latency.quantile(0.99), 1)
    busy = beside.compacting_seconds / REPLICAS / max(beside.load_seconds, 1e-9)
    return [
        ("offered", f"{comparison.rate:,.0f}/s, half of what was measured first"),
        ("alone", _side(alone)),
        ("compacting", _side(beside)),
        (
            "runs",
            f"{beside.runs} on {REPLICAS} replicas, {beside.segments} segments rewritten; "
            f"each was at it {busy:.0%} of the time",
        ),
        ("p99", f"{p99:.2f} times that without compaction"),
        ("throughput", f"{beside.pace / max(alone.pace, 1e-9):.0%} of that without compaction"),
    ]


def _side(side: Side) -> str:
    summary = side.latency.summary_ms()
    latency = f"p50 {summary['p50']:.1f} ms  p99 {summary['p99']:.1f} ms  max {summary['max']:.1f} ms"
    return f"{side.in_time_share:.2%} in time  {latency}; saturated {side.pace:,.0f}/s"


def main() -> None:
    """Compare and show."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(description="A load without compaction and beside it, in turns.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load, four of which make a round")
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--in-time-ms", type=float, default=100.0, help="served in time by then")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from one compaction to the next")
    options = parser.parse_args()
    only_when_asked = {"enabled": 0}
    with LocalCluster(
        shards=1, replicas=REPLICAS, log={"segment_bytes_max": SEGMENT_BYTES}, compaction=only_when_asked
    ) as cluster:
        comparison = Comparison(
            cluster, keys=options.keys, seconds=options.seconds, in_time_ms=options.in_time_ms, every=options.every
        )
        began = time.monotonic()
        comparison.run(max(1, options.rounds))
    show(f"what compaction costs, in {time.monotonic() - began:.0f} s", rows(comparison))


if __name__ == "__main__":
    main()
