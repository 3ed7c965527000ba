"""Installs of one replica, from both sides, joined to its core and its log.

As a leader it sends what the core says members lack; as a member it stages what a leader sends and, once that is whole,
has it published in the place of its own log by one persist job. The core decides what is wanted; `transfers` and
`incoming` know the streams.
"""

from __future__ import annotations

from ..log.errors import Corruption
from ..log.log import Log, SyncJob
from ..log.snapshot import Snapshot
from .background import Background
from .healing import Healing
from .incoming import Incoming
from .raft.core import Raft
from .raft.messages import LEADER, Install, InstallResponse, Message
from .transfers import Transfers

NO_INSTALLS: dict[int, int] = {}


class SnapshotCheck:
    """Verifies in the background a snapshot that was sound when it was opened; `damage` says what was found."""

    def __init__(self, snapshot: Snapshot, shard: int) -> None:
        self.snapshot = snapshot
        self.shard = shard
        self.damage: Corruption | None = None

    def run(self) -> None:
        """Read and verify."""
        try:
            Snapshot.parse(self.snapshot.file, self.shard)
        except Corruption as damage:
            self.damage = damage


class CatchUp:
    """See the module. `receive` takes what the core returned, `messages` has what is to leave this turn."""

    def __init__(self, core: Raft, log: Log, background: Background, healing: Healing, shard: int) -> None:
        self.core = core
        self.log = log
        self.background = background
        self.healing = healing
        self.shard = shard
        self.incoming = Incoming(log, background, shard)
        self.transfers = Transfers(log, healing.want, self._check)

    def _check(self, snapshot: Snapshot) -> None:
        self.background.add(SnapshotCheck(snapshot, self.shard), self._checked)

    def _checked(self, job: SnapshotCheck) -> None:
        """Raises Corruption when the snapshot that counts is damaged: nobody has another one that fits this log."""
        if job.damage is not None and job.snapshot is self.log.snapshot:
            self.healing.want(job.damage)
        self.transfers.checked(job.snapshot, sound=job.damage is None)

    def receive(self, message: Install | InstallResponse) -> None:
        """A part of an install for this member, or an answer to one that it sends."""
        if isinstance(message, Install):
            self.incoming.receive(message)
        else:
            self.transfers.answered(message, self.core.ticks)

    def messages(self) -> list[Message]:
        """This turn's parts and answers. Raises Corruption when an entry to be sent is damaged here."""
        core, transfers = self.core, self.transfers
        self.incoming.settle(core.term, core.commit_index)
        messages: list[Message] = [answer for answer in self.incoming.responses() if answer.term == core.term]
        installs = core.installs if core.role is LEADER else NO_INSTALLS
        # Every turn asks, and hardly any has an install under way or to begin.
        if installs or transfers.under_way:
            transfers.follow(installs, core.ticks)
            messages += transfers.messages(term=core.term, sender=core.member, tick=core.ticks)
        return messages

    def has_work(self) -> bool:
        """Whether another part could leave at once."""
        return self.transfers.has_work()

    def needed_from(self, lag_bytes_max: int) -> int | None:
        """The lowest entry that a member needs which is available and not further behind than that; None without one."""
        # A transfer that takes too long, or never ends, must not keep this log from being compacted: it begins again then.
        held = [*self.transfers.snapshot_indexes, *self.core.available_matches()]
        wanted = [index + 1 for index in held if index >= self.log.dense_index]
        return min((first for first in wanted if self.log.bytes_from(first) <= lag_bytes_max), default=None)

    def publish(self) -> SyncJob | None:
        """The job that puts a complete stage in the place of this replica's log; None when there is none to publish.

        From now on until `published` the core takes nothing, and nothing is appended.
        """
        staging = self.incoming.ready
        if staging is None:
            return None
        head = staging.snapshot.head
        if not self.core.begin_install(head.index, head.term):
            self.incoming.abandon()  # a leader or this replica itself has overtaken it
            return None
        return self.log.install(staging)

    def published(self, job: SyncJob) -> None:
        """The job is done: the log is another one now, and the core learns it."""
        self.log.installed(job)
        self.incoming.forget()
        assert self.log.snapshot is not None, "an install ends at its snapshot"
        self.core.installed(self.log.last_index, self.log.snapshot.head.configuration)
