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
}
COUNTERS_MAX = 1_000


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
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="deadline of each call (default 10)")
    parser.add_argument("--kill-leader-at", type=float, metavar="S", help="SIGKILL every leader after S seconds")
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
    if args.json:
        print(json.dumps(result))
    else:
        report.show(f"ocelog bench {args.workload}", report.rows(result))
    return 0 if outcome.verdict.good else 1


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
    if args.kill_leader_at is not None:
        _check("--kill-leader-at", args.kill_leader_at, 0.0, seconds)
        if args.cluster is None:
            raise ValueError("--kill-leader-at needs --cluster: only a cluster of the run's own is harmed")
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
    }


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
