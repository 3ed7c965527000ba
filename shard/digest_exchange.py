"""Who tells whom which digest: every member its leader, and a leader those who are odd.

A report that is lost is not repeated: the next agreed index brings another one.
"""

from __future__ import annotations

import logging

from .digest import BRIEF_BYTES
from .divergence import Divergence
from .neighbours import DigestReport, DigestVerdict
from .raft.core import Raft
from .raft.messages import Message, Role

logger = logging.getLogger(__name__)


class DigestExchange:
    """Of one replica. `next_index` is the next agreed index: nothing may be applied past it in one go."""

    def __init__(self, core: Raft, divergence: Divergence, *, interval: int) -> None:
        self.core = core
        self.divergence = divergence
        self.interval = interval
        self.next_index = interval
        self._messages: list[Message] = []

    def begin(self, applied_index: int) -> None:
        """The state is, or will be rebuilt as, that of `applied_index`."""
        self.next_index = (applied_index // self.interval + 1) * self.interval

    def messages(self) -> list[Message]:
        """What is to leave this turn."""
        messages, self._messages = self._messages, []
        return messages

    def reached(self, index: int, digest: bytes) -> None:
        """Exactly the entries through `index` are applied. Raises Diverged when this replica is the odd one."""
        self.next_index = index + self.interval
        core = self.core
        self.divergence.note(index, digest)
        if core.role is Role.LEADER:
            self._judge(core.member, index, digest)
        elif core.leader is not None:
            number = int.from_bytes(digest, "big")
            report = DigestReport(term=core.term, sender=core.member, to=core.leader, index=index, digest=number)
            self._messages.append(report)

    def reported(self, message: DigestReport) -> None:
        """A member tells its digest. Raises Diverged when this replica is the odd one."""
        if self.core.role is Role.LEADER:
            self._judge(message.sender, message.index, message.digest.to_bytes(BRIEF_BYTES, "big"))

    def judged(self, message: DigestVerdict) -> None:
        """The leader tells the digest of a majority. Raises Diverged when this replica is the odd one."""
        self.divergence.judged(message.index, message.digest.to_bytes(BRIEF_BYTES, "big"))

    def _judge(self, member: int, index: int, digest: bytes) -> None:
        core = self.core
        for odd, theirs in self.divergence.told(member, index, digest, core.configuration.voters):
            logger.error("replica %d has diverged: its state at entry %d is not the majority's", odd, index)
            number = int.from_bytes(theirs, "big")
            self._messages.append(DigestVerdict(term=core.term, sender=core.member, to=odd, index=index, digest=number))
