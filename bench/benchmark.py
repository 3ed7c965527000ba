"""One benchmark from its options to its report: prepare, load, read everything back, judge.

The order matters: what is read back at the end is part of the check, so it happens after every load process has
ended and every killed replica is up again, and it is not part of the figures.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..client.protocol.errors import OcelogError
from ..client.protocol.routing import SlotTable
from ..cluster.shardmap import equal_ranges
from .checker import Verdict, check_counters, check_map
from .cpu import Meter, groups_of
from .faults import Fault, KillLeaders
from .figures import Figures, measure
from .harness import Phase, run_phase
from .plan import Plan, shares

READ_BACK_SECONDS = 120.0
READ_BACK_INFLIGHT = 256
FILL_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What to load and how. `cluster` (shards, replicas) starts one of its own, else `endpoints` name a running one."""

    workload: str
    cluster: tuple[int, int] | None = None
    endpoints: tuple[str, ...] | None = None
    operations: int = 100_000
    seconds: float = 600.0
    clients: int = 1
    inflight: int = 256
    processes: int = 1
    value_bytes: int = 100
    keys: int = 10_000
    timeout: float = 10.0
    kill_leader_at: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the load is increments of counters (else it is puts and gets of maps)."""
        return self.workload == "counter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Everything a report tells about one benchmark. `cpu_ns` is per group of processes, the load's own included."""

    options: Options
    figures: Figures
    verdict: Verdict
    errors: int
    errors_by_type: dict[str, int]
    first_error: str
    cpu_ns: dict[str, int]
    harness_ns_per_operation: int
    faults: tuple[Fault, ...] = ()


def run(options: Options) -> Outcome:
    """Run one benchmark. Raises OcelogError when no cluster answers, LoadFailed when a load process does not."""
    with _cluster(options) as (endpoints, cluster):
        status = _status(endpoints, options.timeout)
        plans = _plans(options, endpoints, len(status["shards"]))
        filled = _fill(options, plans[0])
        meter = Meter(groups_of(status))
        phase, faults = _load(options, plans, cluster, len(status["shards"]), meter)
        final = run_phase([_read_back(options, plans[0])])
        if cluster is None and not options.counts:
            _clear(plans[0])
    return _outcome(options, filled, phase, final, meter, faults)


@contextmanager
def _cluster(options: Options) -> Iterator[tuple[tuple[str, ...] | None, Any]]:
    """The endpoints to load, and the cluster object if it is our own."""
    if options.cluster is None:
        yield options.endpoints, None
        return
    from ..cluster import LocalCluster

    shards, replicas = options.cluster
    with LocalCluster(shards=shards, replicas=replicas) as cluster:
        yield tuple(cluster.endpoints), cluster


def _status(endpoints: Sequence[str] | None, timeout: float) -> dict[str, Any]:
    from ..client.status import fetch

    return fetch(endpoints, timeout)


def _plans(options: Options, endpoints: tuple[str, ...] | None, shards: int) -> list[Plan]:
    """One plan per load process; source 0 is kept for what prepares the run."""
    seed = secrets.randbits(32)
    names = resource_names(f"bench-{seed:08x}", shards, options.keys if options.counts else None)
    operations = shares(options.operations, options.processes)
    clients = shares(options.clients, options.processes)
    base = Plan(
        workload=options.workload,
        endpoints=endpoints,
        source=0,
        names=names,
        inflight=options.inflight,
        seconds=options.seconds,
        keys=options.keys,
        value_bytes=options.value_bytes,
        timeout=options.timeout,
        seed=seed,
    )
    return [
        replace(base, source=1 + process, operations=operations[process], clients=clients[process])
        for process in range(options.processes)
    ]


def resource_names(prefix: str, shards: int, counters: int | None) -> tuple[str, ...]:
    """Names of `counters` counters, or of one map on each shard: a map lives whole on one, so all shards get load."""
    if counters is not None:
        return tuple(f"{prefix}-{number}" for number in range(counters))
    table = SlotTable(equal_ranges(shards))
    names: dict[int, str] = {}
    number = 0
    while len(names) < shards:
        name = f"{prefix}-{number}"
        names.setdefault(table.shard_of(name.encode()), name)
        number += 1
    return tuple(names[shard] for shard in range(shards))


def _fill(options: Options, plan: Plan) -> Phase | None:
    """Give every key a value where the load only reads."""
    if options.workload != "get":
        return None
    return run_phase([_one_by_one(plan, "fill", options.keys, FILL_SECONDS)])


def _read_back(options: Options, plan: Plan) -> Plan:
    return _one_by_one(plan, "counter_read_back" if options.counts else "read_back", options.keys, READ_BACK_SECONDS)


def _one_by_one(plan: Plan, workload: str, keys: int, seconds: float) -> Plan:
    """The plan that does one operation on every key."""
    inflight = min(READ_BACK_INFLIGHT, keys)
    return replace(plan, workload=workload, source=0, clients=1, inflight=inflight, operations=keys, seconds=seconds)


def _load(
    options: Options, plans: list[Plan], cluster: Any, shards: int, meter: Meter
) -> tuple[Phase, tuple[Fault, ...]]:
    if options.kill_leader_at is None:
        return run_phase(plans, on_poll=meter.sample), ()

    def restarted(shard: int, replica: int) -> None:
        meter.watch("follower", cluster.pid(shard, replica))

    schedule = KillLeaders(cluster, shards, options.kill_leader_at, restarted)
    try:
        phase = run_phase(plans, on_begin=schedule.start, on_poll=meter.sample)
    finally:
        faults = schedule.finish()
    return phase, tuple(faults)


def _clear(plan: Plan) -> None:
    """Leave a cluster that is not ours without the run's data; as well as may be, for the figures are already in."""
    from ..client.sync import connect

    try:
        with connect(plan.endpoints, timeout=plan.timeout) as client:
            for name in plan.names:
                client.map(name).clear()
    except OcelogError:
        return  # a cluster too busy to clear a map keeps it; the next run uses other names


def _outcome(
    options: Options, filled: Phase | None, phase: Phase, final: Phase, meter: Meter, faults: tuple[Fault, ...]
) -> Outcome:
    history = filled.history.joined(phase.history) if filled is not None else phase.history
    check = check_counters if options.counts else check_map
    return Outcome(
        options=options,
        figures=measure(phase.history),
        verdict=check(history, final.history),
        errors=phase.errors.total(),
        errors_by_type=dict(phase.errors),
        first_error=phase.first_error or final.first_error,
        cpu_ns={**meter.spent_ns(), "load": phase.cpu_ns},
        harness_ns_per_operation=phase.harness_ns_per_operation,
        faults=faults,
    )
