"""The rows of a run as numpy columns, and the choosing and joining of them that figures and checks need.

Pure values: nothing here judges or measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rows import NEVER, ROW

Column = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Rows as columns; see `rows.ROW` for their meaning."""

    key: Column
    wrote: Column
    read: Column
    started: Column
    finished: Column

    @classmethod
    def from_blocks(cls, blocks: Iterable[bytes]) -> History:
        """Read the rows that load processes sent. Raises ValueError when they do not end on a row."""
        data = b"".join(blocks)
        if len(data) % ROW.size:
            raise ValueError(f"{len(data)} bytes are not rows of {ROW.size} bytes")
        rows = np.frombuffer(data, dtype="<i8").reshape(-1, 5)
        key, wrote, read, started, finished = np.ascontiguousarray(rows.T)
        return cls(key=key, wrote=wrote, read=read, started=started, finished=finished)

    def __len__(self) -> int:
        return len(self.key)

    @property
    def acknowledged(self) -> NDArray[np.bool_]:
        """Which rows have an outcome."""
        return self.finished < NEVER

    def select(self, rows: NDArray[np.bool_]) -> History:
        """The rows of a mask."""
        return History(
            key=self.key[rows],
            wrote=self.wrote[rows],
            read=self.read[rows],
            started=self.started[rows],
            finished=self.finished[rows],
        )

    def joined(self, other: History) -> History:
        """These rows and then the other's."""
        return History(
            key=np.concatenate((self.key, other.key)),
            wrote=np.concatenate((self.wrote, other.wrote)),
            read=np.concatenate((self.read, other.read)),
            started=np.concatenate((self.started, other.started)),
            finished=np.concatenate((self.finished, other.finished)),
        )
