"""The state of a shard on one replica: rebuilt from the log's snapshot, if there is one, then carried on with the commit index.

It keeps executor and log in step: what an entry's machine releases is told to the log before anything else happens, and
no batch is applied past an index at which digests are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..log.log import Log
from .digest_exchange import DigestExchange
from .errors import MachineMissing
from .executor import Executor
from .rebuild import Rebuild

logger = logging.getLogger(__name__)

WRONG_NAMED_MAX = 100
"""So many wrong releases are named; a machine that is wrong is so with every command."""


class ReplicaState:
    """`executor` holds it; while `rebuilding`, it is of no index yet and nobody may ask it anything.

    `missing` says which machine is not installed here, once that is noticed: the state is of no use from then on.
    """

    def __init__(self, make_executor: Callable[[], Executor], log: Log, digests: DigestExchange) -> None:
        self._make_executor = make_executor
        self.log = log
        self.digests = digests
        self._wrong_releases = 0
        self.missing: MachineMissing | None = None
        self._rebuild: Rebuild | None = None
        self._begin()

    def begin_again(self) -> None:
        """The log is another one now: so is the state, and nothing holds on to the old one."""
        self.executor.retire()
        if self._rebuild is not None:
            self._rebuild.abandon()
        self._begin()

    def _begin(self) -> None:
        """Begin with no state, and with the rebuilding of what the log's snapshot holds, if there is one."""
        self.executor = self._make_executor()
        self.missing = None
        self.digests.begin(self.log.snapshot_index)
        self._rebuild = Rebuild(self.executor, self.log) if self.log.snapshot is not None else None

    @property
    def rebuilding(self) -> bool:
        """Whether the state is still being rebuilt from the snapshot."""
        return self._rebuild is not None

    @property
    def usable(self) -> bool:
        """Whether the state is there to be asked and carried on."""
        return self._rebuild is None and self.missing is None

    def advance(self, commit_index: int, entries_max: int) -> bool:
        """Apply what is committed, at most `entries_max`, or rebuild on; returns whether more is waiting.

        Raises Corruption, and then nothing was done, StateMismatch and Diverged.
        """
        if self.missing is not None:
            return False
        try:
            return self._advance(commit_index, entries_max)
        except MachineMissing as error:
            logger.error("%s; until then this replica applies nothing, answers nobody and does not lead", error)
            self.missing = error
            return False

    def _advance(self, commit_index: int, entries_max: int) -> bool:
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
                self._name_wrong(self.log.release(released))
            if last == self.digests.next_index:
                self.digests.reached(last, executor.rolling.brief())
        return executor.applied_index < commit_index

    def _name_wrong(self, indexes: list[int]) -> None:
        """A machine released what it did not have, on every replica alike: it is wrong, and has to be told from its entries."""
        if indexes and self._wrong_releases < WRONG_NAMED_MAX:
            logger.error("entries %s were released twice or are not there: a state machine is wrong", indexes[:20])
        self._wrong_releases += len(indexes)
