"""How the session on one shard stands, for those who want to know: connected, suspended, expired, closed.

A session is suspended when no router answers, or when what it sent is unanswered for a third of its timeout: two more
thirds are left before the shard may end it. Only the shard ends a session; no clock here does.

Invariant: each change is told once, in order.
"""

from __future__ import annotations

from math import inf

from .calls import ClientState, Outbox, StateChange
from .envelope import Envelope

MOVE_SECONDS_MIN = 2.0
"""A shard that is not to be had makes its client try another router no more often than this."""


class Standing:
    """The state of one shard's session; None before there is one. Times are seconds of a monotonic clock.

    `moves` says that another router is to be tried; whoever does that sets it back.
    """

    def __init__(self, envelope: Envelope, outbox: Outbox) -> None:
        self.state: ClientState | None = None
        self.suspend_at = inf
        self.moves = False
        self._envelope = envelope
        self._outbox = outbox

    def change(self, state: ClientState, reason: str) -> None:
        """Tell a new state, unless it is the old one; after CLOSED there is none."""
        if state is not self.state and self.state is not ClientState.CLOSED:
            self.state = state
            shard, session = self._envelope.shard, self._envelope.session
            self._outbox.finished.append(StateChange(shard, state, session, reason))

    def waits(self, patience: float, now: float) -> None:
        """Something is unanswered; to be called when `suspend_at` is infinite."""
        self.suspend_at = now + patience

    def answered(self) -> None:
        """The shard answered: whatever is unanswered is waited for anew."""
        self.suspend_at = inf
        self.moves = False
        if self.state is ClientState.SUSPENDED:
            self.change(ClientState.CONNECTED, "the shard answers again")

    def tick(self, patience: float, now: float) -> None:
        """Patience may be over: suspended, and another router is to be tried, now and each time it is over again."""
        if now >= self.suspend_at:
            self.suspend(f"no answer from the shard for {patience:.1f} s")
            self.suspend_at = now + max(patience, MOVE_SECONDS_MIN)
            self.moves = True

    def suspend(self, reason: str) -> None:
        """Nothing can be had from the shard; one that has expired is worse off than that."""
        if self.state in (None, ClientState.CONNECTED):
            self.change(ClientState.SUSPENDED, reason)
