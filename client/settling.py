"""Commands that were applied and whose callers wait until the events they published were handled.

Applied and settled are two things: the sequence of such a command is finished, it is acknowledged and ordered like any
other, and only its caller waits. Settled is a stable truth of the log, which any leader may be asked, under any session:
a call goes on waiting when the leader changes, and also when its own session ends and another one follows.

Invariant: an index is here exactly while a call that is not done waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from random import Random

from .backoff import Backoff, Strategy, start
from .calls import Call, Outbox
from .envelope import Envelope
from .protocol.events import INDEXES_MAX, pack_indexes, unpack_indexes
from .protocol.frames import SETTLE, Reply
from .window import REFUSED_SECONDS, RESEND_SECONDS


class Settling:
    """The calls that wait for their events, by log index; INDEXES_MAX of them are asked about in one message."""

    def __init__(self, envelope: Envelope, outbox: Outbox, random: Random, retry: Strategy | None = None) -> None:
        self.wake_at = inf
        self._envelope = envelope
        self._outbox = outbox
        self._waiting: dict[int, Call] = {}
        self.fresh: list[int] = []
        self._requests: set[int] = set()
        self._silence = Backoff(random, *RESEND_SECONDS)
        self._refusals = start(retry, random, *REFUSED_SECONDS)

    def add(self, call: Call) -> None:
        """The command was applied (`call.index`, `call.result`): its caller waits until it is settled."""
        self._waiting[call.index] = call
        self.fresh.append(call.index)

    def calls(self) -> Iterator[Call]:
        """Every call that waits, done or not."""
        yield from self._waiting.values()

    def forget_done(self) -> None:
        """Some calls gave up: nobody needs to be asked about them any more."""
        if any(call.done for call in self._waiting.values()):
            self._waiting = {index: call for index, call in self._waiting.items() if not call.done}
            self._settle_plan()

    def ask(self, now: float) -> None:
        """Ask about what was not asked yet."""
        fresh, self.fresh = self.fresh, []
        self._send([index for index in fresh if index in self._waiting])
        if self._waiting and self.wake_at == inf:
            self.wake_at = now + self._silence.next()

    def _send(self, indexes: list[int]) -> None:
        for start_at in range(0, len(indexes), INDEXES_MAX):
            part = indexes[start_at : start_at + INDEXES_MAX]
            request = self._envelope.next_request()
            self._requests.add(request)
            message = self._envelope.message(SETTLE, request, pack_indexes(part), count=len(part))
            self._outbox.messages.append(message)

    def tick(self, now: float) -> None:
        """Ask about all of it again when no answer came: whoever was asked may not lead any more."""
        if now >= self.wake_at:
            self.forget_done()
            self._requests.clear()
            self.fresh = []
            self._send(list(self._waiting))
            self.wake_at = now + self._silence.next() if self._waiting else inf

    def repeat(self, now: float) -> None:
        """A new leader, connection or session: ask about everything with the next tick."""
        if self._waiting:
            self.wake_at = now

    def asked(self, request: int) -> bool:
        """Whether a message of that request id asked last."""
        return request in self._requests

    def refused(self, retry_after: float, now: float) -> None:
        """Whoever was asked cannot say: ask again later, not before `retry_after` seconds."""
        self._requests.clear()
        self.wake_at = now + self._refusals.after(retry_after)

    def settled(self, reply: Reply, body: memoryview) -> None:
        """A SETTLED message: these callers need not wait longer; others may follow. Raises BadFrame."""
        for index in unpack_indexes(body, reply.count):
            call = self._waiting.pop(index, None)
            if call is not None and not call.done:
                call.done = True
                self._outbox.finished.append(call)
        self._refusals.reset()
        self._settle_plan()

    def _settle_plan(self) -> None:
        if not self._waiting:
            self.wake_at = inf
            self._requests.clear()
            self.fresh = []
            self._silence.reset()

    def clear(self) -> list[Call]:
        """Nobody can be asked any more: forget and return the calls that still wait."""
        calls = [call for call in self._waiting.values() if not call.done]
        self._waiting.clear()
        self._settle_plan()
        return calls
