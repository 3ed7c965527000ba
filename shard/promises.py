"""What one replica must make durable before it says more: term and vote, the log, and the messages that rest on them.

One persist job at a time holds everything that is not durable yet. Its messages leave when it is done, unless the term
has moved on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from ..log.log import SyncJob
from ..log.meta import Meta
from .persist import PersistJob
from .raft.messages import Message, Output


class Promises:
    """`under_way` while a job is being carried out. `end_probation` is run by a job once the core says that it is over."""

    def __init__(self, meta: Meta, end_probation: Callable[[], None]) -> None:
        self._meta = meta
        self._end_probation = end_probation
        self._job: PersistJob | None = None
        self._messages: list[Message] = []
        self._hard_state: tuple[int, int | None] | None = None
        self._probation_over = False
        self._kept: list[Message] = []

    @property
    def under_way(self) -> bool:
        """Whether a job is being carried out."""
        return self._job is not None

    def add(self, output: Output) -> None:
        """Take what a turn of the core wants to be durable, and what may leave afterwards."""
        if output.hard_state is not None:
            self._hard_state = output.hard_state
        self._probation_over = self._probation_over or output.probation_over
        self._messages += output.messages_after_sync

    def next_job(self, log_job: SyncJob | None) -> PersistJob | None:
        """One job for all of it and for the log's part; None when there is nothing to do."""
        assert self._job is None, "one persist job at a time"
        first = self._end_probation if self._probation_over else None
        if log_job is None and self._hard_state is None and not self._messages and first is None:
            return None
        self._job = PersistJob(self._meta, self._hard_state, log_job, self._messages, first)
        self._hard_state, self._probation_over, self._messages = None, False, []
        return self._job

    def done(self, job: PersistJob, term: int) -> None:
        """The job has run; what was true of an older term is not said any more: its leader has lost, and we moved on."""
        assert job is self._job, "one persist job at a time"
        self._job = None
        self._kept += [message for message in job.messages if message.term == term]

    def kept(self) -> list[Message]:
        """The messages that may leave since the jobs they rested on are done."""
        messages, self._kept = self._kept, []
        return messages
