"""How long a cluster takes from its start to its first answer when its state is large.

    python -m ocelog.bench.restart --live 1000000 --runs 3

A cluster of 1 x 3 gets that many map entries and takes a snapshot; then it is stopped and started again. *Leader* is
when the shard has one, *answer* when a linearizable get has returned the right value.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .filled import NAME, clean, fill
from .report import Rows, show
from .rows import Values, first_number
from .startup import seconds_text

REPLICAS = 3
ANSWER_SECONDS_MAX = 120.0


def prepare(data: Path, *, live: int, value_bytes: int) -> tuple[str, bytes]:
    """Make a cluster with `live` map entries below `data` and stop it; returns its last key and that key's value."""
    from ..cluster import LocalCluster

    with LocalCluster(shards=1, replicas=REPLICAS, data=data) as cluster:
        keys = fill(cluster, keys=live, entries=live, value_bytes=value_bytes)
        clean(cluster, compact=False)
    return keys[-1], Values(value_bytes).make(first_number(1) + live - 1)


def start(data: Path, key: str, value: Any) -> tuple[float, float]:
    """Start the cluster below `data` and stop it again: seconds until it had a leader, and until it answered.

    Raises ValueError when the answer is wrong.
    """
    from ..client.sync import connect
    from ..cluster import LocalCluster

    began = time.perf_counter()
    with (
        LocalCluster(shards=1, replicas=REPLICAS, data=data, timeout=ANSWER_SECONDS_MAX) as cluster,
        connect(cluster.endpoints, timeout=ANSWER_SECONDS_MAX) as client,
    ):
        leader = time.perf_counter() - began
        found = client.map(NAME).get(key)
        answer = time.perf_counter() - began
    if found != value:
        raise ValueError(f"{key} was {found!r:.60} after the restart, and is {value!r:.60}")
    return leader, answer


def rows(measured: Sequence[tuple[float, float]]) -> Rows:
    """The table of several runs."""
    leader, answer = zip(*measured, strict=True)
    return [("leader", seconds_text(leader)), ("answer", seconds_text(answer))]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="Time from starting a cluster with much state to its first answer.")
    parser.add_argument("--live", type=int, default=1_000_000, help="map entries")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocelog-restart-") as directory:
        data = Path(directory) / "data"
        key, value = prepare(data, live=options.live, value_bytes=options.value_bytes)
        measured = [start(data, key, value) for _ in range(max(1, options.runs))]
    show(f"restart of a 1 x {REPLICAS} cluster with {options.live:,} map entries", rows(measured))


if __name__ == "__main__":
    main()
