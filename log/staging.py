"""What a member that lacks history is sent, set aside until all of it is there: a snapshot, and the live entries it lacks.

Nothing of it counts before `Log.install`: until then the log is what it was, also after a crash, and the files that were staged
are removed at the next start. The sender is not trusted: every entry is verified as it comes, the snapshot and the
agreement of the two at the end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .checksums import EntryCopier
from .config import LogConfig
from .entry import HEADER_BYTES, MODE_AT, RELEASE, Sizes
from .errors import Corruption, NoSpace
from .files import Disk
from .manifest import SegmentRecord, snapshot_name
from .segment import ENTRIES_START, FOOTER, SPARSE_ROW_BYTES, SPARSE_VERSION_MIN, Indexes, Segment
from .snapshot import Snapshot


class Staging:
    """A snapshot at `snapshot_index`, and the live entries above `from_index` up to it, on their way.

    `new_generation` is the log's. Making one allocates room for the snapshot: raises NoSpace, Corruption, StorageFailed.
    """

    def __init__(
        self,
        disk: Disk,
        directory: str,
        shard: int,
        config: LogConfig,
        new_generation: Callable[[], int],
        *,
        from_index: int,
        snapshot_index: int,
        snapshot_bytes: int,
    ) -> None:
        assert from_index < snapshot_index, f"entries of {from_index}..{snapshot_index}"
        self._disk = disk
        self._directory = directory
        self._shard = shard
        self._config = config
        self._new_generation = new_generation
        self.from_index = from_index
        self.snapshot_index = snapshot_index
        self.snapshot_bytes = snapshot_bytes
        self.snapshot_received = 0
        self.segments: list[Segment] = []
        self.generation = new_generation()
        path = f"{directory}/snapshots/{snapshot_name(snapshot_index, self.generation)}"
        if snapshot_bytes < 1:
            raise Corruption(path, f"a snapshot of {snapshot_bytes} bytes was announced")
        if snapshot_bytes > disk.free_bytes(f"{directory}/snapshots"):
            raise NoSpace(f"{path}: a snapshot of {snapshot_bytes} bytes was announced, and there is no room for it")
        self._file = disk.create(path, snapshot_bytes)
        self._snapshot: Snapshot | None = None
        self._last_index = from_index
        self._last_term = 0
        self._copier = EntryCopier()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot, once `finish` has checked it."""
        assert self._snapshot is not None, "the staging is not finished"
        return self._snapshot

    @property
    def records(self) -> list[SegmentRecord]:
        """The staged segments as a manifest lists them: each covers up to where the next one begins."""
        return [
            SegmentRecord(segment.first_index, segment.generation, segment.version, segment.last_index)
            for segment in self.segments
        ]

    def write_snapshot(self, position: int, data: memoryview | bytes) -> None:
        """Take the next bytes of the snapshot's file. Raises Corruption when they are not the next, or too many."""
        end = position + len(data)
        if position != self.snapshot_received or end > self.snapshot_bytes:
            text = f"bytes {position}..{end} of a snapshot come after {self.snapshot_received} of {self.snapshot_bytes}"
            raise Corruption(self._file.path, text)
        self._file.buffer[position:end] = data
        self.snapshot_received = end

    def append(self, data: memoryview | bytes, sizes: Sizes) -> None:
        """Take the next entries, of these padded sizes. Raises Corruption when one is damaged or out of place; NoSpace.

        After an error it has taken none of them.
        """
        view = memoryview(data)
        indexes, last_term = self._verified(view, sizes)
        start = row = 0
        for segment, count in self._places(indexes, sizes):
            end = start + int(sizes[row : row + count].sum(dtype=np.int64))
            if segment not in self.segments[-1:]:
                self.segments.append(segment)
            segment.append(view[start:end], sizes[row : row + count], indexes[row : row + count])
            start, row = end, row + count
        if row:
            self._last_index, self._last_term = int(indexes[-1]), last_term

    def _verified(self, view: memoryview, sizes: Sizes) -> tuple[Indexes, int]:
        """The indexes of these entries and the last one's term; each is checked, and their order. Raises Corruption."""
        path, after = self._file.path, f"after entry {self._last_index}"
        size = sizes.astype(np.int64)
        if (size < HEADER_BYTES).any() or (size % 8).any() or int(size.sum()) != len(view):
            raise Corruption(path, f"entries of sizes {sizes[:5].tolist()}... in {len(view)} bytes were sent {after}")
        raw = np.frombuffer(view, np.uint8)
        words = np.frombuffer(view, np.uint64)
        start = (np.cumsum(size) - size) >> 3
        indexes: Indexes = words[start + 1]
        terms = words[start + 2] & np.uint64(0xFFFFFFFF)
        if not self._copier.are_entries(raw, sizes, indexes) or (raw[(start << 3) + MODE_AT] != RELEASE).any():
            raise Corruption(path, f"an entry that was sent {after} is damaged")
        before = np.concatenate((np.array([self._last_index], np.uint64), indexes))
        if not (before[1:] > before[:-1]).all() or before[-1] > self.snapshot_index:
            raise Corruption(path, f"entries that do not ascend up to {self.snapshot_index} were sent {after}")
        if len(terms) and (terms[0] < self._last_term or (terms[1:] < terms[:-1]).any()):
            raise Corruption(path, f"entries whose terms fall were sent {after}")
        return indexes, int(terms[-1]) if len(terms) else self._last_term

    def _places(self, indexes: Indexes, sizes: Sizes) -> list[tuple[Segment, int]]:
        """Which segments the next entries go to, and how many to each. New ones are made. Raises NoSpace, and makes none."""
        places: list[tuple[Segment, int]] = []
        made: list[Segment] = []
        row, last_index = 0, self._last_index
        segment = self.segments[-1] if self.segments else None
        try:
            while row < len(sizes):
                rest = sizes[row:]
                if segment is None:
                    segment = self._new_segment(last_index + 1, int(rest[0]))
                    made.append(segment)
                count = segment.fitting(rest, int(rest.sum(dtype=np.int64)), self._config.segment_entries_max)
                if count:
                    places.append((segment, count))
                    row += count
                    last_index = int(indexes[row - 1])
                segment = None
        except NoSpace:
            for segment in made:
                self._disk.remove(segment.file.path)
            raise
        return places

    def _new_segment(self, first_index: int, entry_bytes: int) -> Segment:
        # Where members have different settings, an entry may be larger than a segment of this one.
        least = ENTRIES_START + entry_bytes + SPARSE_ROW_BYTES + FOOTER.size
        generation = self._new_generation()
        name = SegmentRecord(first_index, generation, SPARSE_VERSION_MIN, None).file_name
        return Segment.create(
            self._disk.create(f"{self._directory}/log/{name}", max(self._config.segment_bytes_max, least)),
            shard=self._shard,
            first_index=first_index,
            generation=generation,
            created_ms=self._disk.time_ms(),
            version=SPARSE_VERSION_MIN,
        )

    def finish(self) -> None:
        """All has come: check that it fits together, and make the files' contents durable. Runs beside the loop.

        Raises Corruption or UnknownFormat when what was sent is not what it should be, and StorageFailed.
        """
        if self.snapshot_received != self.snapshot_bytes:
            text = f"it ends after {self.snapshot_received} of {self.snapshot_bytes} bytes"
            raise Corruption(self._file.path, text)
        snapshot = Snapshot.parse(self._file, self._shard)
        if snapshot.head.index != self.snapshot_index:
            raise Corruption(self._file.path, f"it is of index {snapshot.head.index}, not {self.snapshot_index}")
        wanted = snapshot.live[np.searchsorted(snapshot.live, np.uint64(self.from_index), side="right") :]
        sent = [segment.indexes() for segment in self.segments]
        if not np.array_equal(wanted, np.concatenate(sent) if sent else np.zeros(0, np.uint64)):
            raise Corruption(self._file.path, f"the entries above {self.from_index} are not those that are live in it")
        if self._last_term > snapshot.head.term:
            raise Corruption(self._file.path, f"entries of term {self._last_term} came with it, above its own")
        if self.segments:
            self.segments[-1].cut(self.snapshot_index)
        for segment in self.segments:
            segment.write_seal(segment.seal_bytes())
            segment.file.sync()
        self._file.sync()
        self._snapshot = snapshot

    def abandon(self) -> None:
        """Remove what was staged, which was not installed."""
        for path in [self._file.path, *(segment.file.path for segment in self.segments)]:
            self._disk.remove(path)
