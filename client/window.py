"""The commands of one session that were sent and are not answered yet.

Sequences are given here, when a command leaves, and each is kept until the shard has answered for it: by a result or by
an error from the log. What is repeated, from where and when is decided here; how it travels is the session's
business. No clock: every method that needs the time is given it (seconds, monotonic).

Invariants: `pending` is in sequence order; `acknowledged` < every pending sequence <= `last_sequence`; bytes of a
sequence change only from an operation to nothing (a *void*: its call gave up) and never back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from random import Random

from .backoff import Backoff, Strategy, start
from .calls import Call
from .protocol.frames import REQUEST_BYTES
from .protocol.limits import Limits

RESEND_SECONDS = (1.0, 5.0)
"""An unanswered command is repeated after the first, then doubling to the last."""

REFUSED_SECONDS = (0.02, 0.5)
"""The same for a refusal that spent nothing, unless the shard names a time or a new leader shows up."""

GAP_SECONDS = 0.1
"""Every message behind a lost one is told the same gap; within this time one repeat answers them all."""


class Window:
    """Sequences, acknowledgement and repetition for the commands of one session."""

    def __init__(self, limits: Limits, random: Random, retry: Strategy | None = None) -> None:
        self.limits = limits
        self.last_sequence = 0
        self.acknowledged = 0
        self.pending: dict[int, Call] = {}
        self.resend_at = inf
        self.holding = False
        self._resend_from = 0
        self._all_sent_at = -inf
        self._messages: dict[int, tuple[int, int]] = {}
        self._silence = Backoff(random, *RESEND_SECONDS)
        self._refusals = start(retry, random, *REFUSED_SECONDS)
        self._gap = (0, -inf)

    @property
    def room(self) -> int:
        """How many more commands may be sent now; none while a refusal is waited out."""
        return 0 if self.holding else self.limits.in_flight_max - len(self.pending)

    def add(self, call: Call, operation: bytes) -> None:
        """Give the call the next sequence; it leaves with the message that is being made."""
        self.last_sequence += 1
        call.sequence = self.last_sequence
        call.operation = operation
        self.pending[self.last_sequence] = call

    def sent(self, request: int, first: int, count: int, now: float) -> None:
        """A message with these sequences leaves."""
        self._messages[request] = (first, first + count - 1)
        if first <= self.acknowledged + 1:
            self._all_sent_at = now
        if self.resend_at == inf:
            self.resend_at = now + self._silence.next()

    def answered(self, first: int, count: int) -> list[Call | None]:
        """Take the calls that `count` results from sequence `first` on are for; None where one is answered already."""
        pop = self.pending.pop
        return [pop(sequence, None) for sequence in range(first, first + count)]

    def advance(self, now: float) -> None:
        """Move the acknowledgement over what is answered; progress starts patience again."""
        if not self.pending:
            done = self.last_sequence
        else:
            done = self.acknowledged
            while done + 1 not in self.pending:
                done += 1
        if done == self.acknowledged:
            return
        self.acknowledged = done
        self._forget_messages()
        if not self.holding:
            self._silence.reset()
            self._refusals.reset()
            self.resend_at = now + self._silence.next() if self.pending else inf

    def lowest_waited(self) -> int:
        """The lowest sequence whose result somebody still waits for; the next one to be given when there is none."""
        for sequence, call in self.pending.items():
            if not call.done:
                return sequence
        return self.last_sequence + 1

    def _forget_messages(self) -> None:
        while self._messages:
            request = next(iter(self._messages))
            if self._messages[request][1] > self.acknowledged:
                return
            del self._messages[request]

    def message(self, request: int) -> tuple[int, int] | None:
        """First and last sequence of a message sent and not superseded, or None: then its refusal is old news."""
        return self._messages.get(request)

    def refused(self, first: int, retry_after: float, now: float) -> None:
        """Nothing was spent from `first` on: hold new commands back, repeat after at least `retry_after` seconds.

        Only the first refusal of a round sets the time: each message in flight brings its own.
        """
        if not self.holding:
            self.holding = True
            self._resend_from = first
            self.resend_at = now + self._refusals.after(retry_after)
        self._resend_from = min(self._resend_from, first)

    def gap(self, expected: int, now: float) -> int | None:
        """The sequence to repeat from when the shard says which one it waits for, or None: nothing to do now."""
        if not self.acknowledged < expected <= self.last_sequence:
            return None
        if self.holding:
            self._resend_from = min(self._resend_from, expected)
            return None
        if self._gap[0] == expected and now < self._gap[1]:
            return None
        self._gap = (expected, now + GAP_SECONDS)
        return expected

    def due(self, now: float) -> int | None:
        """From which sequence to repeat because a timer ran out, or None when none did."""
        if now < self.resend_at:
            return None
        # What was taken before the refusal may have been answered into the void, and a full disk can refuse for hours.
        answers_overdue = now - self._all_sent_at >= RESEND_SECONDS[1]
        return self._resend_from if self.holding and not answers_overdue else 0

    def restart(self, first: int, now: float) -> None:
        """Everything from `first` on (0: everything) is being repeated: end a hold, begin to wait again."""
        self.holding = False
        if first <= self.acknowledged + 1:
            self._messages.clear()
            self._all_sent_at = now
        self.resend_at = now + self._silence.next() if self.pending else inf

    def batches(self, first: int = 0) -> Iterator[list[Call]]:
        """What is pending from `first` on, cut into messages: contiguous sequences within the limits."""
        batch: list[Call] = []
        size = REQUEST_BYTES
        for sequence, call in self.pending.items():
            if sequence < first:
                continue
            size += len(call.operation) + 4
            if batch and (
                sequence != batch[-1].sequence + 1
                or len(batch) == self.limits.operations_max
                or size > self.limits.message_bytes_max
            ):
                yield batch
                batch, size = [], REQUEST_BYTES + len(call.operation) + 4
            batch.append(call)
        if batch:
            yield batch

    def void(self, calls: Sequence[Call]) -> None:
        """These calls gave up or were refused for good: from now on their sequences travel empty."""
        for call in calls:
            call.operation = b""
