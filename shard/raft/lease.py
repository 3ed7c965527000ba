"""The lease: for how long a leader may answer by itself, since nobody else can have been elected meanwhile (thesis 6.4.1).

A member that heard a leader grants no vote, and stands for none, for `election_ticks` of its own ticks (`state.pledged`).
So a round that a majority answered keeps every other candidate from winning until that time has passed since the round
was *sent*: the answers were given later. The lease is that time less a bound on how differently two clocks run.

Time is a number of milliseconds given from outside, of a clock that goes on while the machine is suspended and that
nobody sets. It must never know what is read under the lease, nor what the clock is.

Invariants: only rounds begun under the present configuration count; once a member was told to campaign at once, which
breaks everybody's pledge, there is no lease in that term any more.
"""

from __future__ import annotations

from collections import deque


def lease_ms(election_ticks: int, tick_ms: int, clock_drift_percent: int) -> int:
    """How long a lease lasts from the sending of its round; 0 where the times are too short for one.

    The first of a follower's ticks may come at once, so that it keeps its pledge for a tick less; and both times are
    whole milliseconds, of which the later one is read up to one too early.
    """
    return max(0, (election_ticks - 1) * tick_ms * (100 - clock_drift_percent) // 100 - 1)


class Lease:
    """The rounds of one leadership that may still give a lease of `milliseconds`, oldest first."""

    __slots__ = ("_sent", "given_up", "milliseconds")

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        self.given_up = False  # for the rest of the term
        self._sent: deque[tuple[int, int]] = deque()  # (round, when it was about to be sent)

    def sent(self, round: int, now: int) -> None:
        """A round is about to be sent; `now` is not later than that."""
        sent = self._sent
        while sent and now - sent[0][1] >= self.milliseconds:
            sent.popleft()
        sent.append((round, now))

    def forget(self) -> None:
        """The configuration is another one: what a majority of the former answered says nothing of the present."""
        self._sent.clear()

    def holds(self, answered: int, now: int) -> bool:
        """Whether it lasts at `now`, when a majority has answered round `answered` or a later one."""
        sent = self._sent
        while len(sent) > 1 and sent[1][0] <= answered:
            sent.popleft()
        if self.given_up or not sent or sent[0][0] > answered:
            return False
        return 0 <= now - sent[0][1] < self.milliseconds
