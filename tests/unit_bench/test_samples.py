"""Samples of a status: what is asked when, what is kept, and that it can be drawn."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ocelog.bench.faults import Fault
from ocelog.bench.plot import draw
from ocelog.bench.samples import COLUMNS, Sampler, by_replica, column, disk_bytes, highest, rows_of, worst_excess
from ocelog.client.protocol.errors import ConnectFailed


def status(log_bytes: int = 100) -> dict[str, Any]:
    """A status of one shard: a replica that tells everything, one that is down."""
    told = {"id": 0, "role": "leader", "log_bytes": log_bytes, "live_bytes": 10, "snapshot_index": 5, "last_index": 9}
    compaction = {"runs": 3, "running": True, "last_seconds": 0.5, "bytes_before": 9, "bytes_after": 4}
    down = {"id": 1, "role": "down", "log_bytes": None, "compaction": None}
    return {"shards": [{"id": 4, "replicas": [{**told, "compaction": compaction}, down]}]}


def test_a_row_has_a_value_under_each_column() -> None:
    first, second = rows_of(status(), 1.5, lambda shard, replica: 4096)
    assert len(first) == len(second) == len(COLUMNS)
    named = dict(zip(COLUMNS, first, strict=True))
    assert (named["at_s"], named["shard"], named["replica"], named["role"]) == (1.5, 4, 0, "leader")
    assert (named["log_bytes"], named["disk_bytes"], named["compaction_runs"]) == (100, 4096, 3)
    assert dict(zip(COLUMNS, second, strict=True))["compaction_runs"] is None


def test_columns_the_highest_and_the_bound() -> None:
    rows = [*rows_of(status(100), 1.0), *rows_of(status(700), 2.0)]
    assert column(rows, "log_bytes") == [100, None, 700, None]
    assert (highest(rows, "log_bytes"), highest(rows, "memory_bytes")) == (700, None)
    assert worst_excess(rows, 80) == pytest.approx(700 / (30 + 320))
    assert worst_excess(rows[1:2], 80) is None
    assert [column(mine, "at_s") for mine in by_replica(rows).values()] == [[1.0, 2.0], [1.0, 2.0]]


def test_it_asks_regularly_bears_an_outage_and_asks_once_more_at_the_end() -> None:
    asked = threading.Semaphore(0)
    number = 0

    def status_of() -> dict[str, Any]:
        nonlocal number
        number += 1
        asked.release()
        if number == 2:
            raise ConnectFailed("nobody there")
        return status(number)

    sampler = Sampler(status_of, 0.01)
    sampler.start()
    for _ in range(4):
        assert asked.acquire(timeout=10)
    rows = sampler.finish()
    sizes = [size for size in column(rows, "log_bytes") if size is not None]
    assert sizes == [one for one in range(1, number + 1) if one != 2]
    times = column(rows, "at_s")
    assert times == sorted(times)


def test_what_ends_the_sampling_is_raised() -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no status")

    sampler = Sampler(broken, 0.01)
    sampler.start()
    with pytest.raises(RuntimeError, match="no status"):
        sampler.finish()


def test_disk_bytes_count_preallocated_room_below_a_directory(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "one").write_bytes(b"x" * 10_000)
    assert disk_bytes(tmp_path) >= 10_000
    assert disk_bytes(tmp_path / "gone") == 0


@pytest.mark.parametrize("name", ["run.png", "run.svg"])
def test_a_run_is_drawn(tmp_path: Path, name: str) -> None:
    rows = [row for second in range(5) for row in rows_of(status(100 * second), float(second))]
    faults = [Fault(shard=4, replica=1, killed_at_s=1.0, restarted_at_s=2.0, role="follower")]
    began = time.time()
    draw(tmp_path / name, rows, title="a run", faults=faults, segment_bytes_max=80)
    picture = tmp_path / name
    assert picture.stat().st_size > 5_000
    assert picture.stat().st_mtime >= began - 2
