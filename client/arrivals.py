"""What comes for one session, and what becomes of it: results, answers, events and receipts. No sockets, no clock.

Made anew with every session. The order in which things are delivered is decided by `ordering`, the turns of queries that
any replica answers by `queries`; here is what is done with each when its turn has come.

Invariants: a body is read before anything is changed by it; what was received counts as seen, delivered or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from .calls import Call, Outbox, Resource
from .envelope import Envelope
from .event_receiver import EventReceiver
from .flight import Flight
from .ordering import HeldAnswers, HeldEvents, HeldResult, Ordering
from .protocol import errors, frames
from .protocol.frames import LINEARIZABLE, UNSETTLED, BadFrame, Reply
from .queries import QueryBatch
from .settle import applied_late, settle
from .settling import Settling

_TOO_LARGE = bytes((errors.TOO_LARGE,))

RunAgain = Callable[[list[Call]], None]
Opened = Callable[[Resource, bytes, float], None]


class Arrivals:
    """The way back of one session's calls, and its events. `run_again` and `opened` take what is the queue's business."""

    def __init__(
        self,
        flight: Flight,
        envelope: Envelope,
        outbox: Outbox,
        events: EventReceiver,
        settling: Settling,
        run_again: RunAgain,
        opened: Opened,
    ) -> None:
        self._flight = flight
        self._envelope = envelope
        self._outbox = outbox
        self._events = events
        self._settling = settling
        self._run_again = run_again
        self._opened = opened
        self.ordering = Ordering(flight.window, events)

    # -- messages --------------------------------------------------------------------------------------

    def results(self, reply: Reply, body: memoryview, now: float) -> None:
        """A RESULTS message: it is about sequences, whatever message brought them. Raises BadFrame."""
        indexes, results = frames.unpack_results(body, reply.count)
        window, unsettled = self._flight.window, bool(reply.flags & UNSETTLED)
        direct = self.ordering.direct(reply.event_index, reply.first_sequence)
        self._saw(max(indexes, default=0))
        again: list[Call] = []
        calls = window.answered(reply.first_sequence, reply.count)
        outbox, envelope = self._outbox, self._envelope
        for call, index, result in zip(calls, indexes, results, strict=True):
            if call is None:
                continue
            if call.owner is None:
                if call.waiter is not None:
                    self._opened(call.waiter, result, now)
            elif call.done:
                continue
            elif direct and not unsettled:
                call.index = index
                if not settle(call, result, outbox, envelope, now):
                    again.append(call)
            elif direct:
                self._settle(call, index, result, unsettled, again, now)
            else:
                self.ordering.hold_result(HeldResult(call, index, result, reply.event_index, unsettled))
        window.advance(now)
        if again:
            self._run_again(again)
        if not direct:
            self._release(now)

    def answers(self, reply: Reply, body: memoryview, now: float) -> None:
        """An ANSWERS message; one to a batch that was answered before is ignored. Raises BadFrame."""
        queries = self._flight.queries
        batch = queries.get(reply.request)
        if batch is None:
            return
        if reply.count != len(batch.calls):
            raise BadFrame(f"{reply.count} answers to {len(batch.calls)} queries")
        answers = frames.unpack_parts(body, reply.count)
        if batch.ordered:
            queries.keep(batch, reply, answers)
            self._take_turns(now)
        else:
            queries.answered(reply.request)
            self._hand_over(batch, reply, answers, now)

    def events(self, reply: Reply, body: memoryview, now: float) -> None:
        """An EVENTS message. Raises BadFrame."""
        batches = self._events.events(reply, body, now)
        if not batches:
            return
        self._saw(batches[-1].index)
        if self.ordering.direct(0, reply.first_sequence + 1):
            self._outbox.finished += batches
        else:
            for batch in batches:
                self.ordering.hold_events(HeldEvents(batch, reply.first_sequence))
            self._release(now)

    def receipt(self, reply: Reply, body: memoryview) -> None:
        """A RECEIPT, which comes before what it is about. Raises BadFrame."""
        try:
            receipt = msgpack.unpackb(body, raw=False, max_ext_len=0)
        except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
            raise BadFrame(f"a receipt cannot be read: {error}") from None
        if type(receipt) is not dict:
            raise BadFrame(f"a receipt is a map, not {receipt!r:.60}")
        for call in self._calls_of(reply):
            if call.traced:
                call.receipt = receipt

    def _calls_of(self, reply: Reply) -> Iterator[Call]:
        batch = self._flight.queries.get(reply.request)
        if batch is not None:
            yield from batch.calls
            return
        window = self._flight.window
        first, last = window.message(reply.request) or (0, -1)
        if reply.count:
            # A message that was repeated has another request id by now; its sequences are the same.
            first, last = reply.first_sequence, reply.first_sequence + reply.count - 1
        for sequence in range(first, last + 1):
            if sequence in window.pending:
                yield window.pending[sequence]

    def _saw(self, index: int) -> None:
        if index > self._envelope.seen:
            self._envelope.seen = index

    # -- turns -----------------------------------------------------------------------------------------

    def end_turn(self, now: float) -> None:
        """Calls may have given up, and with them what others waited for; of use while anything has to wait for its turn."""
        if self._flight.queries.ordered:
            self._take_turns(now)
        if self.ordering.heap:
            self._release(now)

    def _take_turns(self, now: float) -> None:
        queries = self._flight.queries
        while (batch := queries.turn()) is not None:
            assert batch.answer is not None, "a batch has its turn when its answer is there"
            reply, answers = batch.answer
            if reply.index < self._envelope.seen:
                queries.stale(batch, now)
                self._flight.send_query(batch, now)
                return
            queries.answered(batch.request)
            self._hand_over(batch, reply, answers, now)

    def _hand_over(self, batch: QueryBatch, reply: Reply, answers: list[bytes], now: float) -> None:
        self._saw(reply.index)
        if self.ordering.direct(reply.event_index, batch.after + 1):
            self._answer(batch, answers, reply.index, now)
        else:
            self.ordering.hold_answers(HeldAnswers(batch, answers, reply.index, reply.event_index, batch.after))
            self._release(now)

    def _release(self, now: float) -> None:
        again: list[Call] = []
        for held in self.ordering.release():
            if isinstance(held, HeldEvents):
                self._outbox.finished.append(held.batch)
            elif isinstance(held, HeldAnswers):
                self._answer(held.batch, held.answers, held.index, now)
            elif not held.call.done:
                self._settle(held.call, held.index, held.result, held.unsettled, again, now)
        self._run_again(again)

    # -- calls -----------------------------------------------------------------------------------------

    def _settle(self, call: Call, index: int, result: bytes, unsettled: bool, again: list[Call], now: float) -> None:
        call.index = index
        waits = unsettled and call.level == LINEARIZABLE and not call.nested
        if not settle(call, result, self._outbox, self._envelope, now, self._settling if waits else None):
            again.append(call)

    def _answer(self, batch: QueryBatch, answers: list[bytes], index: int, now: float) -> None:
        again: list[Call] = []
        crowded = []
        for position, (call, answer) in enumerate(zip(batch.calls, answers, strict=True)):
            if call.done:
                continue
            if answer[:1] == _TOO_LARGE and len(answers) > 1:
                crowded.append(position)
            else:
                self._settle(call, index, answer, False, again, now)
        # Answers that had no room in one message with the others are asked for in smaller ones.
        self._flight.split_queries(batch, crowded, now)
        self._run_again(again)

    def calls(self) -> Iterator[Call]:
        """Every call whose result has come and waits for its turn, done or not."""
        return self.ordering.calls()

    def overdue(self, now: float) -> dict[Call, Any]:
        """For every command whose result has come and waits for its turn, the error it ends with if it waits no longer."""
        held = self.ordering.results()
        return {call: applied_late(call, each.index, each.result, self._envelope, now) for call, each in held.items()}

    def flush(self, error: Callable[[Call], Exception], now: float) -> None:
        """The session is over, and what was in flight has failed: so does what has come and waits for events.

        No event behind it was received, so the order holds. A command's caller is told that it was applied, all others
        `error`.
        """
        self._release(now)
        while self.ordering.heap:
            held = self.ordering.pop()
            if isinstance(held, HeldResult):
                late = applied_late(held.call, held.index, held.result, self._envelope, now)
                self._outbox.fail(held.call, late)
            elif isinstance(held, HeldAnswers):
                for call in held.batch.calls:
                    self._outbox.fail(call, error(call))
            else:
                self._outbox.finished.append(held.batch)
            self._release(now)
