"""What the checkers look at: every replica's log as stamps, what is durable, what is committed, and the model of it.

It watches the hosts and reads their logs from the same mapped bytes that the replicas use. Invariant: `mirrors[m]` is the log of
member m after its last turn; `durable[m]` is the part of it that a finished persist job covers; `committed` only grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocelog.log.entry import HEADER
from ocelog.shard.persist import PersistJob
from ocelog.shard.replica import Turn

from .client import Operation, SimClient, Workload
from .host import Host
from .model import Model, Outcome

Stamp = tuple[int, int]
"""An entry as far as equality goes: its term and its checksum, which covers everything else."""


class Violation(AssertionError):
    """An invariant is broken; the text begins with the checker's name."""


class Checker:
    """One invariant. Every hook is called after the observer has taken in what happened."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def check(self, holds: bool, text: str) -> None:
        """Raise Violation unless `holds`."""
        if not holds:
            raise Violation(f"{type(self).__name__}: {text}")

    def started(self, host: Host) -> None:
        """A replica has opened its directory."""

    def turned(self, host: Host, turn: Turn) -> None:
        """A replica has taken a turn; what it sends has not left yet."""

    def committed(self, host: Host, first: int) -> None:
        """Entries from `first` on became committed, as this replica is the first to know."""

    def applied(self, session_id: int, outcome: Outcome) -> None:
        """A committed entry spent a sequence of this session."""

    def completed(self, operation: Operation) -> None:
        """A client's call ended."""


class Observer:
    """Feeds `checkers` with everything that happens to the hosts and clients it is attached to."""

    def __init__(self, members: int, workload: Workload) -> None:
        self.members = members
        self.workload = workload
        self.mirrors: dict[int, list[Stamp]] = {member: [] for member in range(members)}
        self.durable: dict[int, list[Stamp]] = {member: [] for member in range(members)}
        self.hard_states: dict[int, tuple[int, int | None]] = dict.fromkeys(range(members), (0, None))
        self.committed: list[Stamp] = []
        self.model = Model()
        self.checkers: Sequence[Checker] = ()
        self._in_job: dict[int, list[Stamp]] = {}

    def watch_host(self, host: Host) -> None:
        """Watch one replica from now on."""
        host.on_start.append(self._started)
        host.on_turn.append(self._turned)
        host.on_durable.append(self._durable)

    def watch_client(self, client: SimClient) -> None:
        """Watch one client from now on."""
        client.on_completed.append(self._completed)

    def _started(self, host: Host) -> None:
        assert host.replica is not None
        self.mirrors[host.member] = []
        self._read(host, 1)
        for checker in self.checkers:
            checker.started(host)
        self.durable[host.member] = self.mirrors[host.member][: host.replica.log.synced_index]
        self.hard_states[host.member] = (host.replica.meta.term, host.replica.meta.voted_for)

    def _turned(self, host: Host, turn: Turn) -> None:
        assert host.replica is not None
        mirror = self._read(host, host.changed_from)
        if turn.job is not None and turn.job.log_job is not None:
            self._in_job[host.member] = mirror[: turn.job.log_job.index]
        first = len(self.committed) + 1
        if host.replica.core.commit_index >= first:
            self._commit(host, first)
        for checker in self.checkers:
            checker.turned(host, turn)

    def _read(self, host: Host, first: int) -> list[Stamp]:
        """Take in the entries from `first` on, and that those which were there before may be gone."""
        assert host.replica is not None
        mirror, durable = self.mirrors[host.member], self.durable[host.member]
        log = host.replica.log
        before = mirror[first - 1 :]
        del mirror[first - 1 :]
        if log.last_index >= first:
            for buffer, offsets in log.runs(first, log.last_index):
                for offset in offsets:
                    checksum, _, index, term, *_ = HEADER.unpack_from(buffer, offset)
                    assert index == len(mirror) + 1, f"{host.name} has entry {index} behind {len(mirror)}"
                    mirror.append((term, checksum))
        same = first - 1
        for old, new in zip(before, mirror[first - 1 :], strict=False):
            if old != new:
                break
            same += 1
        if same < first - 1 + len(before):
            del durable[same:]
            in_job = self._in_job.get(host.member)
            if in_job is not None:
                del in_job[same:]
        return mirror

    def _durable(self, host: Host, job: PersistJob) -> None:
        if job.hard_state is not None:
            self.hard_states[host.member] = job.hard_state
        if job.log_job is not None:
            durable, in_job = self.durable[host.member], self._in_job[host.member]
            durable.extend(in_job[len(durable) :])

    def _commit(self, host: Host, first: int) -> None:
        assert host.replica is not None
        replica = host.replica
        self.committed += self.mirrors[host.member][first - 1 : replica.core.commit_index]
        for checker in self.checkers:
            checker.committed(host, first)
        for buffer, offsets in replica.log.runs(first, replica.core.commit_index):
            for offset in offsets:
                session_id = HEADER.unpack_from(buffer, offset)[8]
                outcome = self.model.apply(buffer, offset)
                if outcome is not None:
                    for checker in self.checkers:
                        checker.applied(session_id, outcome)

    def _completed(self, operation: Operation) -> None:
        for checker in self.checkers:
            checker.completed(operation)
