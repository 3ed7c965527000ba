"""`ocelog bench`: its options and what it prints. Nothing heavy is imported before a benchmark runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any

DEFAULTS: dict[str, dict[str, int]] = {
    "put": {"clients": 1, "inflight": 256, "keys": 10_000},
    "get": {"clients": 1, "inflight": 256, "keys": 10_000},
    "counter": {"clients": 1, "inflight": 256, "keys": 1},
    "copycat": {"clients": 5, "inflight": 1, "keys": 1024},
    "overwrite": {"clients": 1, "inflight": 256, "keys": 1000},
    "partitioned": {"clients": 1, "inflight": 256, "keys": 10_000},
}
LEVELS = ("linearizable", "bounded-linearizable", "sequential", "causal")
COUNTERS_MAX = 1_000
RATE_MAX = 1_000_000.0
FAULTS = ("kill_leader_at", "stop_replica_at", "return_replica_at")
PICTURES = (".png", ".svg", ".pdf")
SAMPLED = "overwrite"
"""The workload whose point is what becomes of the log, so that it is sampled unless told otherwise."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ocelog bench`."""
    parser.description = "Load a cluster, measure it, and check that nothing acknowledged was lost or done twice."
    names = sorted(DEFAULTS)
    parser.add_argument("--workload", choices=names, default="put", help="what to do (default put)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cluster", metavar="SxR", help="start a cluster of S shards with R replicas for the run")
    where.add_argument("--endpoints", metavar="E,E", help="load this running cluster (default: OCELOG_ENDPOINTS)")
    parser.add_argument("--ops", type=int, metavar="N", help="stop after N operations (default 100000)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after S seconds")
    parser.add_argument("--clients", type=int, metavar="N", help="clients, over all load processes")
    parser.add_argument("--inflight", type=int, metavar="N", help="operations in flight per client")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="load processes (default 1)")
    parser.add_argument("--value-bytes", type=int, default=100, metavar="N", help="bytes per value (default 100)")
    parser.add_argument("--keys", type=int, metavar="N", help="different keys, or counters")
    parser.add_argument("--consistency", choices=LEVELS, help="the level of gets (default linearizable)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="deadline of each call (default 10)")
    parser.add_argument("--rate", type=float, metavar="N", help="offer N operations a second at intended times")
    parser.add_argument("--in-time-ms", type=float, default=100.0, metavar="MS", help="served in time by then (100)")
    parser.add_argument("--kill-leader-at", type=float, metavar="S", help="SIGKILL every leader after S seconds")
    parser.add_argument("--stop-replica-at", type=float, metavar="S", help="stop a follower of every shard then")
    parser.add_argument("--return-replica-at", type=float, metavar="S", help="and start it again then")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of --cluster")
    parser.add_argument("--samples", type=float, metavar="S", help="sample the status every S seconds (overwrite: 1)")
    parser.add_argument("--plot", metavar="FILE", help="draw the samples (needs ocelog[bench])")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Run it: 0, 1 if the check failed, 64 for options without sense. Raises what `benchmark.run` raises."""
    try:
        fields = read_options(args)
    except ValueError as error:
        print(f"ocelog bench: {error}", file=sys.stderr)
        return os.EX_USAGE
    from . import benchmark, report

    outcome = benchmark.run(benchmark.Options(**fields))
    result = report.as_dict(outcome)
    if args.plot:
        _plot(args.plot, args.workload, outcome)
    if args.json:
        print(json.dumps(result))
    else:
        report.show(f"ocelog bench {args.workload}", report.rows(result))
    return 0 if outcome.verdict.good else 1


def _plot(path: str, workload: str, outcome: Any) -> None:
    from pathlib import Path

    from .plot import draw

    draw(
        Path(path),
        outcome.samples,
        title=f"ocelog bench --workload {workload}",
        faults=outcome.faults,
        segment_bytes_max=outcome.segment_bytes_max,
    )


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of `benchmark.Options`. Raises ValueError naming option, value and bound."""
    from .plan import KEYS_MAX, OPERATIONS_MAX, SECONDS_MAX
    from .rows import NUMBER_BYTES

    defaults = DEFAULTS[args.workload]
    chosen = {name: _or(getattr(args, name), default) for name, default in defaults.items()}
    # A run bounded by time alone may do as many operations as fit, and one bounded by number gets ten minutes.
    operations = _or(args.ops, OPERATIONS_MAX if args.seconds is not None else 100_000)
    seconds = _or(args.seconds, 600.0)
    _check("--ops", operations, 1, OPERATIONS_MAX)
    _check("--seconds", seconds, 0.1, SECONDS_MAX)
    _check("--clients", chosen["clients"], 1, 1000)
    _check("--inflight", chosen["inflight"], 1, 4096)
    _check("--processes", args.processes, 1, chosen["clients"])
    _check("--value-bytes", args.value_bytes, NUMBER_BYTES, 1024 * 1024 - 1024)
    _check("--keys", chosen["keys"], 1, COUNTERS_MAX if args.workload == "counter" else KEYS_MAX)
    _check("--timeout", args.timeout, 0.1, 600.0)
    _check_faults(args, seconds)
    if args.rate is not None:
        _check("--rate", args.rate, 0.1, RATE_MAX)
    _check("--in-time-ms", args.in_time_ms, 0.1, 600_000)
    _check_plot(args.plot)
    return {
        **chosen,
        "workload": args.workload,
        "cluster": _shape(args.cluster) if args.cluster else None,
        "endpoints": tuple(args.endpoints.split(",")) if args.endpoints else None,
        "operations": operations,
        "seconds": seconds,
        "processes": args.processes,
        "value_bytes": args.value_bytes,
        "timeout": args.timeout,
        "kill_leader_at": args.kill_leader_at,
        "stop_replica_at": args.stop_replica_at,
        "return_replica_at": args.return_replica_at,
        "sections": _sections(args),
        "rate": args.rate or 0.0,
        "in_time_ms": args.in_time_ms,
        "sample_every": _sample_every(args),
        "consistency": _consistency(args),
    }


def _consistency(args: argparse.Namespace) -> str:
    """The level by its name in the client. Raises ValueError for a workload that is checked against the strongest."""
    if args.consistency is None:
        return ""
    if args.workload != "get":
        raise ValueError(f"--consistency is for --workload get, not {args.workload}")
    return str(args.consistency).upper().replace("-", "_")


def _check_faults(args: argparse.Namespace, seconds: float) -> None:
    """Raises ValueError for faults that cannot be carried out."""
    given = [name for name in FAULTS if getattr(args, name) is not None]
    if given and args.cluster is None:
        raise ValueError(f"{_option(given[0])} needs --cluster: only a cluster of the run's own is harmed")
    for name in given:
        _check(_option(name), getattr(args, name), 0.0, seconds)
    if "kill_leader_at" in given and len(given) > 1:
        raise ValueError("--kill-leader-at and --stop-replica-at are two different runs")
    if "kill_leader_at" not in given and len(given) == 1:
        raise ValueError("--stop-replica-at and --return-replica-at go together")
    if "stop_replica_at" in given:
        _check("--return-replica-at", args.return_replica_at, args.stop_replica_at, seconds)
        if _shape(args.cluster)[1] < 3:
            raise ValueError(f"--stop-replica-at needs three replicas, and --cluster {args.cluster} has less")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_plot(path: str | None) -> None:
    """Raises ValueError when nothing could be drawn: better now than after ten minutes of load."""
    from importlib.util import find_spec

    if path is not None and find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install 'ocelog[bench]'")
    if path is not None and os.path.splitext(path)[1] not in PICTURES:
        raise ValueError(f"--plot {path}: a file ending in {', '.join(PICTURES)}")


def _sample_every(args: argparse.Namespace) -> float:
    every = args.samples
    if every is None:
        return 1.0 if args.workload == SAMPLED or args.plot else 0.0
    _check("--samples", every, 0.1, 3600.0)
    return float(every)


def _sections(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The settings of `--set SECTION.NAME=VALUE`. Raises ValueError; `Settings` checks the rest."""
    from ..cluster.config import section_names

    if args.set and args.cluster is None:
        raise ValueError("--set needs --cluster: a running cluster has its settings already")
    sections: dict[str, dict[str, Any]] = {}
    for text in args.set:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", text)
        if match is None or match[1] not in section_names():
            raise ValueError(f"--set takes SECTION.NAME=VALUE as in log.segment_bytes_max=4194304, not {text!r}")
        value = match[3]
        sections.setdefault(match[1], {})[match[2]] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return sections


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _shape(text: str) -> tuple[int, int]:
    """`1x3`: one shard of three replicas."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,2})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError(f"--cluster takes shards x replicas as in 1x3, not {text!r}")
    return int(match[1]), int(match[2])


def _check(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{option} {value}: from {low} to {high}")
