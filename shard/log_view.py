"""The log as the core sees it, numbers only; and the batches that its Appends name, on their way out and in."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..log.checksums import EntryCopier
from ..log.log import Batch, Log
from ..log.meta import Meta
from .raft.core import Raft
from .raft.membership import Configuration
from .raft.messages import Append

logger = logging.getLogger(__name__)


def configurations_of(log: Log, voters: Iterable[int]) -> tuple[Configuration, list[tuple[int, bytes]]]:
    """The configuration that the log goes by at its snapshot, at first that of `voters`; and the entries with later ones."""
    if log.snapshot is None:
        base = Configuration.bootstrap(voters)
    else:
        base = Configuration.decode(log.snapshot.head.configuration)
    later = log.configuration_entries(log.snapshot_index + 1, log.last_index)
    return base, [(index, log.entry(index).payload) for index in later]


class ReplicaLogView:
    """A LogView of a replica's log (see `raft.logview`)."""

    __slots__ = ("_batch", "_bytes_max", "_copier", "_log", "fit", "term_at")

    def __init__(self, log: Log, append_bytes_max: int) -> None:
        self._log = log
        self._bytes_max = append_bytes_max
        self._batch: Batch | None = None
        self._copier = EntryCopier()
        self.term_at = log.term_at
        self.fit = log.fit

    @property
    def dense_index(self) -> int:
        return self._log.dense_index

    @property
    def last_index(self) -> int:
        return self._log.last_index

    def bytes_between(self, first: int, last: int) -> int:
        return self._log.bytes_between(first, last)

    def batch(self, first: int, last: int, commit_index: int) -> Batch:
        """The entries first..last; what goes to several followers in a row is read once. Raises Corruption.

        Those that are committed are verified, whoever wrote them: they may have been on the disk and back since.
        """
        batch = self._batch
        if batch is None or batch.first_index != first or batch.last_index != last:
            self._log.verify(first, last, sealed=True, at_least=commit_index)
            batch = self._batch = self._log.read(first, last, self._bytes_max)
            assert batch.last_index == last, f"append of {first}..{last} reads only to {batch.last_index}"
        return batch

    def is_sound(self, message: Append) -> bool:
        """Whether the entries that a leader sent are what it wrote: a message's checksum tells nothing of what rotted before."""
        if message.last_index == message.prev_index:
            return True
        data = np.frombuffer(message.entries.data, np.uint8)
        index = np.arange(message.prev_index + 1, message.last_index + 1, dtype=np.uint64)
        sound = self._copier.are_entries(data, message.entries.sizes, index)
        if not sound:
            logger.warning("replica %d sent a damaged entry above %d", message.sender, message.prev_index)
        return sound

    def forget_batch(self) -> None:
        """The turn is over: do not hold on to what was read."""
        self._batch = None


def core_over(log: Log, view: ReplicaLogView, meta: Meta, voters: Iterable[int], **options: Any) -> Raft:
    """The core of a replica as its files are; `options` are what they do not say, as `Raft` takes it."""
    configuration, configurations = configurations_of(log, voters)
    return Raft(
        configuration=configuration,
        configurations=configurations,
        log=view,
        term=meta.term,
        voted_for=meta.voted_for,
        persisted_index=log.synced_index,
        commit_index=log.snapshot_index,
        **options,
    )
