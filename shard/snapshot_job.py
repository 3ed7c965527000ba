"""The background part of a snapshot: turns what was frozen and captured at S into a durable file, beside the loop.

Touches only what it captured: frozen copies of the released bits, finished pieces of state, and a file of its own.
"""

from __future__ import annotations

from ..log.compaction import SegmentStats
from ..log.errors import LogError
from ..log.liveness import Frozen
from ..log.log import Log
from ..log.snapshot import Indexes, Snapshot, SnapshotHead, write_snapshot


class SnapshotJob:
    """Writes the snapshot that `head` describes; afterwards `snapshot` and `stats` are there, or `error` says why not.

    With `published`, the snapshot at this very S exists already, and only the statistics are made.
    """

    def __init__(self, log: Log, head: SnapshotHead, frozen: Frozen, published: Snapshot | None) -> None:
        self.head = head
        self.published = published
        self.pieces: list[bytes] = []
        self.snapshot: Snapshot | None = published
        self.stats: SegmentStats | None = None
        self.live_entries = self.live_bytes = 0
        self.error: LogError | None = None
        self._disk = log.disk
        self._frozen = frozen
        self.generation = 0 if published is not None else log.new_generation()
        self._path = log.snapshot_path(head.index, self.generation)

    def run(self) -> None:
        """Write, sync and verify. An error (no room, say) is kept, not raised: the replica goes on without."""
        try:
            live = self._frozen.live()
            self.live_entries, self.live_bytes = len(live), self._frozen.live_bytes()
            self.stats = self._frozen.stats()
            if self.published is None:
                self._write(live)
        except LogError as error:
            self.error = error

    def _write(self, live: Indexes) -> None:
        write_snapshot(self._disk, self._path, self.head, live, self.pieces)
        self._disk.sync_directory(self._path.rpartition("/")[0])
        # Read back and verified before it counts: everything at or below S may be removed on its word.
        self.snapshot = Snapshot.open(self._disk, self._path, self.head.shard)
        self.pieces = []

    def discard(self) -> None:
        """The run was given up: remove what was written."""
        if self.snapshot is not None and self.published is None:
            self._disk.remove(self._path)
