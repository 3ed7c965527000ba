"""One replica without sockets, clocks or threads: the Raft core, the log, the executor and a leader's term joined.

Whoever drives it (the process in `server.py`, the simulation) hands in messages, ticks and finished persist jobs, and
once per turn calls `decide` and then `apply` (or `step`, which is both). What has to leave is in the `Turn`: messages
to peers, answers to routers, and at most one persist job at a time. Time comes in as numbers.

Invariants: nothing is acknowledged before the job that makes it durable is done; entries are applied in order and
only up to the commit index; messages that rest on durability are dropped if the term has moved on meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import msgpack

from ..client.protocol import errors, frames
from ..client.protocol.frames import BadFrame, Item, Request
from ..client.protocol.limits import Limits
from ..log.errors import NoSpace
from ..log.log import Batch, Log
from ..log.meta import Meta
from .executor import Executor
from .leadership import NOOP_RECORD, Leadership
from .machines.base import StateMachine
from .outbox import Origin, Outbox
from .persist import PersistJob
from .raft.config import RaftConfig
from .raft.core import Raft
from .raft.membership import Configuration
from .raft.messages import Accepted, Append, Message, Role, RoleChange

logger = logging.getLogger(__name__)

APPLY_ENTRIES_MAX = 4000
"""Entries applied in one turn, so that a replica with much to catch up still hears its peers."""

APPLY_WHILE_SYNCING_MAX = 64
"""The same for a follower whose disk is at work, so that its acknowledgement leaves when the disk is done."""


class Turn:
    """What leaves a replica at the end of a turn.

    `unfinished`: call `step` again at once, there is more to apply. `owes_notice`: call it again soon, with `notify`.
    """

    __slots__ = ("answers", "job", "messages", "owes_notice", "unfinished")

    def __init__(self, messages: list[Message], job: PersistJob | None, owes_notice: bool) -> None:
        self.messages = messages
        self.job = job
        self.owes_notice = owes_notice
        self.answers: dict[bytes, list[Item]] = {}
        self.unfinished = False


class _LogView:
    """The log as the core sees it: numbers only."""

    __slots__ = ("_log", "fit", "term_at")

    def __init__(self, log: Log) -> None:
        self._log = log
        self.term_at = log.term_at
        self.fit = log.fit

    @property
    def dense_index(self) -> int:
        return 0

    @property
    def last_index(self) -> int:
        return self._log.last_index

    def bytes_between(self, first: int, last: int) -> int:
        return self._log.bytes_between(first, last)


class Replica:
    """See the module. `status_extra` adds what only the process knows (pid, memory, CPU) to a status report."""

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
        status_extra: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.shard = shard
        self.member = member
        self.log = log
        self.meta = meta
        self.limits = limits
        self.tick_ms = tick_ms
        self.sessions_max = sessions_max
        self.results_bytes_max = results_bytes_max
        self.status_extra = status_extra
        self.core = Raft(
            member=member,
            configuration=Configuration.bootstrap(voters),
            config=raft_config,
            log=_LogView(log),
            rng=rng,
            term=meta.term,
            voted_for=meta.voted_for,
            persisted_index=log.synced_index,
        )
        self.append_bytes_max = raft_config.append_bytes_max
        self.executor = Executor(machines, nesting_max=limits.nesting_max)
        self.outbox = Outbox(shard)
        self.leadership: Leadership | None = None
        self._job: PersistJob | None = None
        self._after_sync: list[Message] = []
        self._hard_state: tuple[int, int | None] | None = None
        self._synced: list[Message] = []
        self._last_batch: Batch | None = None
        self._routers: dict[bytes, int] = {}
        self._ticks = 0
        self._ticked = False
        self._noop_due = False

    # -- inputs --------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of time passed (however long the process was paused, that is one tick)."""
        self.core.tick()
        self._ticks += 1
        self._ticked = True

    def receive_peer(self, message: Message) -> None:
        """Take a Raft message and carry out at once what it does to the log."""
        accepted = self.core.receive(message)
        if type(accepted) is not Accepted:
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

    def receive_bundle(self, router: bytes, items: Sequence[Item]) -> None:
        """Take the messages of clients that one router sends in one turn."""
        for route, parts in items:
            origin = Origin(router, route)
            try:
                header, body = frames.parse_request(parts)
            except BadFrame as error:
                self.outbox.refuse(origin, 0, 0, errors.BAD_MESSAGE, str(error))
                continue
            if header.kind == frames.HELLO or header.kind == frames.STATUS:
                self._receive_router(origin, header)
            elif header.shard != self.shard:
                text = f"this is shard {self.shard}, the message is for shard {header.shard}"
                first = header.first_sequence
                self.outbox.refuse(
                    origin, header.request, header.session, errors.WRONG_SHARD, text, first_sequence=first
                )
            elif self.leadership is None:
                self._refuse_not_leader(origin, header)
            else:
                self.leadership.receive(origin, header, body)

    def _refuse_not_leader(self, origin: Origin, header: Request) -> None:
        code = errors.NO_LEADER if self.core.leader is None else errors.NOT_LEADER
        first = header.first_sequence
        self.outbox.refuse(origin, header.request, header.session, code, first_sequence=first, retry_after_ms=50)

    def _receive_router(self, origin: Origin, header: Request) -> None:
        if header.kind == frames.STATUS:
            body = msgpack.packb(self.status())
            self.outbox.answer(origin, frames.STATUS_REPORT, header.request, 0, body)
            return
        self._routers[origin.router] = self._ticks
        self._tell_leader(origin.router)

    def _tell_leader(self, router: bytes) -> None:
        self.outbox.answer(Origin(router, 0), frames.LEADER, 0, 0)

    def peer_gone(self, member: int) -> None:
        """The connection to a member of this shard broke."""
        self.core.peer_gone(member)

    def forget_router(self, router: bytes) -> None:
        """The router cannot be reached any more."""
        self._routers.pop(router, None)

    def job_done(self, job: PersistJob) -> None:
        """A persist job that `step` returned has run to its end."""
        assert job is self._job, "one persist job at a time"
        self._job = None
        if job.hard_state is not None:
            self.core.stored(*job.hard_state)
        if job.log_job is not None:
            self.core.persisted(self.log.sync_done(job.log_job))
        # What was true of an older term is not said any more: its leader has lost, and we have moved on.
        self._synced += [message for message in job.messages if message.term == self.core.term]

    # -- the end of a turn ---------------------------------------------------------------------------

    def step(self, monotonic_ms: int, wall_ms: int, *, notify: bool = True) -> Turn:
        """The end of a turn, whole: `decide`, then `apply`."""
        turn = self.decide(monotonic_ms, wall_ms, notify=notify)
        self.apply(turn)
        return turn

    def decide(self, monotonic_ms: int, wall_ms: int, *, notify: bool = True) -> Turn:
        """Log what the turn brought; returns the messages to peers and the job to begin, before anything is applied.

        The disk and the peers then work while `apply` runs. `notify=False` keeps back messages that would tell
        followers a new commit index and nothing else; if there are any, `Turn.owes_notice` says so, and the caller
        steps again soon.
        """
        leadership = self.leadership
        # A message or tick of this turn may have ended the term already; what clients sent into it must not be logged,
        # as the entry would get the next leader's term. Taking the core's output answers them NOT_LEADER.
        if leadership is not None and self.core.role is Role.LEADER:
            if self._ticked:
                leadership.tick(leadership.clock.time(monotonic_ms, wall_ms))
                if self._noop_due:
                    self._append_noop(leadership, monotonic_ms, wall_ms)
            round_id = leadership.reads.next_round()
            if round_id is not None:
                self.core.read(round_id)
            self._log_records(leadership, monotonic_ms, wall_ms)
        self._ticked = False
        messages, self._synced = self._synced, []
        while self._take_output(messages, notify):
            self._begin_term(monotonic_ms, wall_ms)
        self._last_batch = None
        return Turn(messages, self._next_job(), self.core.owes_notice)

    def apply(self, turn: Turn) -> None:
        """Apply what is committed and put the answers into the turn that `decide` returned."""
        turn.unfinished = self._apply_committed()
        if self.leadership is not None:
            self.leadership.settle()
            turn.unfinished = turn.unfinished or self.leadership.has_work()
        else:
            self.executor.forget_moved()
        turn.answers = self.outbox.take()

    def _log_records(self, leadership: Leadership, monotonic_ms: int, wall_ms: int) -> None:
        intake = leadership.intake
        if not intake.records:
            return
        try:
            self.log.append(self.core.term, leadership.clock.time(monotonic_ms, wall_ms), intake.records)
        except NoSpace as error:
            logger.warning("shard %d replica %d: no room for new entries: %s", self.shard, self.member, error)
            leadership.refused()
            return
        intake.appended(self.log.last_index + 1)
        self.core.appended()

    def _take_output(self, messages: list[Message], notify: bool) -> bool:
        """Take the core's output; returns whether this replica has just become leader."""
        output = self.core.take(notify=notify)
        if output.hard_state is not None:
            self._hard_state = output.hard_state
        self._after_sync += output.messages_after_sync
        elected = False
        for change in output.role_changes:
            elected = self._change_role(change)
        for message in output.messages:
            if type(message) is Append and message.last_index > message.prev_index:
                message.entries = self._batch(message.prev_index + 1, message.last_index)
        messages += output.messages
        if self.leadership is not None:
            for round_id, index in output.reads:
                self.leadership.confirm(round_id, index)
        return elected

    def _batch(self, first: int, last: int) -> Batch:
        """The entries first..last; what goes to several followers in a row is read once."""
        batch = self._last_batch
        if batch is None or batch.first_index != first or batch.last_index != last:
            batch = self._last_batch = self.log.read(first, last, self.append_bytes_max)
            assert batch.last_index == last, f"append of {first}..{last} reads only to {batch.last_index}"
        return batch

    def _apply_committed(self) -> bool:
        """Apply what is committed, at most APPLY_ENTRIES_MAX; returns whether more is waiting."""
        executor = self.executor
        commit_index = self.core.commit_index
        if executor.applied_index < commit_index:
            most = APPLY_ENTRIES_MAX if self._job is None or self.leadership is not None else APPLY_WHILE_SYNCING_MAX
            last = min(commit_index, executor.applied_index + most)
            for buffer, offsets in self.log.runs(executor.applied_index + 1, last):
                executor.apply(buffer, offsets)
            released = executor.take_released()
            if released:
                self.log.release(released)
            self.outbox.index = executor.applied_index
        return executor.applied_index < commit_index

    def _next_job(self) -> PersistJob | None:
        """One job for everything that is not durable yet, unless one is under way."""
        if self._job is not None:
            return None
        log_job = self.log.sync_job()
        if log_job is None and self._hard_state is None and not self._after_sync:
            return None
        self._job = PersistJob(self.meta, self._hard_state, log_job, self._after_sync)
        self._hard_state = None
        self._after_sync = []
        return self._job

    # -- roles ---------------------------------------------------------------------------------------

    def _change_role(self, change: RoleChange) -> bool:
        """Follow the core into another role or to another leader; returns whether it is now the leader."""
        self.outbox.term = change.term
        self.outbox.leader = frames.NO_LEADER_KNOWN if change.leader is None else change.leader
        if change.leader != change.previous_leader or change.role is Role.LEADER:
            logger.info(
                "shard %d: leadership from %s to %s, term %d: %s",
                self.shard,
                _name(change.previous_leader),
                _name(change.leader),
                change.term,
                change.reason,
            )
        if self.leadership is not None and change.role is not Role.LEADER:
            self.leadership.step_down()
            self.leadership = None
            self._noop_due = False
        for router in self._routers:
            self._tell_leader(router)
        return change.role is Role.LEADER and self.leadership is None

    def _begin_term(self, monotonic_ms: int, wall_ms: int) -> None:
        """Begin to lead, with the no-op of the new term (Raft, section 8)."""
        noop_index = self.log.last_index + 1
        self.leadership = Leadership(
            self.executor,
            self.outbox,
            self.limits,
            tick_ms=self.tick_ms,
            sessions_max=self.sessions_max,
            noop_index=noop_index,
            results_bytes_max=self.results_bytes_max,
        )
        last_time = self.log.entry(self.log.last_index).time if self.log.last_index else 0
        self.leadership.clock.begin_term(last_time, monotonic_ms)
        self._append_noop(self.leadership, monotonic_ms, wall_ms)

    def _append_noop(self, leadership: Leadership, monotonic_ms: int, wall_ms: int) -> None:
        """Append the no-op, or try again with the next tick if the disk is full; nothing else is logged before it."""
        try:
            self.log.append(self.core.term, leadership.clock.time(monotonic_ms, wall_ms), [NOOP_RECORD])
        except NoSpace as error:
            self._noop_due = True
            logger.warning("shard %d replica %d leads, but has no room: %s", self.shard, self.member, error)
            return
        self._noop_due = False
        self.core.appended()

    def status(self) -> dict[str, Any]:
        """What this replica knows of itself; the fields of `ocelog status --json`."""
        core = self.core
        roles = {Role.LEADER: "leader", Role.FOLLOWER: "follower"}
        return {
            "id": self.member,
            "shard": self.shard,
            "role": roles.get(core.role, "candidate"),
            "term": core.term,
            "leader": core.leader,
            "commit_index": core.commit_index,
            "applied_index": self.executor.applied_index,
            "last_index": self.log.last_index,
            "sessions": len(self.executor.sessions),
            "log_bytes": self.log.log_bytes,
            **self.status_extra(),
        }


def _name(member: int | None) -> str:
    return "nobody" if member is None else f"replica {member}"
