"""Asking a shard what became of a sequence: one message per question, which no session needs to be open for.

The session that is asked about need not be the one that asks. A question is repeated under its request id until it is
answered or nobody waits for the answer; repeating changes nothing.
"""

from __future__ import annotations

from math import inf
from random import Random

from . import outcomes
from .backoff import Backoff
from .calls import Call, Outbox
from .envelope import Envelope, milliseconds
from .protocol import errors
from .protocol.frames import OUTCOME, Reply
from .protocol.outcomes import OutcomeQuery, pack_outcome_query, unpack_outcome
from .window import REFUSED_SECONDS, RESEND_SECONDS


class _Question:
    """One question: its body, and when to repeat it."""

    __slots__ = ("body", "call", "refusals", "resend_at", "silence")

    def __init__(self, call: Call, body: bytes, random: Random) -> None:
        self.call = call
        self.body = body
        self.silence = Backoff(random, *RESEND_SECONDS)
        self.refusals = Backoff(random, *REFUSED_SECONDS)
        self.resend_at = -inf


class Asking:
    """The unanswered questions to one shard, by request id."""

    def __init__(self, envelope: Envelope, outbox: Outbox, random: Random) -> None:
        self.wake_at = inf
        self._envelope = envelope
        self._outbox = outbox
        self._random = random
        self._questions: dict[int, _Question] = {}

    def ask(self, call: Call, now: float) -> None:
        """Take a question; it leaves with the next tick for which there is a router."""
        body = pack_outcome_query(OutcomeQuery(*call.parts[1:]))
        self._questions[self._envelope.next_request()] = _Question(call, body, self._random)
        self.wake_at = now

    def tick(self, now: float, *, connected: bool) -> None:
        """Send what is due; forget what is overdue or was given up."""
        for request, question in list(self._questions.items()):
            call = question.call
            if call.deadline <= now:
                waited_for = "the shard did not say" if connected else "no router answers"
                self._outbox.fail(call, outcomes.deadline_passed(call, self._envelope, now, waited_for))
            if call.done:
                del self._questions[request]
            elif connected and question.resend_at <= now:
                self._send(request, question, now)
        self._plan(connected=connected)

    def _send(self, request: int, question: _Question, now: float) -> None:
        call = question.call
        call.attempts += 1
        left = milliseconds(call.deadline - now)
        self._outbox.messages.append(self._envelope.message(OUTCOME, request, question.body, milliseconds_left=left))
        question.resend_at = now + question.silence.next()

    def _plan(self, *, connected: bool) -> None:
        self.wake_at = inf
        for question in self._questions.values():
            self.wake_at = min(self.wake_at, question.call.deadline, question.resend_at if connected else inf)

    def repeat(self, now: float) -> None:
        """A new leader or a new connection: everything unanswered leaves again with the next tick."""
        for question in self._questions.values():
            question.resend_at = self.wake_at = now

    def holds(self, request: int) -> bool:
        """Whether a question of that request id is unanswered."""
        return request in self._questions

    def answered(self, reply: Reply, body: memoryview) -> None:
        """An OUTCOME_REPORT; a second one to the same question is ignored. Raises BadFrame."""
        question = self._questions.get(reply.request)
        if question is None:
            return
        outcome = unpack_outcome(body)
        del self._questions[reply.request]
        call = question.call
        if not call.done:
            call.done, call.result, call.index = True, outcome, outcome.index
            self._outbox.finished.append(call)

    def refused(self, reply: Reply, text: str, retry_after: float, now: float) -> None:
        """The question was not answered this time, or is refused for good."""
        question = self._questions[reply.request]
        # A question that was asked under a session which has ended meanwhile is asked again without one.
        retry = reply.code in errors.ROWS and errors.ROWS[reply.code].retry
        if retry or (reply.code == errors.UNKNOWN_SESSION and reply.session):
            question.resend_at = now + question.refusals.after(retry_after)
            self.wake_at = min(self.wake_at, question.resend_at)
        else:
            del self._questions[reply.request]
            self._outbox.fail(question.call, outcomes.refused(question.call, reply.code, text, self._envelope, now))

    def abandon(self, now: float) -> None:
        """The client closes: nobody is answered any more."""
        for question in self._questions.values():
            self._outbox.fail(question.call, outcomes.closed(question.call, self._envelope, now))
        self._questions.clear()
        self.wake_at = inf
