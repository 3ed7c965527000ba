"""From a snapshot and its live entries back to the state at S, in slices, while the loop goes on.

Until it is over the replica applies nothing, answers no query and publishes nothing; it may vote, append and acknowledge,
which needs the log alone.
"""

from __future__ import annotations

from ..log.log import Log
from .executor import Executor
from .restoring import Restoring

RESTORE_ENTRIES_MAX = 4000
"""Live entries restored in one turn."""

PIECE_BYTES_MIN = 256 * 1024
"""Pieces of the snapshot installed in one turn: about so many bytes."""


class Rebuild:
    """Restores `executor`, which is empty, to the state at the log's snapshot. `done` once it is there.

    The log has adopted the snapshot's live set. Raises Corruption or StateMismatch when snapshot and log do not agree.
    """

    def __init__(self, executor: Executor, log: Log) -> None:
        snapshot = log.snapshot
        assert snapshot is not None, "there is no snapshot to rebuild from"
        self.log = log
        self.snapshot = snapshot
        self.done = False
        self._restoring = Restoring(executor, snapshot.head.index)
        self._pieces = snapshot.pieces()
        self._pieces_left = True
        self._after = 0

    def step(self) -> None:
        """Install the next pieces, then restore the next live entries."""
        if self._pieces_left:
            self._install_pieces()
            return
        runs, last = self.log.live_runs(self.snapshot.live, self._after, RESTORE_ENTRIES_MAX)
        if not runs:
            self._restoring.finish()
            self.done = True
            return
        for buffer, offsets in runs:
            self._restoring.restore(buffer, offsets)
        self._after = last

    def _install_pieces(self) -> None:
        size = 0
        for piece in self._pieces:
            self._restoring.install(piece)
            size += len(piece)
            if size >= PIECE_BYTES_MIN:
                return
        self._pieces_left = False

    def abandon(self) -> None:
        """Give it up: another log takes the place of this one."""
        self._restoring.abandon()
