"""An in-memory log with holes below its dense index, and a disk that forgets what was not synced."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

ENTRY_BYTES = 100

Entry = tuple[int, "str | bytes"]
"""(term, value); bytes are the payload of a configuration entry"""


@dataclass
class Files:
    """What a log consists of: its entries, None where one is missing, and the snapshot: every entry through its index.

    `dense_index`: everything above it is present. `configuration` is the one that counted at the snapshot's index.
    """

    entries: list[Entry | None] = field(default_factory=list)
    snapshot: list[Entry] = field(default_factory=list)
    dense_index: int = 0
    configuration: bytes = b""

    @property
    def live(self) -> set[int]:
        """The entries that the snapshot needs to have beside it."""
        return {index for index in range(1, len(self.snapshot) + 1) if is_live(index, len(self.snapshot))}

    def copy(self) -> Files:
        return replace(self, entries=list(self.entries))

    def held(self, index: int) -> Entry | None:
        """The entry at an index, by itself or in the snapshot; None past the end."""
        if index <= len(self.snapshot):
            return self.snapshot[index - 1]
        return self.entries[index - 1] if index <= len(self.entries) else None

    def configurations(self) -> list[tuple[int, bytes]]:
        """The configuration entries above the snapshot."""
        first = len(self.snapshot) + 1
        entries = enumerate(self.entries[first - 1 :], first)
        return [(index, entry[1]) for index, entry in entries if entry is not None and isinstance(entry[1], bytes)]


def is_live(index: int, snapshot_index: int) -> bool:
    """Whether an entry is live at a snapshot: half are dead at once, others live on for up to sixty entries."""
    return index % 2 == 0 and snapshot_index < index + index * 7919 % 61


class MemoryLog:
    """A LogView over `files`; every entry has ENTRY_BYTES."""

    def __init__(self, files: Files) -> None:
        self.files = files

    @property
    def entries(self) -> list[Entry | None]:
        return self.files.entries

    @property
    def dense_index(self) -> int:
        return self.files.dense_index

    @property
    def last_index(self) -> int:
        return len(self.files.entries)

    def term_at(self, index: int) -> int:
        files = self.files
        assert files.dense_index <= index <= len(files.entries), (
            f"term_at({index}) of a log that is dense above {files.dense_index} and ends at {len(files.entries)}"
        )
        held = files.held(index) if index else (0, "")
        assert held is not None
        return held[0]

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        assert self.dense_index < first <= last <= self.last_index, f"fit({first}, {last}) of {self.last_index} entries"
        return max(first, min(last, first - 1 + bytes_max // ENTRY_BYTES))

    def bytes_between(self, first: int, last: int) -> int:
        return (last - first + 1) * ENTRY_BYTES

    @property
    def terms(self) -> list[int]:
        """The term of each entry, 0 for a missing one."""
        return [entry[0] if entry else 0 for entry in self.entries]


@dataclass
class Disk:
    """What survives a crash, and what was written since, which may."""

    files: Files = field(default_factory=Files)
    hard_state: tuple[int, int | None] = (0, None)
    written: list[int | Entry | Files] = field(default_factory=list)  # append, truncate to, or replace it all
    written_hard_state: tuple[int, int | None] | None = None

    def crash(self, rng: random.Random) -> None:
        """Keep what was synced and a random beginning of what was written since; log and hard state each by itself."""
        self.files = replayed(self.files, self.written[: rng.randint(0, len(self.written))])
        if self.written_hard_state is not None and rng.random() < 0.5:
            self.hard_state = self.written_hard_state
        self.written, self.written_hard_state = [], None


def replayed(files: Files, written: list[int | Entry | Files]) -> Files:
    """`files` after the writes."""
    files = files.copy()
    for write in written:
        if isinstance(write, int):
            del files.entries[write:]
        elif isinstance(write, Files):
            files = write.copy()
        else:
            files.entries.append(write)
    return files
