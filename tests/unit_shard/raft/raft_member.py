"""One member as its replica would drive it, with an in-memory log and a disk that forgets what was not synced.

A turn is `turn()`. What must be durable first waits for `begin_sync()` and `end_sync()`, between which anything may
happen; `crash()` keeps any part of what was written since the last finished sync, in order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ocelog.shard.raft import LEADER, Raft, RaftConfig, RoleChange
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.raft.messages import Accepted, Append, Install, InstallResponse, Message

from .raft_disk import Disk, Entry, Files, MemoryLog, is_live, replayed
from .raft_transfer import Staging, Transfer

NOOP = "noop"


@dataclass
class SyncJob:
    """What one sync makes durable, captured when it begins."""

    writes: int
    index: int
    hard_state: tuple[int, int | None] | None
    messages: list[Message]
    publishes: Files | None


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
        incarnation: int = 1,
        lease_ms: int = 0,
    ) -> None:
        self.member = member
        self.incarnation = incarnation
        self.probation = incarnation > 1
        self.voters = voters
        self.config = config or RaftConfig()
        self.lease_ms = lease_ms
        self.now: int | None = None
        self.rng = random.Random(seed * 1000 + member)
        entries = [(entry_term, f"old{index}") for index, entry_term in enumerate(terms or [], 1)]
        files = Files([*entries], configuration=Configuration.bootstrap(voters).encode())
        self.disk = Disk(files, (max([0, *(terms or [])]) if term is None else term, voted_for))
        self.start()
        self.forget_pledge()  # it did not start just now

    def forget_pledge(self) -> None:
        """What the member may have pledged to a leader is over."""
        self.core.timeout -= self.core.pledge_left
        self.core.pledged_until = self.core.ticks

    def start(self) -> None:
        """Start, or start again, from the disk alone."""
        self.log = MemoryLog(self.disk.files.copy())
        term, voted_for = self.disk.hard_state
        self.core = Raft(
            member=self.member,
            configuration=Configuration.decode(self.log.files.configuration),
            configurations=self.log.files.configurations(),
            config=self.config,
            log=self.log,
            rng=self.rng,
            term=term,
            voted_for=voted_for,
            commit_index=len(self.log.files.snapshot),
            incarnation=self.incarnation,
            probation=self.probation,
            lease_ms=self.lease_ms,
        )
        self.quorum = self.core.configuration  # by which everything committed before this turn's end was counted
        self.after_sync: list[Message] = []
        self.job: SyncJob | None = None
        self.transfers: dict[int, Transfer] = {}
        self.staging: Staging | None = None
        self.publishing: Files | None = None
        self.said: list[Message] = []
        self.reads: list[tuple[object, int]] = []
        self.role_changes: list[RoleChange] = []

    # -- inputs ------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Hand a message to the core and do to the log what it says."""
        wanted = self.core.receive(message)
        if isinstance(wanted, Accepted):
            self._accept(wanted)
        elif isinstance(wanted, Install):
            self._stage(wanted)
        elif isinstance(wanted, InstallResponse):
            self._continue_transfer(wanted)

    def _accept(self, accepted: Accepted) -> None:
        append = accepted.message
        if accepted.truncate_to is not None:
            self._truncate(accepted.truncate_to)
        assert accepted.first_new == self.log.last_index + 1, f"{accepted} does not fit {self.log.terms}"
        for index in range(accepted.first_new, append.last_index + 1):
            self._append(append.entries[index - append.prev_index - 1])

    def propose(self, *values: str | bytes) -> int:
        """Append entries as leader; returns the last index."""
        assert self.core.role is LEADER, f"{self.member} is {self.core.role.name}"
        for value in values:
            self._append((self.core.term, value))
        self.core.appended()
        return self.log.last_index

    # -- snapshots and installs --------------------------------------------------------------------

    def compact(self, dense_index: int, share: float = 1.0) -> None:
        """Take a snapshot of what is committed and drop a share of the dead entries through `dense_index`."""
        files, index = self.log.files, self.core.commit_index
        assert dense_index <= index <= self.core.persisted_index, "a snapshot is of what is committed and durable"
        snapshot = [*files.snapshot, *files.entries[len(files.snapshot) : index]]
        entries = [
            None if number <= dense_index and not is_live(number, index) and self.rng.random() < share else entry
            for number, entry in enumerate(files.entries, 1)
        ]
        configuration = self.core.configuration_at(index).encode()
        self.log.files = Files(entries, snapshot, max(dense_index, files.dense_index), configuration)
        self.disk.written.append(self.log.files.copy())

    def _transfer(self) -> list[Message]:
        """The first part for everybody who has come to need an install; whoever needs none any more gets nothing."""
        core, messages = self.core, []
        installs = core.installs
        for peer in [peer for peer in self.transfers if peer not in installs]:
            del self.transfers[peer]
        for peer, from_index in installs.items():
            transfer = self.transfers.get(peer)
            if transfer is None or transfer.from_index != from_index:
                transfer = self.transfers[peer] = Transfer.of(self.log.files, peer, from_index)
                messages.append(transfer.part(core.term, self.member))
        return messages

    def repeat_parts(self) -> list[Message]:
        """What has been sent last to everybody who is being installed."""
        return self._stamped([transfer.part(self.core.term, self.member) for transfer in self.transfers.values()])

    def _continue_transfer(self, response: InstallResponse) -> None:
        transfer = self.transfers.get(response.sender)
        if transfer is not None and response.from_index == transfer.from_index and transfer.answered(response):
            self.said.append(transfer.part(self.core.term, self.member))

    def _stage(self, message: Install) -> None:
        stream = Staging.stream_of(message)
        if self.staging is None or self.staging.stream != stream:
            self.staging = Staging(stream)
        self.staging.take(message)
        self.said.append(
            InstallResponse(
                term=self.core.term,
                sender=self.member,
                to=message.sender,
                snapshot_index=message.snapshot_index,
                from_index=message.from_index,
                position=self.staging.position,
            )
        )
        if self.staging.complete and self.core.begin_install(message.snapshot_index, message.snapshot_term):
            self.publishing = self.staging.published(self.log.files)
            self.disk.written.append(self.publishing)
            self.staging = None

    def refuse_stream(self) -> None:
        """What is being staged does not go with the own entries: the whole log is wanted."""
        if self.staging is not None and self.staging.stream[3] > 0:
            term, sender, snapshot_index, from_index = self.staging.stream
            self.staging = None
            self.said.append(
                InstallResponse(
                    term=term,
                    sender=self.member,
                    to=sender,
                    snapshot_index=snapshot_index,
                    from_index=from_index,
                    position=0,
                    restart=True,
                )
            )

    def _append(self, entry: Entry) -> None:
        self.log.entries.append(entry)
        self.disk.written.append(entry)
        if isinstance(entry[1], bytes):
            self.core.configuration_appended(self.log.last_index, entry[1])

    def _truncate(self, last_index: int) -> None:
        del self.log.entries[last_index:]
        self.disk.written.append(last_index)
        if self.job is not None:
            self.job.index = min(self.job.index, last_index)

    # -- turns and syncs ---------------------------------------------------------------------------

    def turn(self) -> list[Message]:
        """End a turn; returns what leaves at once."""
        self.quorum = self.core.configuration
        payload = self.core.due_change()
        if payload is not None:
            self.propose(payload)
        messages: list[Message] = []
        leading = True
        while leading:
            output = self.core.take(now=self.now)
            leading = any(change.role is LEADER for change in output.role_changes) and self.core.role is LEADER
            if output.hard_state is not None:
                self.disk.written_hard_state = output.hard_state
            for message in output.messages:
                if isinstance(message, Append):
                    message.entries = self.log.entries[message.prev_index : message.last_index]
            messages += output.messages + self.said + self._transfer()
            self.said = []
            if output.probation_over:
                self.probation = False
            self._stamped(messages)
            self._stamped(output.messages_after_sync)
            self.after_sync += output.messages_after_sync
            self.reads += output.reads
            self.role_changes += output.role_changes
            if leading:
                self.propose(NOOP)
        return messages

    def _stamped(self, messages: list[Message]) -> list[Message]:
        """The messages with our incarnation, as a transport would send them."""
        for message in messages:
            message.incarnation = self.incarnation
        return messages

    @property
    def must_sync(self) -> bool:
        return bool(self.disk.written or self.disk.written_hard_state or self.after_sync)

    def begin_sync(self) -> None:
        """Begin to make durable what was written so far."""
        assert self.job is None
        disk = self.disk
        self.job = SyncJob(
            len(disk.written), self.log.last_index, disk.written_hard_state, self.after_sync, self.publishing
        )
        self.after_sync = []

    def end_sync(self) -> list[Message]:
        """What `begin_sync` captured is durable; returns the messages that waited for it."""
        job, disk = self.job, self.disk
        assert job is not None
        self.job = None
        disk.files = replayed(disk.files, disk.written[: job.writes])
        del disk.written[: job.writes]
        if job.hard_state is not None:
            disk.hard_state = job.hard_state
            if disk.written_hard_state == job.hard_state:
                disk.written_hard_state = None
            self.core.stored(*job.hard_state)
        if job.publishes is None:
            self.core.persisted(job.index)
        else:
            self.log.files, self.publishing = job.publishes.copy(), None
            self.core.installed(self.log.last_index, self.log.files.configuration)
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
