"""The way of calls through one session: queue, message, answer. No registration, no sockets, no clock.

Calls leave in the order they were submitted, as few messages as the limits allow. The first call on a resource
is preceded by its `open`; a call whose resource is not open yet holds back those behind it, so order is kept.

Invariant: a call is in the queue or in flight, never both, until it is done; a command is given its sequence in the
turn in which it is sent.
"""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random

import msgpack

from . import outcomes
from .calls import Call, Outbox, Resource
from .envelope import Envelope
from .flight import Flight
from .parts import Parts
from .protocol import errors, frames
from .protocol.frames import Reply
from .protocol.limits import Limits
from .protocol.operations import OPEN, SHARD
from .queries import QueryBatch
from .settle import opened, settle

SWEEP_SECONDS = 0.02
"""Deadlines are looked at no more often than this: a call may give up so much late."""

_TOO_LARGE = bytes((errors.TOO_LARGE,))


class Flow:
    """The queue, the commands and the queries of one session."""

    def __init__(self, envelope: Envelope, outbox: Outbox, limits: Limits, random: Random) -> None:
        self.envelope = envelope
        self.queue: deque[Call] = deque()
        self.sweep_at = inf
        self._earliest = inf
        self._swept_at = -inf
        self._outbox = outbox
        self._random = random
        self._shard = Resource("", "shard", envelope.shard)
        self._shard.index = SHARD
        self._pack = msgpack.Packer(use_bin_type=True).pack
        self.begin(limits)

    def begin(self, limits: Limits) -> None:
        """A new session: its sequences start at 1."""
        self.limits = limits
        self.flight = Flight(self.envelope, self._outbox, limits, self._random)

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
        commands, queries = Parts(self.limits), Parts(self.limits)
        room = window.room
        query_room = self.limits.in_flight_max - flight.queries.count
        after = 0
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
                if not queries.add(call, operation):
                    flight.send_queries(queries, after, now)
                    queries.add(call, operation)
                after = window.last_sequence
            else:
                room -= 1
                if not commands.add(call, operation):
                    flight.send_commands(commands, now)
                    commands.add(call, operation)
                window.add(call, operation)
        # Commands first: a query may wait at the shard for those before it, never the other way round.
        flight.send_commands(commands, now)
        flight.send_queries(queries, after, now)

    def _encode(self, call: Call, now: float) -> bytes | None:
        """The bytes of an operation; None when the call fails because it cannot be encoded or is too large."""
        try:
            operation: bytes = self._pack((call.resource.index, *call.parts))
        except (TypeError, ValueError, OverflowError, UnicodeError) as error:
            self._outbox.fail(call, errors.BadArgument(f"the operation cannot be encoded: {error}"))
            return None
        if len(operation) > self.limits.operation_bytes_max:
            text = f"an operation of {len(operation)} bytes; the limit is {self.limits.operation_bytes_max}"
            self._outbox.fail(call, outcomes.refused(call, errors.TOO_LARGE, text, self.envelope, now))
            return None
        return operation

    # -- back ----------------------------------------------------------------------------------------

    def results(self, reply: Reply, body: memoryview, now: float) -> None:
        """A RESULTS message: it is about sequences, whatever message brought them. Raises BadFrame."""
        _, results = frames.unpack_results(body, reply.count)
        again: list[Call] = []
        for call, result in zip(self.flight.window.answered(reply.first_sequence, reply.count), results, strict=True):
            if call is None:
                continue
            if call.owner is None and call.waiter is not None:
                self._opened(call.waiter, result, now)
            elif not call.done and not self._settle(call, result, now):
                again.append(call)
        self.flight.window.advance(now)
        self._run_again(again)

    def answers(self, reply: Reply, body: memoryview, now: float) -> None:
        """An ANSWERS message; one to a batch that was answered before is ignored. Raises BadFrame."""
        batch = self.flight.queries.get(reply.request)
        if batch is None:
            return
        if reply.count != len(batch.calls):
            raise frames.BadFrame(f"{reply.count} answers to {len(batch.calls)} queries")
        answers = frames.unpack_parts(body, reply.count)
        self.flight.queries.answered(reply.request)
        again, crowded = [], []
        for position, (call, answer) in enumerate(zip(batch.calls, answers, strict=True)):
            if call.done:
                continue
            if answer[:1] == _TOO_LARGE and len(answers) > 1:
                crowded.append(position)
            elif not self._settle(call, answer, now):
                again.append(call)
        # Answers that had no room in one message with the others are asked for in smaller ones.
        self.flight.split_queries(batch, crowded, now)
        self._run_again(again)

    def _settle(self, call: Call, result: bytes, now: float) -> bool:
        return settle(call, result, self._outbox, self.envelope, now)

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

    def expire(self, now: float) -> None:
        """The session is over: what was sent fails, what was not goes on under the next session."""
        for call in self.flight.calls():
            self._outbox.fail(call, outcomes.expired(call, self.envelope, now))
            if call.owner is None and call.waiter is not None:
                call.waiter.opening = False
        self.begin(self.limits)

    def abandon(self, now: float, *, waiting_only: bool = False) -> None:
        """The client closes: fail what waits in the queue, or everything."""
        calls = list(self.queue)
        self.queue.clear()
        if not waiting_only:
            calls += self.flight.calls()
            self.begin(self.limits)
        for call in calls:
            self._outbox.fail(call, outcomes.closed(call, self.envelope, now))

    def refuse_waiting(self, code: int, text: str, now: float) -> None:
        """No session can be had: fail what waits for one."""
        calls = list(self.queue)
        self.queue.clear()
        for call in calls:
            if call.owner is None and call.waiter is not None:
                call.waiter.opening = False
            self._outbox.fail(call, outcomes.refused(call, code, text, self.envelope, now))

    def sweep(self, now: float, waited_for: str) -> None:
        """Let every call whose deadline passed give up. Cheap while nothing is due: the earliest deadline is kept."""
        earliest = inf
        overdue = []
        for call in [*self.flight.calls(), *self.queue]:
            if call.done:
                continue
            if call.deadline <= now:
                overdue.append(call)
            elif call.deadline < earliest:
                earliest = call.deadline
        for call in overdue:
            self._outbox.fail(call, outcomes.deadline_passed(call, self.envelope, now, waited_for))
        self.flight.window.void([call for call in overdue if call.sequence])
        self._drop_done()
        self._earliest, self._swept_at = earliest, now
        self.sweep_at = max(earliest, now + SWEEP_SECONDS)

    def _drop_done(self) -> None:
        waiting = [call for call in self.queue if not call.done]
        if all(call.owner is None for call in waiting):
            # Only opens are left, and nobody waits for what they open.
            for call in waiting:
                call.waiter.opening = False
            waiting = []
        self.queue = deque(waiting)
