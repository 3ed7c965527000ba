"""The way of calls through one session: queue, message, answer. No registration, no sockets, no clock.

Calls leave in the order they were submitted, as few messages as the limits allow. The first call on a resource
is preceded by its `open`; a call whose resource is not open yet holds back those behind it, so order is kept.

Invariant: a call is in the queue or in flight, never both, until it is done; a command is given its sequence in the
turn in which it is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random

import msgpack

from . import outcomes
from .arrivals import Arrivals
from .backoff import Strategy
from .calls import Call, Outbox, Resource
from .envelope import Envelope
from .event_receiver import EventReceiver
from .flight import Flight
from .parts import Parts
from .protocol import errors
from .protocol.frames import CAUSAL
from .protocol.limits import Limits
from .protocol.operations import OPEN, SHARD
from .queries import QueryBatch
from .settle import opened
from .settling import Settling

SWEEP_SECONDS = 0.02
"""Deadlines are looked at no more often than this: a call may give up so much late."""


class Flow:
    """The queue, the commands and the queries of one session."""

    def __init__(
        self, envelope: Envelope, outbox: Outbox, limits: Limits, random: Random, retry: Strategy | None = None
    ) -> None:
        self.envelope = envelope
        self.queue: deque[Call] = deque()
        self.sweep_at = inf
        self._earliest = inf
        self._swept_at = -inf
        self._outbox = outbox
        self._random = random
        self._retry = retry
        self.events = EventReceiver(envelope, outbox, random)
        self.settling = Settling(envelope, outbox, random, retry)
        self._shard = Resource("", "shard", envelope.shard)
        self._shard.index = SHARD
        self._pack = msgpack.Packer(use_bin_type=True).pack
        self.begin(limits)

    def begin(self, limits: Limits) -> None:
        """A new session: its sequences start at 1."""
        self.limits = limits
        self.flight = Flight(self.envelope, self._outbox, limits, self._random, self._retry)
        self.events.begin()
        self.arrivals = Arrivals(
            self.flight,
            self.envelope,
            self._outbox,
            self.events,
            self.settling,
            self._run_again,
            self._opened,
        )

    # -- in ------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Queue a call; it leaves with the next `pump` that has room for it."""
        resource = call.resource
        if resource.index is None and not resource.opening:
            self._open(resource)
        self.queue.append(call)
        self._watch(call)

    def _watch(self, call: Call) -> None:
        if call.deadline < self._earliest:
            self._earliest = call.deadline
            self.sweep_at = max(call.deadline, self._swept_at + SWEEP_SECONDS)

    def _open(self, resource: Resource) -> None:
        # In front of everything that waits, so that all resources one turn needs are opened in one message.
        resource.opening = True
        self.queue.appendleft(Call(self._shard, (OPEN, resource.name, resource.type), False, 0.0, inf, None, resource))

    def give_up(self, call: Call, now: float) -> None:
        """Nobody waits for the call any more: one that never left is removed, one that did becomes a void."""
        if not call.done:
            call.done = True
            if call.sequence:
                self.flight.window.void([call])
            else:
                self.sweep_at = min(self.sweep_at, now + SWEEP_SECONDS)

    # -- out -----------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Send what waits and has room, in order; commands and queries of a turn travel as one message each."""
        queue, flight, window = self.queue, self.flight, self.flight.window
        commands = Parts(self.limits)
        questions: dict[tuple[int, int], Parts] = {}
        room = window.room
        query_room = self.limits.in_flight_max - flight.queries.count
        while queue:
            call = queue[0]
            if call.done:
                queue.popleft()
                continue
            if call.resource.index is None:
                if call.resource.opening:
                    break
                self._open(call.resource)
                continue
            if (query_room if call.is_query else room) <= 0:
                break
            queue.popleft()
            operation = self._encode(call, now)
            if operation is None:
                continue
            if call.is_query:
                query_room -= 1
                self._add_query(questions, call, operation, now)
            else:
                room -= 1
                if not commands.add(call, operation):
                    flight.send_commands(commands, now)
                    commands.add(call, operation)
                window.add(call, operation)
        # Commands first: a query may wait at the shard for those before it, never the other way round.
        flight.send_commands(commands, now)
        for queries in questions.values():
            flight.send_queries(queries, now)

    def _add_query(self, questions: dict[tuple[int, int], Parts], call: Call, operation: bytes, now: float) -> None:
        kind = (call.level, call.selection)
        queries = questions.get(kind)
        if queries is None:
            queries = questions[kind] = Parts(self.limits, *kind)
        if not queries.add(call, operation):
            self.flight.send_queries(queries, now)
            queries.add(call, operation)
        if call.level != CAUSAL:
            queries.after = self.flight.window.last_sequence

    def _encode(self, call: Call, now: float) -> bytes | None:
        """The bytes of an operation; None when the call fails because it cannot be encoded or is too large."""
        try:
            operation: bytes = self._pack((call.resource.index, *call.parts))
        except Exception as error:  # arguments are foreign code: anything may come out of iterating over them
            text = f"the operation cannot be encoded: {error}"
            self._fail_unsent(call, lambda failed: errors.BadArgument(text))
            return None
        if len(operation) > self.limits.operation_bytes_max:
            text = f"an operation of {len(operation)} bytes; the limit is {self.limits.operation_bytes_max}"
            self._fail_unsent(call, lambda failed: outcomes.refused(failed, errors.TOO_LARGE, text, self.envelope, now))
            return None
        return operation

    def _fail_unsent(self, call: Call, error: Callable[[Call], Exception]) -> None:
        """The call can never leave; with an `open` go those that wait for what it opens, or they would hold up all others."""
        self._outbox.fail(call, error(call))
        if call.owner is None:
            call.waiter.opening = False
            for waiting in self.queue:
                if waiting.resource is call.waiter:
                    self._outbox.fail(waiting, error(waiting))

    # -- back ----------------------------------------------------------------------------------------

    def deliver(self, now: float) -> None:
        """Deliver what has its turn now; next to nothing while nothing waits for one."""
        if self.arrivals.ordering.heap or self.flight.queries.ordered:
            self.arrivals.end_turn(now)

    def end_turn(self, now: float) -> None:
        """Deliver what has its turn now, and ask and tell what was gathered in this turn."""
        self.deliver(now)
        if self.settling.fresh:
            self.settling.ask(now)
        if self.events.due:
            self.events.tell()

    def _run_again(self, calls: list[Call]) -> None:
        # The log refused them (UNKNOWN_RESOURCE), which is definite: they run again under new sequences, in their
        # order, once; the resource is opened anew by the next pump.
        for call in reversed(calls):
            call.reopened = True
            call.sequence = 0
            if not call.resource.opening:
                call.resource.index = None
            self.queue.appendleft(call)
            self._watch(call)
        if any(call.resource.opening for call in calls):
            self._open_first()

    def _open_first(self) -> None:
        """What opens a resource and has not left yet leaves before all that waits for it, or none of that ever would."""
        opens = [call for call in self.queue if call.owner is None]
        others = [call for call in self.queue if call.owner is not None]
        self.queue = deque([*opens, *others])

    def _opened(self, resource: Resource, result: bytes, now: float) -> None:
        code, text = opened(resource, result)
        if code != errors.OK:
            for call in [call for call in self.queue if call.resource is resource]:
                self._outbox.fail(call, outcomes.refused(call, code, text, self.envelope, now))

    # -- endings -------------------------------------------------------------------------------------

    def refuse(self, first: int, last: int, code: int, text: str, now: float) -> bool:
        """The shard will never take these sequences as they are: fail their calls and go on with voids.

        False when there was nothing left to void: the shard refuses even that, and the session is of no use.
        """
        calls = [call for s in range(first, last + 1) if (call := self.flight.window.pending.get(s)) and call.operation]
        for call in calls:
            if call.owner is None:
                self._opened(call.waiter, bytes((code,)) + text.encode(), now)
            self._outbox.fail(call, outcomes.message_refused(call, code, text, self.envelope, now))
        self.flight.window.void(calls)
        return bool(calls)

    def refuse_queries(self, batch: QueryBatch, code: int, text: str, now: float) -> None:
        """The shard refuses this message of queries for good: fail them, unless smaller messages may do."""
        if code == errors.TOO_LARGE and len(batch.calls) > 1:
            # Nobody can know beforehand how large the answers of a message will be together.
            self.flight.split_queries(batch, range(len(batch.calls)), now)
            return
        self.flight.queries.answered(batch.request)
        for call in batch.calls:
            self._outbox.fail(call, outcomes.refused(call, code, text, self.envelope, now))

    def expire(self, now: float, *, final: bool = False) -> None:
        """The session is over: what was sent fails, what was not goes on under the next session, unless this is the last.

        Callers of commands that are applied and not settled go on waiting: the next session asks for them.
        """
        self._end_flight(lambda call: outcomes.expired(call, self.envelope, now), now)
        if final:
            self._fail_queue(lambda call: outcomes.expired(call, self.envelope, now))
            self._stop_settling("the session ended before all its events were handled", now)
        self.begin(self.limits)

    def abandon(self, now: float, *, waiting_only: bool = False) -> None:
        """The client closes: fail what waits in the queue, or everything."""
        if not waiting_only:
            self._end_flight(lambda call: outcomes.closed(call, self.envelope, now), now)
            self._stop_settling("the client was closed before all its events were handled", now)
            self.begin(self.limits)
        self._fail_queue(lambda call: outcomes.closed(call, self.envelope, now))

    def _end_flight(self, error: Callable[[Call], Exception], now: float) -> None:
        for call in self.flight.calls():
            self._outbox.fail(call, error(call))
            if call.owner is None and call.waiter is not None:
                call.waiter.opening = False
        self.arrivals.flush(error, now)

    def _fail_queue(self, error: Callable[[Call], Exception]) -> None:
        calls = list(self.queue)
        self.queue.clear()
        for call in calls:
            if call.owner is None and call.waiter is not None:
                call.waiter.opening = False
            self._outbox.fail(call, error(call))

    def _stop_settling(self, why: str, now: float) -> None:
        for call in self.settling.clear():
            self._outbox.fail(call, outcomes.events_pending(call, call.result, why, self.envelope, now))

    def refuse_waiting(self, code: int, text: str, now: float) -> None:
        """No session can be had: fail what waits for one, also to ask whether its events were handled."""
        self._fail_queue(lambda call: outcomes.refused(call, code, text, self.envelope, now))
        self._stop_settling(f"and there is no session to ask for its events: {errors.name_of(code)}: {text}", now)

    def sweep(self, now: float, waited_for: str) -> None:
        """Let every call whose deadline passed give up. Cheap while nothing is due: the earliest deadline is kept."""
        earliest = inf
        overdue = []
        for call in [*self.flight.calls(), *self.arrivals.calls(), *self.settling.calls(), *self.queue]:
            if call.done:
                continue
            if call.deadline <= now:
                overdue.append(call)
            elif call.deadline < earliest:
                earliest = call.deadline
        self._fail_overdue(overdue, waited_for, now)
        self.flight.window.void([call for call in overdue if call.sequence])
        self._drop_done()
        self._earliest, self._swept_at = earliest, now
        self.sweep_at = max(earliest, now + SWEEP_SECONDS)

    def _fail_overdue(self, overdue: list[Call], waited_for: str, now: float) -> None:
        if not overdue:
            return
        held, settling = self.arrivals.overdue(now), set(self.settling.calls())
        for call in overdue:
            error = held.get(call)
            if call in settling:
                why = "not all of its events were handled before the deadline"
                error = outcomes.events_pending(call, call.result, why, self.envelope, now)
            self._outbox.fail(call, error or outcomes.deadline_passed(call, self.envelope, now, waited_for))
        self.settling.forget_done()

    def _drop_done(self) -> None:
        waiting = [call for call in self.queue if not call.done]
        if all(call.owner is None for call in waiting):
            # Only opens are left, and nobody waits for what they open.
            for call in waiting:
                call.waiter.opening = False
            waiting = []
        self.queue = deque(waiting)
