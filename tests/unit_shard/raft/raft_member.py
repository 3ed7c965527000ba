"""One member as its replica would drive it, with an in-memory log and a disk that forgets what was not synced.

A turn is `turn()`. What must be durable first waits for `begin_sync()` and `end_sync()`, between which anything may
happen; `crash()` keeps any part of what was written since the last finished sync, in order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ocelog.shard.raft import LEADER, Raft, RaftConfig, RoleChange
from ocelog.shard.raft.messages import Append, Message

ENTRY_BYTES = 100
NOOP = "noop"

Entry = tuple[int, str]
"""(term, value)"""


class MemoryLog:
    """A LogView over a list; every entry has ENTRY_BYTES."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @property
    def last_index(self) -> int:
        return len(self.entries)

    def term_at(self, index: int) -> int:
        assert 0 <= index <= len(self.entries), f"term_at({index}) of {len(self.entries)} entries"
        return self.entries[index - 1][0] if index else 0

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        assert 1 <= first <= last <= len(self.entries), f"fit({first}, {last}) of {len(self.entries)} entries"
        return max(first, min(last, first - 1 + bytes_max // ENTRY_BYTES))

    def bytes_between(self, first: int, last: int) -> int:
        return (last - first + 1) * ENTRY_BYTES

    @property
    def terms(self) -> list[int]:
        return [term for term, _ in self.entries]


@dataclass
class Disk:
    """What survives a crash, and what was written since, which may."""

    entries: list[Entry] = field(default_factory=list)
    hard_state: tuple[int, int | None] = (0, None)
    written: list[int | Entry] = field(default_factory=list)  # an Entry is appended, an int is truncated to
    written_hard_state: tuple[int, int | None] | None = None

    def crash(self, rng: random.Random) -> None:
        """Keep what was synced and a random beginning of what was written since; log and hard state each by itself."""
        self.entries = replayed(self.entries, self.written[: rng.randint(0, len(self.written))])
        if self.written_hard_state is not None and rng.random() < 0.5:
            self.hard_state = self.written_hard_state
        self.written, self.written_hard_state = [], None


def replayed(entries: list[Entry], written: list[int | Entry]) -> list[Entry]:
    """`entries` after the writes."""
    entries = list(entries)
    for write in written:
        if isinstance(write, int):
            del entries[write:]
        else:
            entries.append(write)
    return entries


@dataclass
class SyncJob:
    """What one sync makes durable, captured when it begins."""

    writes: int
    index: int
    hard_state: tuple[int, int | None] | None
    messages: list[Message]


class Member:
    """A core with its log and disk."""

    def __init__(
        self,
        member: int,
        voters: list[int],
        *,
        config: RaftConfig | None = None,
        seed: int = 0,
        terms: list[int] | None = None,
        term: int | None = None,
        voted_for: int | None = None,
    ) -> None:
        self.member = member
        self.voters = voters
        self.config = config or RaftConfig()
        self.rng = random.Random(seed * 1000 + member)
        entries = [(entry_term, f"old{index}") for index, entry_term in enumerate(terms or [], 1)]
        self.disk = Disk(entries, (max([0, *(terms or [])]) if term is None else term, voted_for))
        self.start()

    def start(self) -> None:
        """Start, or start again, from the disk alone."""
        self.log = MemoryLog(list(self.disk.entries))
        term, voted_for = self.disk.hard_state
        self.core = Raft(
            member=self.member,
            voters=self.voters,
            config=self.config,
            log=self.log,
            rng=self.rng,
            term=term,
            voted_for=voted_for,
        )
        self.after_sync: list[Message] = []
        self.job: SyncJob | None = None
        self.reads: list[tuple[object, int]] = []
        self.role_changes: list[RoleChange] = []

    # -- inputs ------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Hand a message to the core and do to the log what it says."""
        accepted = self.core.receive(message)
        if accepted is None:
            return
        append = accepted.message
        if accepted.truncate_to is not None:
            self._truncate(accepted.truncate_to)
        assert accepted.first_new == self.log.last_index + 1, f"{accepted} does not fit {self.log.terms}"
        for index in range(accepted.first_new, append.last_index + 1):
            self._append(append.entries[index - append.prev_index - 1])

    def propose(self, *values: str) -> int:
        """Append entries as leader; returns the last index."""
        assert self.core.role is LEADER, f"{self.member} is {self.core.role.name}"
        for value in values:
            self._append((self.core.term, value))
        self.core.appended()
        return self.log.last_index

    def _append(self, entry: Entry) -> None:
        self.log.entries.append(entry)
        self.disk.written.append(entry)

    def _truncate(self, last_index: int) -> None:
        del self.log.entries[last_index:]
        self.disk.written.append(last_index)
        if self.job is not None:
            self.job.index = min(self.job.index, last_index)

    # -- turns and syncs ---------------------------------------------------------------------------

    def turn(self) -> list[Message]:
        """End a turn; returns what leaves at once."""
        messages: list[Message] = []
        leading = True
        while leading:
            output = self.core.take()
            leading = any(change.role is LEADER for change in output.role_changes) and self.core.role is LEADER
            if output.hard_state is not None:
                self.disk.written_hard_state = output.hard_state
            for message in output.messages:
                if isinstance(message, Append):
                    message.entries = self.log.entries[message.prev_index : message.last_index]
            messages += output.messages
            self.after_sync += output.messages_after_sync
            self.reads += output.reads
            self.role_changes += output.role_changes
            if leading:
                self.propose(NOOP)
        return messages

    @property
    def must_sync(self) -> bool:
        return bool(self.disk.written or self.disk.written_hard_state or self.after_sync)

    def begin_sync(self) -> None:
        """Begin to make durable what was written so far."""
        assert self.job is None
        self.job = SyncJob(len(self.disk.written), self.log.last_index, self.disk.written_hard_state, self.after_sync)
        self.after_sync = []

    def end_sync(self) -> list[Message]:
        """What `begin_sync` captured is durable; returns the messages that waited for it."""
        job, disk = self.job, self.disk
        assert job is not None
        self.job = None
        disk.entries = replayed(disk.entries, disk.written[: job.writes])
        del disk.written[: job.writes]
        if job.hard_state is not None:
            disk.hard_state = job.hard_state
            if disk.written_hard_state == job.hard_state:
                disk.written_hard_state = None
            self.core.stored(*job.hard_state)
        self.core.persisted(job.index)
        return [message for message in job.messages if message.term == self.core.term]

    def sync(self) -> list[Message]:
        """A whole sync at once."""
        self.begin_sync()
        return self.end_sync()

    def crash(self, rng: random.Random) -> None:
        """Stop and start again with what the disk kept."""
        self.disk.crash(rng)
        self.start()

    def settle(self) -> list[Message]:
        """Turns and syncs until there is nothing left to do here; returns everything that left."""
        messages = self.turn()
        while self.must_sync:
            messages += self.sync()
            messages += self.turn()
        return messages
