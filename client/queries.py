"""The queries of one session that were sent and are not answered yet.

Queries have no sequence: a message of them is repeated under the same request id until one answer comes, and any
further answer is ignored. Repeating is harmless because a query changes nothing.

Invariant: a batch is forgotten as soon as it is answered or none of its calls waits any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from random import Random

from .backoff import Backoff
from .calls import Call
from .protocol.frames import pack_parts
from .window import REFUSED_SECONDS, RESEND_SECONDS


class QueryBatch:
    """One QUERY message: its request id, the last command sequence sent before it, calls, body, when to repeat it."""

    __slots__ = ("after", "body", "calls", "refusals", "request", "resend_at", "silence")

    def __init__(self, request: int, after: int, calls: list[Call], body: bytes, random: Random, now: float) -> None:
        self.request = request
        self.after = after
        self.calls = calls
        self.body = body
        self.silence = Backoff(random, *RESEND_SECONDS)
        self.refusals = Backoff(random, *REFUSED_SECONDS)
        self.resend_at = now + self.silence.next()


class Queries:
    """The query batches of one session, by request id."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._batches: dict[int, QueryBatch] = {}
        self.count = 0
        self.resend_at = inf

    def sent(self, request: int, after: int, calls: list[Call], operations: Sequence[bytes], now: float) -> QueryBatch:
        """A new batch leaves."""
        batch = QueryBatch(request, after, calls, pack_parts(operations), self._random, now)
        self._batches[request] = batch
        self.count += len(calls)
        self.resend_at = min(self.resend_at, batch.resend_at)
        return batch

    def get(self, request: int) -> QueryBatch | None:
        """The unanswered batch of that request id."""
        return self._batches.get(request)

    def answered(self, request: int) -> QueryBatch | None:
        """Forget the batch of that request id and return it; None when it was answered before."""
        batch = self._batches.pop(request, None)
        if batch is not None:
            self.count -= len(batch.calls)
            if not self._batches:
                self.resend_at = inf
        return batch

    def refused(self, batch: QueryBatch, retry_after: float, now: float) -> None:
        """Repeat the batch later, not before `retry_after` seconds."""
        batch.resend_at = now + batch.refusals.after(retry_after)
        self.resend_at = min(self.resend_at, batch.resend_at)

    def due(self, now: float, everything: bool = False) -> list[QueryBatch]:
        """The batches to repeat now, oldest first; batches that nobody waits for are forgotten instead."""
        repeated = []
        for batch in list(self._batches.values()):
            if all(call.done for call in batch.calls):
                self.answered(batch.request)
            elif everything or batch.resend_at <= now:
                batch.resend_at = now + batch.silence.next()
                repeated.append(batch)
        self.resend_at = min((batch.resend_at for batch in self._batches.values()), default=inf)
        return repeated

    def calls(self) -> Iterator[Call]:
        """Every call of every batch, done or not."""
        for batch in self._batches.values():
            yield from batch.calls
