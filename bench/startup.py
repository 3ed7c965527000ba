"""How long a cluster of 2 x 3 takes from nothing to its first answered request.

    python -m ocelog.bench.startup --runs 5

A run counts from the call that starts the cluster to a put acknowledged on every shard, with a new data directory
(`first`) and then with the one just made (`again`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .benchmark import resource_names
from .report import Rows, show

SHARDS, REPLICAS = 2, 3


def start_seconds(data: Path) -> float:
    """Start a cluster on `data`, put once on every shard, stop it: seconds until the last put was acknowledged."""
    from ..client.sync import connect
    from ..cluster import LocalCluster

    began = time.perf_counter()
    with LocalCluster(shards=SHARDS, replicas=REPLICAS, data=data) as cluster, connect(cluster.endpoints) as client:
        for name in resource_names("startup", SHARDS, None):
            client.map(name).put("key", 1)
        return time.perf_counter() - began


def rows(first: Sequence[float], again: Sequence[float]) -> Rows:
    """The table of several runs' seconds."""
    return [(name, seconds_text(values)) for name, values in (("first", first), ("again", again))]


def seconds_text(values: Sequence[float]) -> str:
    """Median and maximum of several runs' seconds."""
    return f"median {median(values):.2f} s  max {max(values):.2f} s  of {len(values)} runs"


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="Time from starting a cluster to its first answered request.")
    parser.add_argument("--runs", type=int, default=5)
    first: list[float] = []
    again: list[float] = []
    for _ in range(max(1, parser.parse_args().runs)):
        with tempfile.TemporaryDirectory(prefix="ocelog-startup-") as directory:
            data = Path(directory) / "data"
            first.append(start_seconds(data))
            again.append(start_seconds(data))
    show(f"start of a {SHARDS} x {REPLICAS} cluster to a put on every shard", rows(first, again))


if __name__ == "__main__":
    main()
