"""What one replica makes durable in one go, off its loop: term and vote first, then the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..log.log import SyncJob
    from ..log.meta import Meta
    from .raft.messages import Message


class PersistJob:
    """Runs on the sync thread and touches nothing but what it captured.

    `messages` rest on what the job makes durable (votes and acknowledgements) and may leave once it is done.
    `first`, if there is one, is done before anything else.
    """

    __slots__ = ("first", "hard_state", "log_job", "messages", "meta")

    def __init__(
        self,
        meta: Meta,
        hard_state: tuple[int, int | None] | None,
        log_job: SyncJob | None,
        messages: list[Message],
        first: Callable[[], None] | None = None,
    ) -> None:
        self.first = first
        self.meta = meta
        self.hard_state = hard_state
        self.log_job = log_job
        self.messages = messages

    def run(self) -> None:
        """Store and sync. Raises StorageFailed or NoSpace, after which the replica must stop."""
        if self.first is not None:
            self.first()
        if self.hard_state is not None:
            self.meta.store(*self.hard_state)
        if self.log_job is not None:
            self.log_job.run()
