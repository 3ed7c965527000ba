"""What one session has in flight, commands and queries, and how it is put into messages, first and again.

Made anew with every session, since sequences begin again with it.

Invariant: after the unregister nothing is given a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from random import Random

from .backoff import Strategy
from .calls import Call, Outbox, Resource
from .envelope import Envelope, milliseconds
from .parts import Parts, leaving
from .protocol.frames import COMMAND, QUERY, TRACED, UNREGISTER, pack_parts, unpack_parts
from .protocol.limits import Limits
from .queries import Queries, QueryBatch
from .window import Window


class Flight:
    """The unanswered commands (`window`) and queries of one session."""

    def __init__(
        self, envelope: Envelope, outbox: Outbox, limits: Limits, random: Random, retry: Strategy | None = None
    ) -> None:
        self.window = Window(limits, random, retry)
        self.queries = Queries(random, retry)
        self.unregister: Call | None = None
        self._envelope = envelope
        self._send = outbox.messages.append

    def calls(self) -> Iterator[Call]:
        """Every call in flight, done or not."""
        yield from self.window.pending.values()
        yield from self.queries.calls()

    def send_commands(self, parts: Parts, now: float) -> None:
        """Send the commands collected, which have their sequences, and empty `parts`."""
        if parts.calls:
            self._send_command(parts.calls, parts.operations, now, parts.flags)
            parts.clear()

    def _send_command(self, calls: Sequence[Call], operations: Sequence[bytes], now: float, flags: int) -> None:
        request, first, deadline = self._envelope.next_request(), calls[0].sequence, leaving(calls)
        message = self._envelope.message(
            COMMAND,
            request,
            pack_parts(operations),
            flags=flags,
            count=len(calls),
            first_sequence=first,
            acknowledged=self.window.acknowledged,
            milliseconds_left=milliseconds(deadline - now),
        )
        self._send(message)
        self.window.sent(request, first, len(calls), now)

    def send_queries(self, parts: Parts, now: float) -> None:
        """Send the queries collected, and empty `parts`."""
        if parts.calls:
            request = self._envelope.next_request()
            level, flags, after = parts.level, parts.flags, parts.after
            calls, operations = parts.calls, parts.operations
            self.send_query(
                self.queries.sent(request, calls, operations, now, level=level, flags=flags, after=after), now
            )
            parts.clear()

    def send_query(self, batch: QueryBatch, now: float) -> None:
        """Send a batch of queries, first or again."""
        message = self._envelope.message(
            QUERY,
            batch.request,
            batch.body,
            level=batch.level,
            flags=batch.flags,
            count=len(batch.calls),
            first_sequence=batch.after,
            acknowledged=self.window.acknowledged,
            milliseconds_left=milliseconds(leaving(batch.calls) - now),
        )
        self._send(message)

    def split_queries(self, batch: QueryBatch, positions: Sequence[int], now: float) -> None:
        """Ask these of an old batch's queries again, in two messages of at most half its size.

        Harmless, since a query changes nothing, and it ends: at the latest when each is asked alone.
        """
        if not positions:
            return
        place = self.queries.place(batch)
        self.queries.answered(batch.request)
        operations, half = unpack_parts(batch.body, len(batch.calls)), (len(positions) + 1) // 2
        for turn, part in enumerate(filter(None, (positions[:half], positions[half:])), place):
            calls, asked = [batch.calls[n] for n in part], [operations[n] for n in part]
            request, level, flags, after = self._envelope.next_request(), batch.level, batch.flags, batch.after
            smaller = self.queries.sent(request, calls, asked, now, level=level, flags=flags, after=after, place=turn)
            self.send_query(smaller, now)

    def end(self, now: float) -> None:
        """Unregister: it takes the next sequence, behind everything sent."""
        if self.unregister is None:
            shard = Resource("", "shard", self._envelope.shard)
            self.unregister = Call(shard, ("unregister",), False, now, inf, None, None)
            self.window.add(self.unregister, b"")
            if not self.window.holding:
                self._send_unregister(self.unregister, now)

    def _send_unregister(self, call: Call, now: float) -> None:
        request, acknowledged = self._envelope.next_request(), self.window.acknowledged
        message = self._envelope.message(UNREGISTER, request, first_sequence=call.sequence, acknowledged=acknowledged)
        self._send(message)
        self.window.sent(request, call.sequence, 1, now)

    def repeat_commands(self, first: int, now: float) -> None:
        """Send every pending sequence from `first` on again (0: all), in order and with the same bytes or void."""
        self.window.restart(first, now)
        for batch in self.window.batches(first):
            last = batch.pop() if batch[-1] is self.unregister else None
            if batch:
                flags = TRACED if any(call.traced for call in batch) else 0
                self._send_command(batch, [call.operation for call in batch], now, flags)
            if last:
                self._send_unregister(last, now)

    def repeat_everything(self, now: float) -> None:
        """Send all that is unanswered again, now."""
        self.repeat_commands(0, now)
        for batch in self.queries.due(now, everything=True):
            self.send_query(batch, now)

    def tick(self, now: float) -> None:
        """Repeat what waited long enough."""
        first = self.window.due(now)
        if first is not None:
            self.repeat_commands(first, now)
        if now >= self.queries.resend_at:
            for batch in self.queries.due(now):
                self.send_query(batch, now)
