"""What a leader knows about one follower: how far their logs match, what is under way, and when to ask again.

A follower is *probed* while the leader does not know where their logs part: one Append at a time, and what it carries
is not taken as sent. After the first success it is *replicated* to: Appends go out one after the other without waiting,
within the in-flight limits. A rejection or a loss leads back to probing. One whose log parts from the leader's where the
leader's has holes is *installed*: no Appends, until it says that it matches through an index above the holes. Knows nothing
of messages.

Invariant: 0 <= match_index < next_index.
"""

from __future__ import annotations

from collections import deque
from enum import Enum


class ProgressState(Enum):
    """How a follower is sent to."""

    PROBE = "probe"
    REPLICATE = "replicate"
    INSTALL = "install"


PROBE = ProgressState.PROBE
REPLICATE = ProgressState.REPLICATE
INSTALL = ProgressState.INSTALL


class Progress:
    """One follower as its leader sees it. Indexes are log indexes, times are ticks of the leader."""

    __slots__ = (
        "awaiting_since",
        "caught_up",
        "commit_sent",
        "goal",
        "goal_since",
        "heard_tick",
        "inflight",
        "inflight_bytes",
        "install_from",
        "match_index",
        "next_index",
        "probation",
        "probe_sent",
        "reading",
        "repeat_due",
        "round",
        "state",
    )

    def __init__(self, next_index: int, tick: int) -> None:
        assert next_index >= 1, f"next_index is {next_index}, the first index is 1"
        self.state = PROBE
        self.match_index = 0
        self.next_index = next_index
        self.commit_sent = 0
        self.round = 0  # the latest heartbeat round it has answered
        self.heard_tick = tick  # a new leader gives everybody a whole election timeout to answer
        self.reading = False  # clients read there
        self.probe_sent = False
        self.repeat_due = False  # ask again, without entries: they are there, or the answer says from where on not
        self.awaiting_since = tick
        self.inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of each unanswered Append
        self.inflight_bytes = 0
        self.probation = True  # until it says that it may vote
        self.caught_up = False  # only known of a member that does not vote, see `chase`
        self.goal = next_index - 1
        self.goal_since = tick
        self.install_from = 0  # INSTALL only: the commit index of the follower when it was found to need one

    @property
    def sent_through(self) -> int:
        """The last index that this follower should have by now, if nothing was lost."""
        return self.next_index - 1 if self.state is REPLICATE else self.match_index

    def sent(self, last_index: int, size: int, tick: int) -> None:
        """An Append with entries through `last_index` left for a follower being replicated to."""
        assert last_index >= self.next_index, f"sent through {last_index}, but next_index is {self.next_index}"
        if not self.inflight:
            self.awaiting_since = tick
        self.inflight.append((last_index, size))
        self.inflight_bytes += size
        self.next_index = last_index + 1

    def asked(self, tick: int) -> None:
        """An Append left that does not advance next_index: a probe, or a repeated question."""
        self.probe_sent = self.state is PROBE
        self.repeat_due = False
        self.awaiting_since = tick

    def acknowledged(self, match_index: int, dense_index: int, tick: int) -> bool:
        """The follower holds the leader's log, dense above `dense_index`, through `match_index`; true if that is news."""
        if match_index < self.match_index:
            return False  # an older answer that was overtaken
        news = match_index > self.match_index
        self.match_index = match_index
        self.next_index = max(self.next_index, match_index + 1)
        if self.state is PROBE or (self.state is INSTALL and match_index >= dense_index):
            self.state = REPLICATE
            self.next_index = match_index + 1
        elif self.state is INSTALL and match_index > self.install_from:
            # It has moved on, but not far enough: let it say anew what it lacks.
            self.probe(dense_index + 1)
        if news:
            self.awaiting_since = tick
        self._land_through(match_index)
        return news

    def rejected(self, rejected_index: int, *, agrees_from: int, agrees_to: int, dense_index: int) -> bool:
        """It has no match at `rejected_index`, but agrees through `agrees_from`, and at most through `agrees_to`.

        False if that is stale, else it is probed again; or, where our log has holes, installed.
        """
        if self.state is INSTALL or rejected_index <= self.match_index:
            return False  # it needs more than an Append, or has acknowledged that index since
        if self.state is PROBE and rejected_index >= self.next_index:
            return False  # the answer to an earlier probe
        agrees = min(rejected_index - 1, max(self.match_index, agrees_from, agrees_to))
        self.probe(max(agrees, dense_index) + 1)
        if agrees < dense_index:
            self.state = INSTALL
            self.install_from = agrees_from
        return True

    def keep_above(self, dense_index: int) -> None:
        """The leader's log has got holes through `dense_index`: nothing can be sent any more that follows them lower."""
        if self.state is REPLICATE:
            self.probe(dense_index + 1)
        else:
            self.next_index = dense_index + 1

    def probe(self, next_index: int) -> None:
        """Go (back) to asking where the logs part, beginning at `next_index`."""
        assert self.match_index < next_index, f"match_index {self.match_index} >= next_index {next_index}"
        self.state = PROBE
        self.next_index = next_index
        self.probe_sent = False
        self.repeat_due = False
        self._land_through(None)

    def wait(self, tick: int) -> None:
        """Probe, but only once the follower is heard of again: its connection is gone."""
        self.probe(self.match_index + 1)
        self.asked(tick)

    def chase(self, last_index: int, tick: int, patience: int) -> None:
        """A tick of a member that does not vote: does it get to what the log held within `patience` ticks?

        One round after the other, each through the end that the log had when the round began (thesis 4.2.1).
        """
        if self.match_index >= self.goal:
            self.caught_up = tick - self.goal_since <= patience
            self.goal, self.goal_since = last_index, tick
        elif tick - self.goal_since > patience:
            self.caught_up = False

    def unanswered_since(self, tick: int) -> bool:
        """Whether something has been waiting for an answer since `tick` or longer."""
        if self.state is PROBE:
            waiting = self.probe_sent
        else:
            waiting = self.state is REPLICATE and self.match_index < self.next_index - 1
        return waiting and self.awaiting_since <= tick

    def _land_through(self, index: int | None) -> None:
        """Forget the unanswered Appends that end at or below `index`; all of them for None."""
        inflight = self.inflight
        while inflight and (index is None or inflight[0][0] <= index):
            self.inflight_bytes -= inflight.popleft()[1]
        assert self.inflight_bytes >= 0, f"{self.inflight_bytes} bytes in flight"
