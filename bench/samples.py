"""How a cluster's logs grow and shrink during a run: every replica's figures once a second, from its status.

Knows a status and nothing else of the cluster; runs in a thread beside the load. A second without an answer is a gap,
not an error.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..client.protocol.errors import OcelogError

FIELDS = (
    "log_bytes",
    "live_bytes",
    "live_entries",
    "segments",
    "snapshot_index",
    "dense_index",
    "applied_index",
    "last_index",
    "snapshot_pause_ms",
    "memory_bytes",
)
COMPACTION_FIELDS = ("runs", "running", "last_seconds", "bytes_before", "bytes_after")
COLUMNS = (
    "at_s",
    "shard",
    "replica",
    "role",
    "disk_bytes",
    *FIELDS,
    *(f"compaction_{name}" for name in COMPACTION_FIELDS),
)


class Sampler:
    """Asks `status_of` every `every` seconds between `start` and `finish`; `rows` are under COLUMNS.

    `directory_of` tells where a replica keeps its files, if they are on this machine.
    """

    def __init__(
        self,
        status_of: Callable[[], dict[str, Any]],
        every: float,
        directory_of: Callable[[int, int], Path] | None = None,
    ) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._status_of = status_of
        self._directory_of = directory_of
        self._every = every
        self._over = threading.Event()
        self._began = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)

    def start(self) -> None:
        """The load begins now."""
        self._began = time.monotonic()
        self._thread.start()

    def finish(self) -> list[tuple[Any, ...]]:
        """The load is over: all samples. Raises what ended the sampling early, if anything did."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self.rows

    def _run(self) -> None:
        try:
            number = 0
            while not self._over.wait(max(0.0, self._began + number * self._every - time.monotonic())):
                number += 1
                self._sample()
            self._sample()
        except BaseException as error:
            self._error = error

    def _sample(self) -> None:
        try:
            status = self._status_of()
        except OcelogError:
            return
        at = round(time.monotonic() - self._began, 3)
        self.rows += rows_of(status, at, self._disk_bytes)

    def _disk_bytes(self, shard: int, replica: int) -> int | None:
        return None if self._directory_of is None else disk_bytes(self._directory_of(shard, replica))


def disk_bytes(directory: Path) -> int:
    """What the files below a directory occupy on the disk, preallocated room included; files may go meanwhile."""
    occupied = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                occupied += 512 * os.lstat(os.path.join(folder, name)).st_blocks
            except FileNotFoundError:
                continue
    return occupied


def rows_of(
    status: dict[str, Any], at_s: float, disk_bytes_of: Callable[[int, int], int | None] = lambda shard, replica: None
) -> list[tuple[Any, ...]]:
    """One row per replica of a status, under COLUMNS; None for what a replica does not tell."""
    return [
        (
            at_s,
            shard["id"],
            replica["id"],
            replica["role"],
            disk_bytes_of(shard["id"], replica["id"]),
            *(replica.get(name) for name in FIELDS),
            *((replica.get("compaction") or {}).get(name) for name in COMPACTION_FIELDS),
        )
        for shard in status["shards"]
        for replica in shard["replicas"]
    ]


def column(rows: list[tuple[Any, ...]], name: str) -> list[Any]:
    """One column of rows."""
    place = COLUMNS.index(name)
    return [row[place] for row in rows]


def by_replica(rows: list[tuple[Any, ...]]) -> dict[tuple[int, int], list[tuple[Any, ...]]]:
    """The rows of each replica, in order of time."""
    shard, replica = COLUMNS.index("shard"), COLUMNS.index("replica")
    found: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault((row[shard], row[replica]), []).append(row)
    return found


def highest(rows: list[tuple[Any, ...]], name: str) -> int | None:
    """The highest value of a column, None when nobody told one."""
    return max((value for value in column(rows, name) if value is not None), default=None)


def worst_excess(rows: list[tuple[Any, ...]], segment_bytes_max: int) -> float | None:
    """The log's size as a part of what it may have at most: three times its live bytes and four segments.

    The highest over all samples that tell both; above 1 the log was too large. None when none of them does.
    """
    pairs = zip(column(rows, "log_bytes"), column(rows, "live_bytes"), strict=True)
    parts = [log / (3 * live + 4 * segment_bytes_max) for log, live in pairs if log is not None and live is not None]
    return max(parts, default=None)
