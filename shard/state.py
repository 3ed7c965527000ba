"""The state of a shard on one replica: rebuilt from the log's snapshot, if there is one, then carried on with the commit index.

It keeps executor and log in step: what an entry's machine releases is told to the log before anything else happens, and
no batch is applied past an index at which digests are compared.
"""

from __future__ import annotations

from collections.abc import Callable

from ..log.log import Log
from .digest_exchange import DigestExchange
from .executor import Executor
from .rebuild import Rebuild


class ReplicaState:
    """`executor` holds it; while `rebuilding`, it is of no index yet and nobody may ask it anything."""

    def __init__(self, make_executor: Callable[[], Executor], log: Log, digests: DigestExchange) -> None:
        self._make_executor = make_executor
        self.log = log
        self.digests = digests
        self.begin()

    def begin(self) -> None:
        """Begin with no state, and with the rebuilding of what the log's snapshot holds, if there is one."""
        self.executor = self._make_executor()
        self.digests.begin(self.log.snapshot_index)
        self._rebuild = Rebuild(self.executor, self.log) if self.log.snapshot is not None else None

    @property
    def rebuilding(self) -> bool:
        """Whether the state is still being rebuilt from the snapshot."""
        return self._rebuild is not None

    def advance(self, commit_index: int, entries_max: int) -> bool:
        """Apply what is committed, at most `entries_max`, or rebuild on; returns whether more is waiting.

        Raises Corruption, and then nothing was done, StateMismatch and Diverged.
        """
        executor = self.executor
        if self._rebuild is not None:
            self._rebuild.step()
            if not self._rebuild.done:
                return True
            self._rebuild = None
        elif executor.applied_index < commit_index:
            last = min(commit_index, executor.applied_index + entries_max, self.digests.next_index)
            self.log.verify(executor.applied_index + 1, last)
            for buffer, offsets in self.log.runs(executor.applied_index + 1, last):
                executor.apply(buffer, offsets)
            released = executor.take_released()
            if released:
                self.log.release(released)
            if last == self.digests.next_index:
                self.digests.reached(last, executor.digest)
        return executor.applied_index < commit_index
