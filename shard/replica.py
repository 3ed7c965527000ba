"""One replica without sockets, clocks or threads: the Raft core, the log, the executor and a leader's term joined.

Whoever drives it (the process in `server.py`, the simulation) hands in messages, ticks and finished jobs, and once per
turn calls `decide` and then `apply` (or `step`, which is both). What has to leave is in the `Turn`: messages to peers,
answers to routers, at most one persist job at a time, and work for the background and for the compactor. Time comes in
as numbers.

Invariants: nothing is acknowledged before the job that makes it durable is done; entries are applied in order and
only up to the commit index; messages that rest on durability are dropped if the term has moved on meanwhile; while the
state is rebuilt from a snapshot nothing is applied and nobody is answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from ..client.protocol.admin import AdminRequest
from ..client.protocol.frames import Item
from ..client.protocol.limits import Limits
from ..log.compaction_request import CompactionResult
from ..log.errors import Corruption, NoSpace
from ..log.log import Log
from ..log.meta import Meta
from ..log.renewal import end_probation
from . import neighbours
from .background import Background, BackgroundJob
from .catch_up import CatchUp
from .compaction_config import CompactionConfig
from .digest_exchange import DigestExchange
from .divergence import Divergence
from .executor import Executor
from .healing import Healing
from .housekeeping import Housekeeping
from .leadership import Leadership
from .local_reads import LocalReads
from .log_view import ReplicaLogView, core_over
from .machines.base import StateMachine
from .outbox import Outbox
from .persist import PersistJob
from .promises import Promises
from .raft.config import RaftConfig
from .raft.lease import lease_ms
from .raft.messages import Accepted, Append, Message
from .reception import Reception
from .replica_status import status_of
from .state import ReplicaState
from .terms import Terms
from .turn import Turn

logger = logging.getLogger(__name__)

APPLY_ENTRIES_MAX = 4000
"""Entries applied in one turn, so that a replica with much to catch up still hears its peers."""

APPLY_WHILE_SYNCING_MAX = 64
"""The same for a follower whose disk is at work, so that its acknowledgement leaves when the disk is done."""


class Replica:
    """See the module. `status_extra` adds what only the process knows (pid, memory, CPU) to a status report.

    `clock` (seconds) measures pauses for the status, and steps for receipts; it decides nothing.
    """

    def __init__(
        self,
        *,
        shard: int,
        member: int,
        voters: Sequence[int],
        log: Log,
        meta: Meta,
        raft_config: RaftConfig,
        limits: Limits,
        machines: Mapping[str, type[StateMachine]],
        rng: Random,
        tick_ms: int = 50,
        sessions_max: int = 100_000,
        results_bytes_max: int = 64 * 1024 * 1024,
        compaction: CompactionConfig = CompactionConfig(),  # noqa: B008  (frozen)
        incarnation: int = 1,
        probation: bool = False,
        status_extra: Callable[[], dict[str, Any]] = dict,
        clock: Callable[[], float] = float,
    ) -> None:
        self.shard, self.member = shard, member
        self.log, self.meta = log, meta
        self.limits = limits
        self.tick_ms = tick_ms
        self.sessions_max = sessions_max
        self.results_bytes_max = results_bytes_max
        self.status_extra = status_extra
        self._clock = clock
        self._view = ReplicaLogView(log, raft_config.append_bytes_max)
        self.core = core_over(
            log,
            self._view,
            meta,
            voters,
            member=member,
            config=raft_config,
            rng=rng,
            incarnation=incarnation,
            probation=probation,
            lease_ms=lease_ms(raft_config.election_ticks, tick_ms, raft_config.clock_drift_percent),
        )
        self.background = Background()
        self.healing = Healing(self.core, log, lambda: self.housekeeping.ask(major=True))
        self.housekeeping = Housekeeping(
            log, compaction, self.background, self.healing.want, shard=shard, tick_ms=tick_ms, clock=clock
        )
        self.catch_up = CatchUp(self.core, log, self.background, self.healing, shard)
        self.digests = DigestExchange(self.core, Divergence(shard, member), interval=compaction.digest_entries)
        self.outbox = Outbox(shard, member)
        self.state = ReplicaState(lambda: Executor(machines, nesting_max=limits.nesting_max), log, self.digests)
        self.local_reads = LocalReads(self.core, self.state, self.outbox, limits, tick_ms=tick_ms, clock=clock)
        self.reception = Reception(
            shard, self.core, self.outbox, self.local_reads, status=self.status, administer=self.administer
        )
        self.terms = Terms(self.core, log, self.outbox, self.reception, self._lead)
        self._beside = neighbours.handlers(self.digests, self.healing)
        self._promises = Promises(meta, lambda: end_probation(log.disk, log.directory))
        self._ticked = False

    @property
    def executor(self) -> Executor:
        """The replicated state; another object after an install."""
        return self.state.executor

    @property
    def leadership(self) -> Leadership | None:
        """What it does for clients while it leads."""
        return self.terms.leadership

    @property
    def rebuilding(self) -> bool:
        """Whether the state is still being rebuilt from the snapshot."""
        return self.state.rebuilding

    # -- inputs --------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of time passed (however long the process was paused, that is one tick)."""
        self.core.tick()
        self.housekeeping.tick()
        self._ticked = True

    def receive_peer(self, message: Message) -> None:
        """Take a message of a peer and carry out at once what it does to the log. Raises Diverged and Corruption."""
        beside = self._beside.get(type(message))
        if beside is not None:
            if message.sender in self.core.peers and message.to == self.member:
                beside(message)
            return
        if type(message) is Append and not self._view.is_sound(message):
            return  # as if it had been lost on its way
        accepted = self.core.receive(message)
        if accepted is None:
            return
        if not isinstance(accepted, Accepted):
            self.catch_up.receive(accepted)
            return
        log = self.log
        if accepted.truncate_to is not None:
            log.truncate(accepted.truncate_to)
        append = accepted.message
        if accepted.first_new <= append.last_index:
            first = append.prev_index + 1
            batch = append.entries
            try:
                log.append_batch(first, batch.data, batch.sizes, append.runs, skip=accepted.first_new - first)
            except NoSpace as error:
                logger.warning("shard %d replica %d: no room for new entries: %s", self.shard, self.member, error)
                self.core.not_appended()
                return
            for index in log.configuration_entries(accepted.first_new, append.last_index):
                self.core.configuration_appended(index, log.entry(index).payload)

    def receive_bundle(self, router: bytes, items: Sequence[Item]) -> None:
        """Take the messages of clients that one router sends in one turn."""
        self.reception.receive(router, items, self.leadership)

    @property
    def wants_company(self) -> bool:
        """Whether the turn had better wait `company.SECONDS` for other clients' commands before it is decided."""
        return self.leadership is not None and self.leadership.wants_company

    def forget_router(self, router: bytes) -> None:
        """The router cannot be reached any more."""
        self.reception.forget(router)
        if self.leadership is not None:
            self.leadership.forget_router(router)

    def peer_gone(self, member: int) -> None:
        """The connection to a member of this shard broke."""
        self.core.peer_gone(member)

    def peer_died(self, member: int) -> None:
        """The process of a member of this shard that we were connected to has surely ended."""
        self.core.peer_died(member)

    def job_done(self, job: PersistJob) -> None:
        """A persist job that `step` returned has run to its end."""
        if job.hard_state is not None:
            self.core.stored(*job.hard_state)
        if self.core.installing and job.log_job is not None:
            self.catch_up.published(job.log_job)
            self.state.begin_again()
        elif job.log_job is not None:
            self.core.persisted(self.log.sync_done(job.log_job))
        self._promises.done(job, self.core.term)

    def background_done(self, job: BackgroundJob) -> None:
        """A job that `Turn.background` asked for has run to its end."""
        self.background.finished(job)

    def compacted(self, result: CompactionResult) -> None:
        """The compactor has answered."""
        self.housekeeping.rewritten(result)

    def not_compacted(self, reason: str) -> None:
        """There is no compactor, or it went away before it answered."""
        self.housekeeping.not_rewritten(reason)

    def administer(self, request: AdminRequest) -> dict[str, Any]:
        """Carry out what an operator asks; the fields of an ADMIN_REPORT."""
        report = {"shard": self.shard, "replica": self.member, "ok": self.state.usable}
        if self.state.missing is not None:
            return report | {"reason": str(self.state.missing)}
        if self.rebuilding:
            return report | {"reason": "the replica is rebuilding its state from a snapshot"}
        return report | self.housekeeping.administer(request, self.executor.applied_index)

    # -- the end of a turn ---------------------------------------------------------------------------

    def step(self, monotonic_ms: int, wall_ms: int, *, notify: bool = True, lease_clock_ms: int | None = None) -> Turn:
        """The end of a turn, whole: `decide`, then `apply`."""
        turn = self.decide(monotonic_ms, wall_ms, notify=notify, lease_clock_ms=lease_clock_ms)
        self.apply(turn)
        return turn

    def decide(
        self, monotonic_ms: int, wall_ms: int, *, notify: bool = True, lease_clock_ms: int | None = None
    ) -> Turn:
        """Log what the turn brought; returns the messages to peers and the job to begin, before anything is applied.

        The disk and the peers then work while `apply` runs. `notify=False` keeps back messages that would tell
        followers a new commit index and nothing else; if there are any, `Turn.owes_notice` says so, and the caller
        steps again soon. `lease_clock_ms` was read after all that the turn brought, from a clock that nobody sets and
        that goes on while the machine is suspended; without it there are no leases.
        """
        self.terms.decide(monotonic_ms, wall_ms, ticked=self._ticked, lease_clock_ms=lease_clock_ms)
        self._ticked = False
        self.core.clients_read(self.local_reads.lately)
        messages = self._promises.kept()
        while self._take_output(messages, notify, lease_clock_ms):
            self.terms.begin(monotonic_ms, wall_ms)
        self._view.forget_batch()
        messages += self.catch_up.messages()
        messages += self.digests.messages()
        messages += self.healing.messages()
        return Turn(messages, self._next_job(), self.core.owes_notice)

    def apply(self, turn: Turn) -> None:
        """Apply what is committed and put the answers into the turn that `decide` returned."""
        self.terms.note_progress()
        turn.unfinished = self._apply_committed()
        if self.leadership is not None:
            self.leadership.settle()
            # While leadership is handed over nothing can be logged, and what waits for that is no reason to come back.
            turn.unfinished = turn.unfinished or (self.leadership.has_work() and not self.core.transferring)
        else:
            self.executor.forget_moved()
        self.local_reads.run()
        turn.answers = self.outbox.take()
        self._keep_house(turn)
        more = self.local_reads.has_work or self.housekeeping.has_work() or self.catch_up.has_work()
        turn.unfinished = turn.unfinished or more

    def _keep_house(self, turn: Turn) -> None:
        """Go on with snapshot and compaction, between two turns, and hand out the work of others."""
        if self.state.usable and not self.core.installing:
            self.housekeeping.turn(self.executor, self.core.configuration_at, self.catch_up.needed_from)
        turn.background = self.background.next()
        turn.compaction = self.housekeeping.take_request()

    def _take_output(self, messages: list[Message], notify: bool, now: int | None) -> bool:
        """Take the core's output; returns whether this replica has just become leader."""
        output = self.core.take(notify=notify, now=now)
        self._promises.add(output)
        elected = False
        for change in output.role_changes:
            elected = self.terms.change(change)
        for message in output.messages:
            if type(message) is Append and message.last_index > message.prev_index:
                try:
                    message.entries = self._view.batch(message.prev_index + 1, message.last_index, message.commit_index)
                except Corruption as damage:
                    self.healing.want(damage)
                    continue  # as if it had been lost on its way
            messages.append(message)
        if self.leadership is not None:
            for round_id, index in output.reads:
                self.leadership.confirm(round_id, index)
        return elected

    def _apply_committed(self) -> bool:
        """Apply what is committed, within limits; returns whether more is waiting."""
        awaits_sync = self.leadership is None and self._promises.under_way
        most = APPLY_WHILE_SYNCING_MAX if awaits_sync else APPLY_ENTRIES_MAX
        try:
            waiting = self.state.advance(self.core.commit_index, most)
        except Corruption as damage:
            self.healing.want(damage)
            waiting = False
        self.core.barred = self.state.missing is not None
        self.outbox.index = self.executor.applied_index
        return waiting

    def _next_job(self) -> PersistJob | None:
        """One job for everything that is not durable yet, unless one is under way."""
        if self._promises.under_way:
            return None
        log_job = self.catch_up.publish()
        if log_job is None:
            log_job = self.log.sync_job()
        if self.core.installing:
            self.housekeeping.cancel()
        return self._promises.next_job(log_job)

    def _lead(self, noop_index: int) -> Leadership:
        """A new term of this replica, whose no-op will have this index."""
        return Leadership(
            self.executor,
            self.outbox,
            self.limits,
            tick_ms=self.tick_ms,
            sessions_max=self.sessions_max,
            noop_index=noop_index,
            results_bytes_max=self.results_bytes_max,
            clock=self._clock,
        )

    def status(self) -> dict[str, Any]:
        """What this replica knows of itself; the fields of `ocelog status --json`."""
        return status_of(self)
