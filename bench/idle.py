"""What a cluster of 2 x 3 costs while nobody uses it: CPU per process, and private memory per replica.

    python -m ocelog.bench.idle --seconds 30

Private memory is the unique set size: what the process would give back if it ended. Mapped log pages are shared with
the page cache and are not in it.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import psutil

from .cpu import Meter, groups_of, replicas_of
from .report import Rows, show

SHARDS, REPLICAS = 2, 3
SETTLING_SECONDS = 3.0
"""Elections and first files are not idleness."""


def measure(status: dict[str, Any], seconds: float) -> Rows:
    """Watch the processes of a status for `seconds`: the table."""
    groups = groups_of(status)
    meter = Meter(groups)
    began = time.perf_counter()
    time.sleep(seconds)
    meter.sample()
    elapsed = time.perf_counter() - began
    spent = meter.spent_ns()
    table = [(group, _percent(spent[group], elapsed, len(pids))) for group, pids in groups.items()]
    table.append(("all", _percent(sum(spent.values()), elapsed, sum(map(len, groups.values())))))
    sizes = [psutil.Process(replica["pid"]).memory_full_info().uss / 2**20 for replica in replicas_of(status)]
    return [*table, ("replica memory", f"{min(sizes):.1f} to {max(sizes):.1f} MiB private")]


def _percent(spent_ns: int, elapsed: float, processes: int) -> str:
    return f"{spent_ns / elapsed / 1e7:.2f} % of one core, {processes} processes"


def main() -> None:
    """Measure and show."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(description="CPU and memory of an idle cluster.")
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with LocalCluster(shards=SHARDS, replicas=REPLICAS) as cluster:
        time.sleep(SETTLING_SECONDS)
        show(f"{SHARDS} x {REPLICAS} cluster, idle for {seconds:g} s", measure(cluster.status(), seconds))


if __name__ == "__main__":
    main()
