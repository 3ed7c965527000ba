"""One benchmark from its options to its report: prepare, load, read everything back, judge.

The order matters: what is read back at the end is part of the check, so it happens after every load process has
ended and every killed replica is up again, and it is not part of the figures.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..client.protocol.errors import OcelogError
from ..client.protocol.routing import SlotTable
from ..cluster.shardmap import equal_ranges
from .checker.tally import Verdict, check_counters, check_map
from .cpu import Meter, groups_of
from .faults import Fault, KillLeaders, Schedule, StopFollowers
from .figures import Figures, count_within, measure
from .harness import Phase, run_phase
from .plan import Plan, shares
from .samples import Sampler

READ_BACK_SECONDS = 120.0
READ_BACK_INFLIGHT = 256
FILL_SECONDS = 300.0

READ_BACKS = {"counter": "counter_read_back", "partitioned": "partitioned_read_back"}
"""The workload that reads back what one leaves, where that is not maps of the names in the plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What to load and how. `cluster` (shards, replicas) starts one of its own, else `endpoints` name a running one.

    `sections` are settings of a cluster of its own. With a `rate` operations are offered at intended times, and those
    answered within `in_time_ms` of them count as served in time. `sample_every` seconds the status is sampled; 0: never.
    `consistency` names the level of gets, empty for the client's own.
    """

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
    stop_replica_at: float | None = None
    return_replica_at: float | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 0.0
    in_time_ms: float = 100.0
    sample_every: float = 0.0
    consistency: str = ""

    @property
    def counts(self) -> bool:
        """Whether the load is increments of counters (else it is puts and gets of maps)."""
        return self.workload == "counter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Everything a report tells about one benchmark. `cpu_ns` is per group of processes, the load's own included.

    Of `offered` operations `unserved` were never begun and `in_time` served in time. `segment_bytes_max` is that of the
    cluster, if it is one of the run's own.
    """

    options: Options
    figures: Figures
    verdict: Verdict
    errors: int
    errors_by_type: dict[str, int]
    first_error: str
    cpu_ns: dict[str, int]
    harness_ns_per_operation: int
    faults: tuple[Fault, ...] = ()
    offered: int = 0
    unserved: int = 0
    in_time: int = 0
    samples: list[tuple[Any, ...]] = field(default_factory=list)
    segment_bytes_max: int | None = None


def run(options: Options) -> Outcome:
    """Run one benchmark. Raises OcelogError when no cluster answers, LoadFailed when a load process does not."""
    with _cluster(options) as (endpoints, cluster):
        status = _status(endpoints, options.timeout)
        plans = _plans(options, endpoints, len(status["shards"]))
        filled = _fill(options, plans[0])
        meter = Meter(groups_of(status))
        sampler = _sampler(options, endpoints, cluster)
        phase, faults = _load(options, plans, _schedule(options, cluster, len(status["shards"]), meter), sampler, meter)
        final = run_phase([_read_back(options, plans[0])])
        if cluster is None and not options.counts:
            _clear(plans[0])
    outcome = _outcome(options, filled, phase, final, meter, faults)
    segment_bytes_max = cluster.settings.log.segment_bytes_max if cluster is not None else None
    return replace(outcome, samples=sampler.rows if sampler else [], segment_bytes_max=segment_bytes_max)


@contextmanager
def _cluster(options: Options) -> Iterator[tuple[tuple[str, ...] | None, Any]]:
    """The endpoints to load, and the cluster object if it is our own."""
    if options.cluster is None:
        yield options.endpoints, None
        return
    from ..cluster import LocalCluster

    shards, replicas = options.cluster
    with LocalCluster(shards=shards, replicas=replicas, **options.sections) as cluster:
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
        consistency=options.consistency,
    )
    return [
        replace(
            base,
            source=1 + process,
            operations=operations[process],
            clients=clients[process],
            rate=options.rate / options.processes,
        )
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
    return _one_by_one(plan, READ_BACKS.get(options.workload, "read_back"), options.keys, READ_BACK_SECONDS)


def _one_by_one(plan: Plan, workload: str, keys: int, seconds: float) -> Plan:
    """The plan that does one operation on every key."""
    inflight = min(READ_BACK_INFLIGHT, keys)
    return replace(plan, workload=workload, source=0, clients=1, inflight=inflight, operations=keys, seconds=seconds)


def _schedule(options: Options, cluster: Any, shards: int, meter: Meter) -> Schedule | None:
    """What is done to the cluster while it is loaded; None for nothing."""

    def restarted(shard: int, replica: int) -> None:
        meter.watch("follower", cluster.pid(shard, replica))

    if options.kill_leader_at is not None:
        return KillLeaders(cluster, shards, options.kill_leader_at, restarted)
    if options.stop_replica_at is not None and options.return_replica_at is not None:
        return StopFollowers(cluster, shards, options.stop_replica_at, options.return_replica_at, restarted)
    return None


def _sampler(options: Options, endpoints: Sequence[str] | None, cluster: Any) -> Sampler | None:
    if not options.sample_every:
        return None
    directory_of = cluster.directory if cluster is not None else None
    return Sampler(lambda: _status(endpoints, options.timeout), options.sample_every, directory_of)


def _load(
    options: Options, plans: list[Plan], schedule: Schedule | None, sampler: Sampler | None, meter: Meter
) -> tuple[Phase, tuple[Fault, ...]]:
    beside = [one for one in (schedule, sampler) if one is not None]

    def begin() -> None:
        for one in beside:
            one.start()

    faults: list[Fault] = []
    try:
        phase = run_phase(plans, on_begin=begin, on_poll=meter.sample)
    finally:
        # The schedule first: how the replica that it brings back catches up is worth sampling.
        if schedule is not None:
            faults = schedule.finish()
        if sampler is not None:
            sampler.finish()
    return phase, tuple(faults)


def _clear(plan: Plan) -> None:
    """Leave a cluster that is not ours without the run's data; as well as may be, for the figures are already in."""
    from ..client.sync import connect

    try:
        with connect(plan.endpoints, timeout=plan.timeout) as client:
            if plan.workload == "partitioned":
                client.partitioned_map(plan.names[0]).delete()
                return
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
        offered=phase.offered,
        unserved=phase.unserved,
        in_time=count_within(phase.history, int(options.in_time_ms * 1e6)),
    )
