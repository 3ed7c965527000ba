"""The events pushed to one session: what was received and handled, and telling the shard so.

Every batch names the one before it, so each is taken once, in order, without a gap. Every EVENTS is answered with the
indexes of the last batch received and handled, once per turn, also when it brought nothing new: that stops repeats.

Invariants: handled <= received; a batch is counted as handled when it and all before it are; a batch whose events cannot
be read is told to whoever listens, and counts as handled, since repeating it would bring the same bytes.
"""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from random import Random

from .backoff import Backoff
from .calls import EventBatch, Outbox
from .envelope import Envelope
from .protocol.events import pack_handled, unpack_batch
from .protocol.frames import AGAIN, HANDLED, BadFrame, Reply, unpack_results

logger = logging.getLogger("ocelog.client")

MISSING_SECONDS = (0.1, 5.0)
"""A batch that an answer told of usually follows at once; after so long it is asked for, again after doubling pauses."""


class EventReceiver:
    """Received and handled batches of one session. Indexes are those of the log; 0 is before the first.

    `due` says that the shard is to be told something at the end of this turn, `wake_at` when `tick` has something to do.
    """

    def __init__(self, envelope: Envelope, outbox: Outbox, random: Random) -> None:
        self._envelope = envelope
        self._outbox = outbox
        self._missing = Backoff(random, *MISSING_SECONDS)
        self.begin()

    def begin(self) -> None:
        """A new session: nothing was published to it yet, and what is left of the old one concerns nobody."""
        self.received = 0
        self.handled = 0
        self.due = False
        self._known = 0
        self._again = False
        self.wake_at = inf
        self._asked_until = -inf
        self._batches: deque[EventBatch] = deque()
        self._missing.reset()

    # -- in --------------------------------------------------------------------------------------------

    def events(self, reply: Reply, body: memoryview, now: float) -> list[EventBatch]:
        """An EVENTS message; the batches in it that are new. Raises BadFrame."""
        self.due = True
        indexes, payloads = unpack_results(body, reply.count)
        before = (reply.request, *indexes)
        if any(index <= previous for previous, index in zip(before, indexes, strict=False)):
            raise BadFrame(f"batches of indexes {before} are not in order")
        taken = [
            self._take(index, payload)
            for previous, index, payload in zip(before, indexes, payloads, strict=False)
            if previous <= self.received < index
        ]
        if before[-1] > self.received:
            self._gap(before[-1], now)
        elif self.received >= self._known:
            self.wake_at = inf
            self._missing.reset()
        return taken

    def _take(self, index: int, payload: bytes) -> EventBatch:
        self.received = index
        session, shard = self._envelope.session, self._envelope.shard
        try:
            batch = EventBatch(shard, session, index, unpack_batch(payload), self._outbox.batch_done)
        except BadFrame as error:
            logger.error("events of index %d to session %d on shard %d are lost: %s", index, session, shard, error)
            batch = EventBatch(shard, session, index, (), self._outbox.batch_done, error)
            batch.handled = True
        self._batches.append(batch)
        self._count_handled()
        return batch

    def _gap(self, index: int, now: float) -> None:
        """A batch is missing before one that came: ask at once, but not for every message that shows the same gap."""
        self._known = max(self._known, index)
        if now >= self._asked_until:
            self._again = True
            self._asked_until = now + MISSING_SECONDS[0]
            self._plan(now)

    def heard(self, index: int, now: float) -> None:
        """An answer said that batches up to this index were published to the session."""
        if index > self._known:
            self._known = index
        if self.wake_at == inf and self._known > self.received:
            self._plan(now)

    def _plan(self, now: float) -> None:
        self.wake_at = now + self._missing.next()

    def mark(self, batch: EventBatch) -> None:
        """The events of this batch were handled."""
        if batch.session == self._envelope.session and not batch.handled:
            batch.handled = True
            self._count_handled()

    def _count_handled(self) -> None:
        batches = self._batches
        while batches and batches[0].handled:
            self.handled = batches.popleft().index
            self.due = True

    # -- out -------------------------------------------------------------------------------------------

    def body(self) -> bytes:
        """Received and handled, for a keep-alive; empty while nothing was."""
        return pack_handled(self.received, self.handled) if self.received else b""

    def repeat(self) -> None:
        """A new leader or a new connection: it does not know what was received and handled."""
        if self.received or self._known:
            self.due = True
            self._again = self._known > self.received

    def tick(self, now: float) -> None:
        """Ask again for what is missing."""
        if now >= self.wake_at:
            self._again = self.due = True
            self._plan(now)

    def tell(self) -> None:
        """Send what is due: one message, however many events came in this turn.

        Nobody confirms it. The shard asks, with an empty EVENTS, when it waits for long.
        """
        flags = AGAIN if self._again else 0
        self.due = self._again = False
        request = self._envelope.next_request()
        body = pack_handled(self.received, self.handled)
        self._outbox.messages.append(self._envelope.message(HANDLED, request, body, flags=flags))
