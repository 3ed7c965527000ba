"""What the checkers look at: every replica's log as stamps, what is durable, what is committed, and the model of it.

It watches the hosts and reads their logs from the same mapped bytes that the replicas use. Invariant: `mirrors[m]` is the log of
member m after its last turn; `durable[m]` is the part of it that a finished persist job covers; `committed` only grows.

At and below its dense index a log has holes. There a mirror says what is committed, and `sparse[m]` what is really present:
whoever compares mirrors need not know of holes, and one checker (HolesAreLegal) looks at the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ocelog.client.calls import EventBatch
from ocelog.log.entry import CONFIGURATION, HEADER, HEADER_BYTES, damage
from ocelog.log.log import Log
from ocelog.log.segment import Segment
from ocelog.shard.persist import PersistJob
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.replica import Turn

from .client import SimClient
from .host import Host
from .model import Model, Outcome
from .workload import LEVEL_NAMES, Operation, Workload

Stamp = tuple[int, int]
"""An entry as far as equality goes: its term and its checksum, which covers everything else."""


class Violation(AssertionError):
    """An invariant is broken; the text begins with the checker's name."""


class Checker:
    """One invariant. Every hook is called after the observer has taken in what happened.

    Whoever `reads_messages` is told of a turn that only sent some, too; see `Observer.face_of`.
    """

    reads_messages = False

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def check(self, holds: bool, text: str) -> None:
        """Raise Violation unless `holds`."""
        if not holds:
            raise Violation(f"{type(self).__name__}: {text}")

    def started(self, host: Host) -> None:
        """A replica has opened its directory."""

    def turned(self, host: Host, turn: Turn) -> None:
        """A replica has taken a turn that changed something; what it sends has not left yet."""

    def reshaped(self, host: Host) -> None:
        """The log at and below the dense index is another one than before this start or turn: swapped, or installed."""

    def durable(self, host: Host, job: PersistJob) -> None:
        """A persist job has run."""

    def committed(self, host: Host, first: int) -> None:
        """Entries from `first` on became committed, as this replica is the first to know."""

    def entered(self, index: int) -> None:
        """The model has read the committed entry at `index`, which did something to the resources of `model.machines`."""

    def applied(self, session_id: int, outcome: Outcome) -> None:
        """A committed entry spent a sequence of this session."""

    def completed(self, operation: Operation) -> None:
        """A client's call ended."""

    def given(self, client: SimClient, batch: EventBatch) -> None:
        """A client was given a batch of events."""

    def handled(self, client: SimClient, batch: EventBatch) -> None:
        """Its application has handled them, and the client is about to be told so."""

    def finished(self, clients: Sequence[SimClient]) -> None:
        """The run is over: everything was answered, given and handled."""


HOOKS = tuple(name for name, value in vars(Checker).items() if name != "check" and name[0] != "_" and callable(value))


class Observer:
    """Feeds `checkers` with everything that happens to the hosts and clients it is attached to.

    `publishing[m]` is what the log of member m becomes if an install that is being published has come to its end;
    `lost[m]` what was durable there when it lost its files.
    """

    def __init__(self, members: int, workload: Workload) -> None:
        self.members = members
        self.workload = workload
        self.mirrors: dict[int, list[Stamp]] = {member: [] for member in range(members)}
        self.sparse: dict[int, dict[int, Stamp]] = {member: {} for member in range(members)}
        self.durable: dict[int, list[Stamp]] = {member: [] for member in range(members)}
        self.lost: dict[int, list[Stamp]] = {}
        self.publishing: dict[int, list[Stamp] | None] = dict.fromkeys(range(members))
        self.hard_states: dict[int, tuple[int, int | None]] = dict.fromkeys(range(members), (0, None))
        self.committed: list[Stamp] = []
        self.configuration = Configuration.bootstrap(range(members))
        self.model = Model()
        self.looks = 0
        self.checkers = ()
        self.counts: Counter[str] = Counter()
        self.hosts: dict[int, Host] = {}
        self._in_job: dict[int, list[Stamp]] = {}
        self._shapes: dict[int, object] = {}
        self._faces: dict[int, object] = {}

    @property
    def checkers(self) -> Sequence[Checker]:
        """All of them, in the order in which they are told of anything."""
        return self._checkers

    @checkers.setter
    def checkers(self, checkers: Sequence[Checker]) -> None:
        self._checkers = checkers
        # A turn is taken thousands of times in a run: whom a hook does not concern is not called.
        self._hooks: dict[str, list[Callable[..., None]]] = {
            hook: [getattr(each, hook) for each in checkers if getattr(type(each), hook) is not getattr(Checker, hook)]
            for hook in HOOKS
        }
        self._readers = [each.turned for each in checkers if each.reads_messages]

    def tell(self, hook: str, *arguments: Any) -> None:
        """Tell every checker that listens to this hook; `looks` counts them."""
        concerned = self._hooks[hook]
        self.looks += len(concerned)
        for look in concerned:
            look(*arguments)

    def watch_host(self, host: Host) -> None:
        """Watch one replica from now on."""
        self.hosts[host.member] = host
        host.on_start.append(self._started)
        host.on_turn.append(self._turned)
        host.on_durable.append(self._durable)
        host.on_wipe.append(self._wiped)

    def watch_client(self, client: SimClient) -> None:
        """Watch one client from now on."""
        client.on_completed.append(self._completed)
        client.on_given.append(self._given)
        client.handler.on_handled.append(partial(self._handled, client))

    def holds(self, member: int, index: int, stamp: Stamp) -> bool:
        """Whether a member has this entry durably, or had and may have acknowledged it before it lost its files."""
        logs = [self.durable[member]]
        if member in self.lost and self.hosts[member].recovering:
            logs.append(self.lost[member])
        return any(log[index - 1 : index] == [stamp] for log in logs)

    def _wiped(self, host: Host) -> None:
        """The member has lost its files, and with them everything that it had promised to keep."""
        self.mirrors[host.member] = []
        # What it had got back when it lost its files again is less than it may have acknowledged the first time.
        if len(self.durable[host.member]) > len(self.lost.get(host.member, [])):
            self.lost[host.member] = self.durable[host.member]
        self.durable[host.member] = []
        self.publishing[host.member] = None
        self.hard_states[host.member] = (0, None)

    def _started(self, host: Host) -> None:
        assert host.replica is not None
        self.mirrors[host.member] = []
        self._read_whole(host)
        self.tell("started", host)
        self.tell("reshaped", host)
        self._faces[host.member] = ()
        self.publishing[host.member] = None
        self.durable[host.member] = self.mirrors[host.member][: host.replica.log.synced_index]
        self.hard_states[host.member] = (host.replica.meta.term, host.replica.meta.voted_for)

    def _turned(self, host: Host, turn: Turn) -> None:
        assert host.replica is not None
        reshaped = self._shapes[host.member] != shape_of(host.replica.log)
        changed = reshaped or turn.job is not None or host.changed_from <= host.replica.log.last_index
        if not changed and self.face_of(host) == self._faces[host.member]:
            if turn.messages:
                self.looks += len(self._readers)
                for look in self._readers:
                    look(host, turn)
            return
        mirror = self._read_whole(host) if reshaped else self._read(host, host.changed_from)
        if turn.job is not None and turn.job.log_job is not None:
            if host.replica.core.installing:
                # The replica hands out nothing but the job that publishes it while an install is going on.
                mirror = self.publishing[host.member] = self.committed[: turn.job.log_job.index]
                self.counts["installs"] += 1
            elif turn.job.log_job.snapshot is not None:
                self.counts["snapshots"] += 1
            self._in_job[host.member] = mirror[: turn.job.log_job.index]
        first = len(self.committed) + 1
        if host.replica.core.commit_index >= first:
            self._commit(host, first)
        self.tell("turned", host, turn)
        if reshaped:
            self.tell("reshaped", host)
        self._faces[host.member] = self.face_of(host)

    def face_of(self, host: Host) -> object:
        """Everything of a replica that checkers of `turned` look at, besides messages, jobs and new entries.

        Most turns change nothing of it, and then there is nothing to be looked at again: a checker that looks at more
        has to have it added here.
        """
        assert host.replica is not None
        replica, member = host.replica, host.member
        core, log, executor = replica.core, replica.log, replica.state.executor
        return (
            core.role,
            core.term,
            core.commit_index,
            core.persisted_index,
            core.installing,
            log.last_index,
            len(self.mirrors[member]),
            len(self.durable[member]),
            self.publishing[member] is None,
            self.hard_states[member],
            replica.state.rebuilding,
            executor,
            executor.applied_index,
            executor.digest,
            bool(replica.digests.divergence.disagreeing),
        )

    def _read_whole(self, host: Host) -> list[Stamp]:
        """Take in a log from its beginning: it was opened, or what is below the dense index has changed."""
        assert host.replica is not None
        log = host.replica.log
        self._shapes[host.member] = shape_of(log)
        dense = log.dense_index
        assert dense <= len(self.committed), f"{host.name} is dense behind {dense}, {len(self.committed)} are committed"
        self.sparse[host.member] = dict(present(log, dense))
        mirror = self.mirrors[host.member] = self.committed[:dense]
        self._append(host, mirror, dense + 1)
        self._forget_changed(host, 1)
        return mirror

    def _read(self, host: Host, first: int) -> list[Stamp]:
        """Take in the entries from `first` on, and that those which were there before may be gone."""
        assert host.replica is not None
        first = max(first, host.replica.log.dense_index + 1)
        mirror = self.mirrors[host.member]
        del mirror[first - 1 :]
        self._append(host, mirror, first)
        self._forget_changed(host, first)
        return mirror

    def _append(self, host: Host, mirror: list[Stamp], first: int) -> None:
        assert host.replica is not None
        log = host.replica.log
        if log.last_index < first:
            return
        sound = host.sound
        for buffer, offsets in log.runs(first, log.last_index):
            for offset in offsets:
                checksum, _, index, term, *_ = HEADER.unpack_from(buffer, offset)
                if not sound and damage(buffer, offset, len(buffer)) is not None:
                    mirror.append(self._undamaged(host, len(mirror) + 1))
                    continue
                assert index == len(mirror) + 1, f"{host.name} has entry {index} behind {len(mirror)}"
                mirror.append((term, checksum))

    def _undamaged(self, host: Host, index: int) -> Stamp:
        """What an entry was that is damaged now; whoever reads it will notice."""
        durable = self.durable[host.member]
        return durable[index - 1] if index <= len(durable) else self.committed[index - 1]

    def _forget_changed(self, host: Host, first: int) -> None:
        """What was truncated is not durable any more, whatever comes in its place."""
        assert host.replica is not None
        if host.replica.core.installing:
            return  # the log changes when the replica learns that its publish is durable
        mirror = self.mirrors[host.member]
        _keep_equal(self.durable[host.member], mirror, first - 1)
        _keep_equal(self._in_job.get(host.member, []), mirror, first - 1)

    def _durable(self, host: Host, job: PersistJob) -> None:
        member = host.member
        if job.hard_state is not None:
            self.hard_states[member] = job.hard_state
        if job.log_job is not None:
            if self.publishing[member] is not None:
                self.durable[member] = list(self._in_job[member])
                self.publishing[member] = None
            else:
                self.durable[member].extend(self._in_job[member][len(self.durable[member]) :])
        self.tell("durable", host, job)

    def _commit(self, host: Host, first: int) -> None:
        assert host.replica is not None
        replica = host.replica
        self.committed += self.mirrors[host.member][first - 1 : replica.core.commit_index]
        self.tell("committed", host, first)
        for buffer, offsets in replica.log.runs(first, replica.core.commit_index):
            for offset in offsets:
                _, length, index, _, kind, _, _, _, session_id, _ = HEADER.unpack_from(buffer, offset)
                if kind == CONFIGURATION:
                    payload = buffer[offset + HEADER_BYTES : offset + HEADER_BYTES + length]
                    self.configuration = Configuration.decode(payload, index)
                outcome = self.model.apply(buffer, offset, self._entered)
                if outcome is not None:
                    self.tell("applied", session_id, outcome)

    def _entered(self, index: int) -> None:
        facts = self.model.machines.facts
        if facts:
            self.counts["deleted in use"] += any(fact.what == "deleted" for fact in facts)
            self.tell("entered", index)

    def _given(self, client: SimClient, batch: EventBatch) -> None:
        self.counts["batches of events"] += 1
        self.tell("given", client, batch)

    def _handled(self, client: SimClient, batch: EventBatch) -> None:
        self.tell("handled", client, batch)

    def _completed(self, operation: Operation) -> None:
        if operation.call.error is None:
            what = "outcomes" if operation.asked else "reads" if operation.is_read else "commands"
            self.counts[f"{LEVEL_NAMES[operation.call.level]} {what}" if what != "outcomes" else what] += 1
        self.tell("completed", operation)


def _keep_equal(log: list[Stamp], other: list[Stamp], begin: int) -> None:
    """Cut a log where it differs from another one; up to `begin` it does not."""
    for position in range(begin, len(log)):
        if position >= len(other) or log[position] != other[position]:
            del log[position:]
            return


def segments_of(log: Log) -> Sequence[Segment]:
    """The segments that make up a log, ascending."""
    return log._segments


def shape_of(log: Log) -> object:
    """What tells whether anything at or below the dense index has changed."""
    if not log.snapshot_index:
        return (0, 0)
    return (
        log.snapshot_index,
        log.dense_index,
        [segment.generation for segment in segments_of(log) if segment.version > 1],
    )


def present(log: Log, last: int) -> Iterator[tuple[int, Stamp]]:
    """Index and stamp of the entries up to `last` that are there, in the order of the log."""
    for segment in segments_of(log):
        for offset in segment.offset[: segment.rows_through(last)].tolist():
            checksum, _, index, term, *_ = HEADER.unpack_from(segment.buffer, offset)
            yield index, (term, checksum)
