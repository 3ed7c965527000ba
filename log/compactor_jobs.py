"""Whose request the compactor works on: one group of one replica at a time, in turn.

Knows no sockets. Requests come with the identity of the connection they came by, and answers are given back with it.

Invariants: every request is answered once; a replica has one request at a time, and a newer one takes the place of the one
before it, which the replica has given up then; what was written for an answer that nobody waits for is removed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import NamedTuple

from .compaction_request import TEXT_MAX, CompactionRequest, CompactionResult, GroupResult
from .compactor import CompactionStopped, rewrite_groups
from .files import Disk

logger = logging.getLogger(__name__)

REPLICAS_MAX = 4096


class Answer(NamedTuple):
    """What goes back to whom; the files that the result speaks of."""

    identity: bytes
    result: CompactionResult
    files: tuple[str, ...] = ()


class Job:
    """One request, carried out group by group."""

    def __init__(self, disk: Disk, identity: bytes, request: CompactionRequest, stopped: Callable[[], bool]) -> None:
        self.identity = identity
        self.request = request
        self._steps = rewrite_groups(disk, request, stopped=stopped)
        self._done: list[GroupResult] = []

    def step(self) -> bool:
        """Rewrite the next group; False when there is none. Raises CompactionStopped."""
        done = next(self._steps, None)
        if done is not None:
            self._done.append(done)
        return done is not None

    def answer(self) -> Answer:
        """What came of it, once there is no further step."""
        return Answer(self.identity, CompactionResult(groups=tuple(self._done)), self.files())

    def files(self) -> tuple[str, ...]:
        """The files written so far."""
        pairs = zip(self.request.groups, self._done, strict=False)
        return tuple(f"{self.request.directory}/log/{group.target.file_name}" for group, done in pairs if done.entries)


class CompactorJobs:
    """The requests of all replicas below the directory `data`. `stopped` tells a job under way to give up."""

    def __init__(self, disk: Disk, data: str, stopped: Callable[[], bool]) -> None:
        self._disk = disk
        self._data = os.path.realpath(data)
        self._stopped = stopped
        self._jobs: dict[bytes, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def receive(self, identity: bytes, data: bytes) -> list[Answer]:
        """Take a message from a replica; returns what is to be answered at once."""
        try:
            request = CompactionRequest.from_wire(data)
        except ValueError as error:
            logger.warning("a request cannot be understood: %s", error)
            return [Answer(identity, CompactionResult(error=str(error)))]
        try:
            self._check(request)
        except ValueError as error:
            logger.warning("a request was refused: %s", error)
            return [_refusal(identity, request, str(error))]
        given_up = self._jobs.pop(identity, None)
        self._jobs[identity] = Job(self._disk, identity, request, self._stopped)
        return [] if given_up is None else [self._end(given_up, "the replica has asked for something else since")]

    def _check(self, request: CompactionRequest) -> None:
        """A path is believed only below the data directory. Raises ValueError."""
        directory = os.path.realpath(request.directory)
        if not os.path.isabs(request.directory) or os.path.commonpath([self._data, directory]) != self._data:
            raise ValueError(f"{request.directory} is not below {self._data}")
        if os.path.dirname(os.path.realpath(request.snapshot_path)) != f"{directory}/snapshots":
            raise ValueError(f"{request.snapshot_path} is no snapshot of {request.directory}")
        if len(self._jobs) >= REPLICAS_MAX:
            raise ValueError(f"the compactor has requests of {REPLICAS_MAX} replicas already")

    def step(self) -> list[Answer]:
        """Rewrite one group of the replica whose turn it is; returns the answer when that was its last.

        Raises CompactionStopped.
        """
        identity = next(iter(self._jobs))
        job = self._jobs[identity]
        try:
            more = job.step()
        except CompactionStopped:
            raise
        except Exception as error:  # one request must not take the others with it, nor come back and do it again
            logger.exception("%s: a request failed", job.request.directory)
            del self._jobs[identity]
            return [self._end(job, f"{type(error).__name__}: {error}"[:TEXT_MAX])]
        del self._jobs[identity]
        if more:
            self._jobs[identity] = job  # behind all others
            return []
        answer = job.answer()
        _report(job, answer.result)
        return [answer]

    def stop(self) -> list[Answer]:
        """Give everything up."""
        jobs, self._jobs = list(self._jobs.values()), {}
        return [self._end(job, "the compactor was stopped") for job in jobs]

    def _end(self, job: Job, reason: str) -> Answer:
        """All of it has failed; what was written is removed."""
        self.forget(job.files())
        return _refusal(job.identity, job.request, reason)

    def forget(self, files: tuple[str, ...]) -> None:
        """Remove files that nobody will ever put into a manifest."""
        for path in files:
            if self._disk.exists(path):
                self._disk.remove(path)


def _refusal(identity: bytes, request: CompactionRequest, reason: str) -> Answer:
    failed = (GroupResult(generation=group.generation, error=reason) for group in request.groups)
    return Answer(identity, CompactionResult(groups=tuple(failed)))


def _report(job: Job, result: CompactionResult) -> None:
    """One line per request, and one per group that failed."""
    failed = [group for group in result.groups if group.error is not None]
    for group in failed:
        logger.warning("%s: %s", job.request.directory, group.error)
    logger.info(
        "%s: %d groups rewritten, %d failed; %d entries and %d bytes stayed, %.3f s",
        job.request.directory,
        len(result.groups) - len(failed),
        len(failed),
        sum(group.entries for group in result.groups),
        sum(group.bytes for group in result.groups),
        sum(group.seconds for group in result.groups),
    )
