"""What leaves a replica at the end of a turn, for whoever drives it to carry out."""

from __future__ import annotations

from ..client.protocol.frames import Item
from ..log.compaction_request import CompactionRequest
from .background import BackgroundJob
from .persist import PersistJob
from .raft.messages import Message


class Turn:
    """What leaves a replica at the end of a turn.

    `unfinished`: call `step` again at once, there is more to apply. `owes_notice`: call it again soon, with `notify`.
    `background` is to be run beside everything else and handed to `background_done`; `compaction` goes to the compactor,
    and what comes of it to `compacted` or `not_compacted`.
    """

    __slots__ = ("answers", "background", "compaction", "job", "messages", "owes_notice", "unfinished")

    def __init__(self, messages: list[Message], job: PersistJob | None, owes_notice: bool) -> None:
        self.messages = messages
        self.job = job
        self.owes_notice = owes_notice
        self.answers: dict[bytes, list[Item]] = {}
        self.unfinished = False
        self.background: BackgroundJob | None = None
        self.compaction: CompactionRequest | None = None
