"""A replica's terms as leader: it follows the core into and out of leadership, and logs what a leader's turn brings.

It holds the one `Leadership` of the term, or none. Nothing is logged in a term before its no-op (Raft, section 8), and
nothing after the core has ceased to lead, since the entry would get the next leader's term.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..client.protocol import frames
from ..log.errors import NoSpace
from ..log.log import Log
from .leadership import NOOP_RECORD, Leadership
from .outbox import Outbox
from .raft.core import Raft
from .raft.messages import Role, RoleChange
from .reception import Reception
from .replica_status import member_name

logger = logging.getLogger(__name__)


class Terms:
    """See the module. `lead` makes the leadership of a term that begins with the entry at an index."""

    def __init__(
        self,
        core: Raft,
        log: Log,
        outbox: Outbox,
        reception: Reception,
        lead: Callable[[int], Leadership],
    ) -> None:
        self.core = core
        self.log = log
        self.outbox = outbox
        self.reception = reception
        self._lead = lead
        self.leadership: Leadership | None = None
        self._noop_due = False
        self._pushes = self._expiries = 0

    @property
    def pushes(self) -> int:
        """Messages of events sent, in all terms of this process."""
        return self._pushes + (0 if self.leadership is None else self.leadership.pushes.messages)

    @property
    def expiries(self) -> int:
        """Sessions expired, in all terms of this process."""
        return self._expiries + (0 if self.leadership is None else self.leadership.expiries)

    def decide(self, monotonic_ms: int, wall_ms: int, *, ticked: bool, lease_clock_ms: int | None) -> None:
        """Log what the turn brought, and ask for the round that its reads need, if they may not go by a lease."""
        leadership = self.leadership
        # A message or tick of this turn may have ended the term already; what clients sent into it must not be logged,
        # as the entry would get the next leader's term. Taking the core's output answers them NOT_LEADER.
        if leadership is None or self.core.role is not Role.LEADER:
            return
        if ticked:
            leadership.tick(leadership.clock.time(monotonic_ms, wall_ms))
            if self._noop_due and not self.core.transferring:
                self._append_noop(leadership, monotonic_ms, wall_ms)
        if leadership.reads.wants_lease:
            leadership.reads.decide_by_lease(lease_clock_ms is not None and self.core.has_lease(lease_clock_ms))
        round_id = leadership.reads.next_round()
        if round_id is not None:
            self.core.read(round_id)
        if not self.core.transferring:
            self._log_records(leadership, monotonic_ms, wall_ms)

    def _log_records(self, leadership: Leadership, monotonic_ms: int, wall_ms: int) -> None:
        intake = leadership.intake
        change = self.core.due_change()
        if change is not None:
            leadership.add_configuration(change)
        if not intake.records:
            return
        try:
            self.log.append(self.core.term, leadership.clock.time(monotonic_ms, wall_ms), intake.records)
        except NoSpace as error:
            logger.warning("shard %d replica %d: no room for new entries: %s", self.outbox.shard, self._member, error)
            leadership.refused()
            return
        intake.appended(self.log.last_index + 1)
        if leadership.configuration is not None:
            self.core.configuration_appended(*leadership.configuration)
            leadership.configuration = None
        self.core.appended()

    def note_progress(self) -> None:
        """Tell the receipts that somebody waits for how far the log has come."""
        if self.leadership is not None and self.leadership.receipts.open:
            self.leadership.receipts.moved(self.log.synced_index, self.core.commit_index)

    def change(self, change: RoleChange) -> bool:
        """Follow the core into another role or to another leader; returns whether it is now the leader, without a term."""
        self.outbox.term = change.term
        self.outbox.leader = frames.NO_LEADER_KNOWN if change.leader is None else change.leader
        if change.leader != change.previous_leader or change.role is Role.LEADER:
            logger.info(
                "shard %d: leadership from %s to %s, term %d: %s",
                self.outbox.shard,
                member_name(change.previous_leader),
                member_name(change.leader),
                change.term,
                change.reason,
            )
        if self.leadership is not None and change.role is not Role.LEADER:
            self.leadership.step_down()
            self._pushes, self._expiries = self.pushes, self.expiries
            self.leadership = None
            self._noop_due = False
        self.reception.tell_leader()
        return change.role is Role.LEADER and self.leadership is None

    def begin(self, monotonic_ms: int, wall_ms: int) -> None:
        """Begin to lead, with the no-op of the new term (Raft, section 8)."""
        self.leadership = self._lead(self.log.last_index + 1)
        self.leadership.clock.begin_term(self.log.last_time(), monotonic_ms)
        self._append_noop(self.leadership, monotonic_ms, wall_ms)

    def _append_noop(self, leadership: Leadership, monotonic_ms: int, wall_ms: int) -> None:
        """Append the no-op, or try again with the next tick if the disk is full; nothing else is logged before it."""
        try:
            self.log.append(self.core.term, leadership.clock.time(monotonic_ms, wall_ms), [NOOP_RECORD])
        except NoSpace as error:
            self._noop_due = True
            logger.warning("shard %d replica %d leads, but has no room: %s", self.outbox.shard, self._member, error)
            return
        self._noop_due = False
        self.core.appended()

    @property
    def _member(self) -> int:
        return self.core.member
