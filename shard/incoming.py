"""A member's side of an install: stages the leader's stream until it is whole and sound, and changes nothing before.

What arrives out of order, twice or from an older leader is answered with how far the stage has got. Checking the whole and
syncing it is done in the background. A stage that is given up leaves files that the manifest does not name.
"""

from __future__ import annotations

import logging

from ..log.errors import Corruption, NoSpace, UnknownFormat
from ..log.log import Log
from ..log.staging import Staging
from .background import Background
from .raft.messages import Install, InstallResponse

logger = logging.getLogger(__name__)

Stream = tuple[int, int, int, int]
"""What makes one stream different from all others: (term, leader, snapshot index, from index)."""


class FinishJob:
    """Checks a stage in the background, all of which has come, and makes it durable; `error` says what is wrong with it."""

    def __init__(self, staging: Staging) -> None:
        self.staging = staging
        self.error: Corruption | UnknownFormat | None = None

    def run(self) -> None:
        """Check and sync. Raises StorageFailed, after which the replica must stop."""
        try:
            self.staging.finish()
        except (Corruption, UnknownFormat) as error:
            self.error = error


class Incoming:
    """At most one install under way. `ready` is the stage once it is whole, sound and durable."""

    def __init__(self, log: Log, background: Background, shard: int) -> None:
        self.log = log
        self.background = background
        self.shard = shard
        self.ready: Staging | None = None
        self._last: Install | None = None
        self._stream: Stream | None = None
        self._staging: Staging | None = None
        self._finishing: FinishJob | None = None
        self._position = 0
        self._responses: list[InstallResponse] = []

    @property
    def under_way(self) -> bool:
        """Whether something is staged."""
        return self._staging is not None

    def responses(self) -> list[InstallResponse]:
        """What is to be told to leaders this turn."""
        responses, self._responses = self._responses, []
        return responses

    def settle(self, term: int, commit_index: int) -> None:
        """End of a turn: drop a stage that nobody will send the rest of, or that this member is past."""
        staging, stream = self._staging, self._stream
        if staging is None or stream is None or self._finishing is not None or self.ready is not None:
            return
        if stream[0] != term or staging.snapshot_index <= commit_index:
            self.abandon()

    def receive(self, message: Install) -> None:
        """Take a part of a stream."""
        stream = (message.term, message.sender, message.snapshot_index, message.from_index)
        if stream != self._stream:
            if message.position != 0:
                self._respond(message, 0)
                return
            self.abandon()
            self._stream = stream
        if message.position == self._position and self._finishing is None and self.ready is None:
            try:
                self._take(message)
            except NoSpace as error:
                logger.warning("shard %d: no room for an install: %s", self.shard, error)
                self.abandon()
                return
            except Corruption as error:
                logger.warning("shard %d: an install from replica %d is no good: %s", self.shard, message.sender, error)
                self.abandon()
        self._respond(message, self._position)

    def _take(self, message: Install) -> None:
        if self._staging is None:
            self._staging = self.log.stage(
                from_index=message.from_index,
                snapshot_index=message.snapshot_index,
                snapshot_bytes=message.snapshot_bytes,
            )
        staging, part = self._staging, message.entries
        if part is not None:
            if len(part.sizes):
                staging.append(part.data, part.sizes)
            else:
                staging.write_snapshot(message.position, part.data)
            self._position += len(part.data)
        if self._position == message.snapshot_bytes + message.entry_bytes:
            self._last = message
            self._finishing = FinishJob(staging)
            self.background.add(self._finishing, self._finished)

    def _finished(self, job: FinishJob) -> None:
        """The background has checked the stage."""
        message = self._last
        if job is not self._finishing or message is None:
            job.staging.abandon()
            return
        self._finishing = None
        if job.error is not None:
            logger.warning("shard %d: an install from replica %d is no good: %s", self.shard, message.sender, job.error)
            self.abandon()
            self._respond(message, 0)
            return
        missing = self.log.missing(job.staging.snapshot.live, job.staging.from_index)
        if missing is not None:
            logger.warning("shard %d: live entry %d is missing here, asking for all of them", self.shard, missing)
            self.abandon()
            self._respond(message, 0, restart=True)
            return
        self.ready = job.staging

    def _respond(self, message: Install, position: int, *, restart: bool = False) -> None:
        self._responses.append(
            InstallResponse(
                term=message.term,
                sender=message.to,
                to=message.sender,
                snapshot_index=message.snapshot_index,
                from_index=message.from_index,
                position=position,
                restart=restart,
            )
        )

    def abandon(self) -> None:
        """Drop what is staged."""
        staging = self._staging
        if staging is not None and self._finishing is None:
            staging.abandon()  # else the background still works on it, and it goes when that is over
        self.forget()

    def forget(self) -> None:
        """What was staged is part of the log now, or somebody else's to remove."""
        self._stream = self._staging = self._last = self._finishing = self.ready = None
        self._position = 0
