"""What events and consistency levels cost on a real cluster of 1 x 3: one figure per command.

    python -m ocelog.bench.events latency    # put to event with one listener, beside the put's own latency
    python -m ocelog.bench.events fan-out    # one put to 1000 listening sessions, until the last has its event
    python -m ocelog.bench.events flow       # events a second to one session
    python -m ocelog.bench.events idle       # 10 000 sessions that only keep alive: the leader's CPU and memory
    python -m ocelog.bench.events levels     # gets at each level: CPU per process

`--short` does each in a few seconds, which shows that it works and measures little. The listener of `latency` and `flow`
is a process of its own with an ordinary client; crowds are raw sessions in this one (`crowd.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil

from ..client.protocol import errors, operations
from .benchmark import Options, run
from .cpu import Meter, groups_of, replicas_of
from .crowd import Crowd
from .event_listener import Listener
from .histogram import Histogram
from .report import Rows, as_dict, show

SECONDS = 60.0
"""What a crowd does once, such as registering, takes at most so long."""

SETTLING_SECONDS = 2.0
PAUSE_SECONDS = 0.005
"""Between two puts of `latency`, so that what one leaves to be done does not delay the next."""

REST_SECONDS = 0.2
"""Between two rounds of `fan-out`."""

NAME = "events"
IN_FLIGHT = 256
AHEAD_MAX = 5000
"""Puts wait while the listener is so many events behind: over 10 000 the shard would end its session."""

LEVELS = ("LINEARIZABLE", "BOUNDED_LINEARIZABLE", "SEQUENTIAL", "CAUSAL")


class NoFigure(Exception):
    """What was to be measured did not happen; the text says what did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much of each is done: puts of `latency`, rounds and sessions of `fan-out`, and so on; seconds for the others."""

    puts: int = 2000
    rounds: int = 20
    listeners: int = 1000
    events: int = 200_000
    sessions: int = 10_000
    idle_seconds: float = 30.0
    gets_seconds: float = 8.0


SHORT = Sizes(puts=50, rounds=2, listeners=50, events=2000, sessions=200, idle_seconds=2.0, gets_seconds=0.5)

# -- one put, one listener ---------------------------------------------------------------------------


def latency(cluster: Any, sizes: Sizes) -> Rows:
    """One put after the other; the listener tells when each event came, by the clock that both processes share."""
    from ..client.sync import connect

    with connect(cluster.endpoints) as client:
        users = client.map(NAME)
        alone = [ended - began for began, ended in _puts(users, sizes.puts)]
        with Listener(cluster.endpoints, NAME) as listener:
            times = list(_puts(users, sizes.puts))
            came = [listener.when(number, SECONDS) for number in range(sizes.puts)]
    puts = [ended - began for began, ended in times]
    events = [at - began for at, (began, _) in zip(came, times, strict=True)]
    ratio, over_alone = median(events) / median(puts), median(events) / median(alone)
    return [
        ("put, nobody listens", _summary(alone)),
        ("put", _summary(puts)),
        ("put to event", _summary(events)),
        (
            "ratio of medians",
            f"{ratio:.2f} of the put (goal: under 1.3), {over_alone:.2f} of one that nobody listens to",
        ),
    ]


def _puts(users: Any, count: int) -> Iterator[tuple[int, int]]:
    """When each put began and ended (ns)."""
    for number in range(count):
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter_ns()
        users.put("key", number)
        yield began, time.perf_counter_ns()


def _summary(durations: list[int]) -> str:
    summary = Histogram.of(durations).summary_ms()
    return "  ".join(f"{name} {summary[name]:.3f} ms" for name in ("p50", "p90", "p99", "max"))


# -- one put, many listeners -------------------------------------------------------------------------


def opened(crowd: Crowd, type_name: str = "map") -> int:
    """Open the resource by the crowd's first session; its index."""
    opening = operations.encode([operations.SHARD, operations.OPEN, NAME, type_name])
    crowd.command(lambda number: opening, SECONDS, crowd.members[:1])
    result = crowd.members[0].result
    if result[0] != errors.OK:
        raise NoFigure(f"the {type_name} was not opened: {result[1:].decode()}")
    return int(operations.decode(b"\x92" + result[1:] + b"\xa0")[0])


def fan_out(cluster: Any, sizes: Sizes) -> Rows:
    """One put of a session, and how long it takes until every listening session has its event and the put its answer."""
    with Crowd(cluster.endpoints[0], size=1 + sizes.listeners) as crowd:
        crowd.register(SECONDS)
        index = opened(crowd)
        listen = operations.encode([index, "listen", None])
        crowd.command(lambda number: listen, SECONDS, crowd.members[1:])
        crowd.keep_alive()
        times = [_one_to_all(crowd, index, number, sizes.listeners) for number in range(sizes.rounds)]
    answered, took = ([time_of[which] for time_of in times] for which in (0, 1))
    return [
        ("sessions", f"{sizes.listeners} listening, {sizes.rounds} puts"),
        ("until the put was answered", _summary(answered)),
        ("until all were delivered", f"{_summary(took)} (goal: 150 ms)"),
        ("repeated", f"{crowd.repeated} batches came again, {crowd.out_of_order} out of order"),
    ]


def _one_to_all(crowd: Crowd, index: int, number: int, listeners: int) -> tuple[int, int]:
    """Put number `number` of the crowd's first session: how long until its answer, and until the last event (ns)."""
    crowd.run(REST_SECONDS)
    writer, goal = crowd.members[0], listeners * (number + 1)
    began = time.monotonic()
    crowd.start(writer, operations.encode([index, "put", operations.encode("key"), operations.encode(number)]))
    if not crowd.run(SECONDS, until=lambda: bool(writer.result)):
        raise NoFigure("the put was not answered")
    answered = time.monotonic()
    if not crowd.run(SECONDS, until=lambda: crowd.events >= goal):
        raise NoFigure(f"{crowd.events} of {goal} events came")
    return int((answered - began) * 1e9), int((crowd.last_event_at - began) * 1e9)


# -- many events, one session ------------------------------------------------------------------------


def flow(cluster: Any, sizes: Sizes) -> Rows:
    """Puts of an asyncio client, as fast as one listener takes their events."""
    meter = Meter(groups_of(cluster.status()))
    with Listener(cluster.endpoints, NAME) as listener:
        began = time.perf_counter_ns()
        cpu = time.process_time_ns()
        asyncio.run(_put_all(cluster.endpoints, listener, sizes.events))
        came = listener.when(sizes.events - 1, SECONDS)
        meter.sample()
        cpu = time.process_time_ns() - cpu
        spent = {**meter.spent_ns(), "listener": listener.cpu_ns(), "load": cpu}
    seconds = (came - began) / 1e9
    costs = "  ".join(f"{group} {ns / 1e3 / sizes.events:.1f}" for group, ns in spent.items())
    return [
        ("events", f"{sizes.events:,} in {seconds:.2f} s, to one session"),
        ("flow", f"{sizes.events / seconds:,.0f} events/s (goal: 20,000)"),
        ("CPU", f"{costs} us per put and event"),
    ]


async def _put_all(endpoints: Any, listener: Listener, events: int) -> None:
    from ..client.aio import connect_async

    async with connect_async(endpoints) as client:
        users, numbers = client.map(NAME), iter(range(events))

        async def work() -> None:
            for number in numbers:
                await users.put("key", number)
                while number - listener.count > AHEAD_MAX:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*[work() for _ in range(IN_FLIGHT)])


# -- sessions that do nothing ------------------------------------------------------------------------


def idle(cluster: Any, sizes: Sizes) -> Rows:
    """Sessions that only keep alive, every third of 30 s, from one process over four connections."""
    status = cluster.status()
    leader = next(replica["pid"] for replica in replicas_of(status) if replica["role"] == "leader")
    time.sleep(SETTLING_SECONDS)
    before = memory_of(leader)
    resting = _percent(status, sizes.idle_seconds / 2, lambda seconds: time.sleep(seconds))
    with Crowd(cluster.endpoints[0], size=sizes.sessions) as crowd:
        began = time.monotonic()
        crowd.register(SECONDS)
        registering = time.monotonic() - began
        crowd.keep_alive()
        crowd.run(crowd.timeout_s / 10)
        grown = (memory_of(leader) - before) / sizes.sessions
        kept = crowd.kept_alive
        spent = _percent(status, sizes.idle_seconds, lambda seconds: crowd.run(seconds))
        rate = (crowd.kept_alive - kept) / sizes.idle_seconds
    return [
        ("sessions", f"{sizes.sessions:,}, registered in {registering:.1f} s, {rate:,.0f} keep-alives/s"),
        ("CPU before", _shares(resting)),
        ("CPU with them", f"{_shares(spent)} (goal: leader under 5 % of a core)"),
        ("leader's memory", f"{grown:,.0f} bytes per session (goal: under 4096)"),
    ]


def memory_of(pid: int) -> int:
    """Bytes that a process has for itself: without the pages of files that it maps, which are the system's to take back."""
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)


def _percent(status: dict[str, Any], seconds: float, pass_time: Callable[[float], Any]) -> dict[str, float]:
    """Per cent of one core that each group of processes spends meanwhile."""
    groups = groups_of(status)
    meter, began = Meter(groups), time.monotonic()
    pass_time(seconds)
    meter.sample()
    elapsed = time.monotonic() - began
    return {group: ns / elapsed / 1e7 / len(groups[group]) for group, ns in meter.spent_ns().items()}


def _shares(percent: dict[str, float]) -> str:
    return "  ".join(f"{group} {share:.2f} %" for group, share in percent.items())


# -- gets at every level -----------------------------------------------------------------------------


def levels(cluster: Any, sizes: Sizes) -> Rows:
    """Gets with 256 in flight at each level, one after the other on one cluster."""
    rows = []
    for level in LEVELS:
        options = Options(
            workload="get",
            endpoints=tuple(cluster.endpoints),
            operations=50_000_000,
            seconds=sizes.gets_seconds,
            inflight=IN_FLIGHT,
            keys=1000,
            consistency=level,
        )
        report = as_dict(run(options))
        if report["errors"]:
            raise NoFigure(f"{report['errors']} gets failed: {report['first_error']}")
        cpu = report["cpu_us_per_operation"]
        replicas = cpu.get("leader", 0.0) + cpu.get("follower", 0.0)
        share = cpu.get("leader", 0.0) / replicas if replicas else 0.0
        costs = "  ".join(f"{group} {us:.2f}" for group, us in cpu.items())
        rows.append(
            (level, f"{report['operations_per_second']:,.0f}/s; us per get: {costs}; leader {share:.0%} of replicas")
        )
    return rows


FIGURES: dict[str, Callable[[Any, Sizes], Rows]] = {
    "latency": latency,
    "fan-out": fan_out,
    "flow": flow,
    "idle": idle,
    "levels": levels,
}


def main() -> None:
    """Measure what is named, each on a cluster of its own, and show."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.events", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"any of {', '.join(FIGURES)} (default all)")
    parser.add_argument("--short", action="store_true", help="a few seconds for each")
    options = parser.parse_args()
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(FIGURES)}")
    for name in options.figures or FIGURES:
        with LocalCluster(shards=1, replicas=3) as cluster:
            show(name, FIGURES[name](cluster, SHORT if options.short else Sizes()))


if __name__ == "__main__":
    main()
