"""Gets single damaged entries back from peers, so that one bad sector does not cost a replica its whole log.

An entry that is committed is the same on every member that has it. One that may not be committed yet is the same on a
peer whose log agrees with ours behind it (Raft's Log Matching), so a query names such an entry and its term. An answer
is believed only if it is an entry of that index (and term, where that is known) with a checksum that fits, of the length
of the one it replaces.

What cannot be repaired in this way raises the Corruption it began with: the replica then stops, and starts again as a
new incarnation that is given everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ..log.entry import Entry
from ..log.errors import Corruption
from ..log.log import Log
from .neighbours import EntryAnswer, EntryQuery
from .raft.core import Raft
from .raft.messages import Message

logger = logging.getLogger(__name__)

ASK_TICKS = 4
ASKED_MAX = 100
"""So often peers are asked in vain while there is a leader, and so a majority that could answer. Without one a member waits: if
it gave up what it has while the others are away, it might be one too many that does."""


class OneEntry:
    """What an answer carries."""

    __slots__ = ("data", "sizes")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sizes = np.array([len(data)], np.uint32)


class _Wanted:
    """A damaged entry, and how often the peers were asked for it in vain."""

    __slots__ = ("asked", "damage")

    def __init__(self, damage: Corruption) -> None:
        self.damage = damage
        self.asked = 0


class Healing:
    """The damaged entries of one replica, and its answers to others. `remove` has dead entries compacted away."""

    def __init__(self, core: Raft, log: Log, remove: Callable[[], object]) -> None:
        self.core = core
        self.log = log
        self._remove = remove
        self.healed = 0
        self._wanted: dict[int, _Wanted] = {}
        self._asked_tick = -ASK_TICKS
        self._answers: list[Message] = []

    @property
    def waiting_for(self) -> list[int]:
        """The indexes of the entries that peers are asked for."""
        return sorted(self._wanted)

    def want(self, damage: Corruption) -> None:
        """An entry was found damaged. Raises it when it names none that peers could give, or nobody is there to ask."""
        index = damage.index
        if index is None or not self.log.has(index):
            raise damage
        if not self.log.is_needed(index):
            logger.warning("%s; nothing rests on it, and it goes with the next compaction", damage.summary)
            self._remove()
        elif not self.core.peers:
            raise damage
        elif index not in self._wanted:
            logger.error("%s; asking the peers for this entry", damage.summary)
            self._wanted[index] = _Wanted(damage)

    def messages(self) -> list[Message]:
        """Questions that are due, and answers to others'. Raises Corruption when peers were asked too often."""
        messages, self._answers = self._answers, []
        core = self.core
        if not self._wanted or core.ticks - self._asked_tick < ASK_TICKS:
            return messages
        self._asked_tick = core.ticks
        self._wanted = {index: wanted for index, wanted in self._wanted.items() if self._is_damaged(index)}
        for index, wanted in self._wanted.items():
            wanted.asked += core.leader is not None
            if wanted.asked > ASKED_MAX:
                raise wanted.damage
            agreed_index, agreed_term = self._agreement(index)
            for peer in core.peers:
                messages.append(
                    EntryQuery(
                        term=core.term,
                        sender=core.member,
                        to=peer,
                        index=index,
                        agreed_index=agreed_index,
                        agreed_term=agreed_term,
                    )
                )
        return messages

    def _is_damaged(self, index: int) -> bool:
        """Whether a damaged entry is still there: truncation, an install or a compaction may have taken it away meanwhile.

        Peers may have no such entry then, and waiting for it would end in giving up files that are sound.
        """
        if not self.log.has(index) or not self.log.is_needed(index):
            return False
        try:
            self.log.entry_bytes(index)
        except Corruption:
            return True
        return False

    def _agreement(self, index: int) -> tuple[int, int]:
        """An entry at or behind `index` whose term tells whether a peer's log is ours up to there; (0, 0): committed."""
        if index <= self.core.commit_index:
            return 0, 0
        return self.log.last_index, self.log.term_at(self.log.last_index)

    def asked(self, query: EntryQuery) -> None:
        """A peer wants an entry: answer if it is here, sound, and surely the one that the peer had."""
        log, index = self.log, query.index
        if query.agreed_index:
            same = log.dense_index <= query.agreed_index <= log.last_index
            same = same and log.term_at(query.agreed_index) == query.agreed_term
        else:
            same = index <= self.core.commit_index
        wanted = self._wanted.get(index)
        if wanted is not None:
            wanted.asked = 0  # that peer cannot answer either; a third one may, when it is back
            return
        if not same or not log.has(index):
            return
        try:
            data = log.entry_bytes(index)
        except Corruption as damage:
            self.want(damage)
            return
        answer = EntryAnswer(
            term=self.core.term, sender=self.core.member, to=query.sender, index=index, entries=OneEntry(data)
        )
        self._answers.append(answer)

    def answered(self, answer: EntryAnswer) -> None:
        """A peer gave an entry: put it in its place if it is what it should be."""
        wanted = self._wanted.get(answer.index)
        if wanted is None or not self._is_damaged(answer.index):
            return
        try:
            entry = Entry.decode(memoryview(answer.entries.data), 0, f"the answer of replica {answer.sender}")
        except Corruption as damage:
            logger.warning("%s", damage.summary)
            return
        if entry.index != answer.index:
            logger.warning("replica %d gave entry %d for %d", answer.sender, entry.index, answer.index)
        elif entry.index > self.log.dense_index and entry.term != self.log.term_at(entry.index):
            logger.warning("replica %d gave entry %d as it was before another term", answer.sender, entry.index)
        elif self.log.repair(answer.index, answer.entries.data):
            logger.warning("entry %d is repaired with the copy of replica %d", answer.index, answer.sender)
            del self._wanted[answer.index]
            self.healed += 1
        else:
            raise wanted.damage
