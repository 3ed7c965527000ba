"""The queries of one session that were sent and are not answered yet.

Queries have no sequence: a message of them is repeated under the same request id until one answer comes, and any
further answer is ignored. Repeating is harmless because a query changes nothing.

Any replica may answer SEQUENTIAL and CAUSAL queries. Their answers have their turn in the order in which the messages were
sent, and one that is older than what the session has seen by then is asked for again: a session never sees the state go back.

A follower that was behind or did not answer is left alone for a while: the leader is asked what any replica may answer.

Invariant: a batch is forgotten as soon as its answer has had its turn or none of its calls waits any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from random import Random
from typing import Any

from .backoff import Backoff, Strategy, start
from .calls import Call
from .protocol.frames import SEQUENTIAL, TO_FOLLOWERS, TO_LEADER, Reply, pack_parts
from .window import REFUSED_SECONDS, RESEND_SECONDS

LEADER_SECONDS = (1.0, 60.0)
"""For so long, doubling, the leader alone is asked after a follower was behind or silent: one that stays so costs every
question half a second or more, and its router cannot know."""


class QueryBatch:
    """One QUERY message: its request id, the last command sequence sent before it, calls, body, when to repeat it.

    `answer` is what came for it before its turn; `receipt` what the shard told of it; `silent` is False while it waits because
    it was refused.
    """

    __slots__ = (
        "after",
        "answer",
        "body",
        "calls",
        "flags",
        "level",
        "receipt",
        "refusals",
        "request",
        "resend_at",
        "silence",
        "silent",
        "stale",
    )

    def __init__(
        self,
        request: int,
        calls: list[Call],
        body: bytes,
        silence: Backoff,
        refusals: Backoff,
        *,
        level: int,
        flags: int,
        after: int,
    ) -> None:
        self.request = request
        self.calls = calls
        self.body = body
        self.level = level
        self.flags = flags
        self.after = after
        self.answer: tuple[Reply, list[bytes]] | None = None
        self.receipt: dict[str, Any] | None = None
        self.stale = False
        self.silent = True
        self.silence = silence
        self.refusals = refusals
        self.resend_at = inf

    @property
    def ordered(self) -> bool:
        """Whether its answer has its turn behind those of earlier messages."""
        return self.level >= SEQUENTIAL

    @property
    def waited_for(self) -> bool:
        """Whether any of its calls is not done."""
        return not all(call.done for call in self.calls)

    def for_leader(self) -> bool:
        """From now on only the leader is asked; False when it was before."""
        changed = not self.flags & TO_LEADER
        self.flags = self.flags & ~TO_FOLLOWERS | TO_LEADER
        return changed


class Queries:
    """The query batches of one session, by request id; `ordered` are those that have a turn, in that order."""

    def __init__(self, random: Random, retry: Strategy | None = None) -> None:
        self._random = random
        self._retry = retry
        self._batches: dict[int, QueryBatch] = {}
        self.ordered: list[QueryBatch] = []
        self.count = 0
        self.resend_at = inf
        self._leader_until = -inf
        self._apart = Backoff(random, *LEADER_SECONDS)

    def sent(
        self,
        request: int,
        calls: list[Call],
        operations: Sequence[bytes],
        now: float,
        *,
        level: int,
        flags: int,
        after: int,
        place: int | None = None,
    ) -> QueryBatch:
        """A new batch leaves; `place` is its turn among the ordered ones (None: the last)."""
        if level >= SEQUENTIAL and now < self._leader_until and not flags & TO_FOLLOWERS:
            flags |= TO_LEADER
        silence = Backoff(self._random, *RESEND_SECONDS)
        refusals = start(self._retry, self._random, *REFUSED_SECONDS)
        body = pack_parts(operations)
        batch = QueryBatch(request, calls, body, silence, refusals, level=level, flags=flags, after=after)
        self._batches[request] = batch
        if batch.ordered:
            self.ordered.insert(len(self.ordered) if place is None else place, batch)
        self.count += len(calls)
        self._plan(batch, now + silence.next())
        return batch

    def _plan(self, batch: QueryBatch, resend_at: float) -> None:
        batch.resend_at = resend_at
        self.resend_at = min(self.resend_at, resend_at)

    def get(self, request: int) -> QueryBatch | None:
        """The unanswered batch of that request id; what comes late for one that waits for its turn is for nobody."""
        batch = self._batches.get(request)
        return None if batch is None or batch.answer is not None else batch

    def turn(self) -> QueryBatch | None:
        """The ordered batch whose turn it is, if its answer is there; batches that nobody waits for are passed over."""
        while self.ordered:
            batch = self.ordered[0]
            if batch.waited_for:
                return batch if batch.answer is not None else None
            self.answered(batch.request)
        return None

    def place(self, batch: QueryBatch) -> int:
        """Its turn among the ordered batches; the first when it has had it."""
        return self.ordered.index(batch) if batch in self.ordered else 0

    def answered(self, request: int) -> QueryBatch | None:
        """Forget the batch of that request id and return it; None when it was answered before."""
        batch = self._batches.pop(request, None)
        if batch is not None:
            self.count -= len(batch.calls)
            if batch.ordered:
                self.ordered.remove(batch)
            if not self._batches:
                self.resend_at = inf
        return batch

    def keep(self, batch: QueryBatch, reply: Reply, answers: list[bytes]) -> None:
        """Keep what came for an ordered batch until its turn; nothing needs to be repeated meanwhile."""
        if not batch.flags & TO_LEADER:
            self._apart.reset()
        batch.answer = reply, answers
        batch.resend_at = inf

    def stale(self, batch: QueryBatch, now: float) -> None:
        """What came for the batch is older than what was seen since: it is asked again, the second time the leader.

        While results keep coming, a follower's answer may be overtaken each time; the leader's cannot.
        """
        batch.answer = None
        if batch.stale:
            batch.for_leader()
        batch.stale = True
        self._plan(batch, now + batch.silence.next())

    def refused(self, batch: QueryBatch, retry_after: float, now: float) -> None:
        """Repeat the batch later, not before `retry_after` seconds."""
        self._plan(batch, now + batch.refusals.after(retry_after))
        batch.silent = False

    def redirected(self, batch: QueryBatch, now: float) -> bool:
        """A replica that does not lead cannot answer: the leader is asked, at once the first time; False later."""
        if not batch.for_leader():
            return False
        self._ask_leader(now)
        self._plan(batch, now + batch.silence.next())
        return True

    def _was_silent(self, batch: QueryBatch, now: float) -> None:
        silent, batch.silent = batch.silent, True
        if batch.ordered and silent and not batch.flags & TO_FOLLOWERS and batch.for_leader():
            self._ask_leader(now)

    def _ask_leader(self, now: float) -> None:
        if now >= self._leader_until:
            self._leader_until = now + self._apart.next()

    def due(self, now: float, everything: bool = False) -> list[QueryBatch]:
        """The batches to repeat now, oldest first; batches that nobody waits for are forgotten instead."""
        repeated = []
        for batch in list(self._batches.values()):
            if not batch.waited_for:
                self.answered(batch.request)
            elif batch.answer is None and (everything or batch.resend_at <= now):
                if not everything:
                    self._was_silent(batch, now)
                batch.resend_at = now + batch.silence.next()
                repeated.append(batch)
        self.resend_at = min((batch.resend_at for batch in self._batches.values()), default=inf)
        return repeated

    def calls(self) -> Iterator[Call]:
        """Every call of every batch, done or not."""
        for batch in self._batches.values():
            yield from batch.calls
