"""In which order the results, events and answers of one session are delivered: that of the log, whatever the network did.

A result waits for the results of earlier sequences and for every batch of events published before it was made; a batch
of events for the results of the commands applied before it was sent; the answers to queries for both. They wait to be
*received*: nothing here waits for anybody to handle anything, so a handler may make calls and wait for them.

Invariants: what is released never has a lower index than what was released before, but for the answers of queries that
ran later than they had to; with nothing out of order nothing is kept, and `direct` says so in a few comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from .calls import Call, EventBatch
from .event_receiver import EventReceiver
from .queries import QueryBatch
from .window import Window


class HeldResult(NamedTuple):
    """The result of a command, to be delivered after the events up to `event_index`."""

    call: Call
    index: int  # type: ignore[assignment]  # shadows tuple.index
    result: bytes
    event_index: int
    unsettled: bool


class HeldEvents(NamedTuple):
    """A batch of events, to be delivered after the results of sequences up to `after`."""

    batch: EventBatch
    after: int


class HeldAnswers(NamedTuple):
    """The answers to one message of queries, to be delivered after events up to `event_index` and results up to `after`."""

    batch: QueryBatch
    answers: list[bytes]
    index: int  # type: ignore[assignment]  # shadows tuple.index
    event_index: int
    after: int


Held = HeldResult | HeldEvents | HeldAnswers

# At one index: the command's result, then the events it published, then queries that saw it.
_RESULT, _EVENTS, _ANSWERS = range(3)


class Ordering:
    """What was received too early to be delivered, by log index: `heap`, as `heapq` keeps it."""

    def __init__(self, window: Window, events: EventReceiver) -> None:
        self._window = window
        self._events = events
        self.heap: list[tuple[int, int, int, Held]] = []
        self._count = 0

    def direct(self, event_index: int, first: int) -> bool:
        """Whether what comes behind all sequences below `first` and these events can be delivered without waiting."""
        return not self.heap and event_index <= self._events.received and first <= self._window.acknowledged + 1

    def hold_result(self, held: HeldResult) -> None:
        """Keep a result until its turn."""
        self._push(held.index, _RESULT, held)

    def hold_events(self, held: HeldEvents) -> None:
        """Keep a batch of events until its turn."""
        self._push(held.batch.index, _EVENTS, held)

    def hold_answers(self, held: HeldAnswers) -> None:
        """Keep the answers to a message of queries until their turn."""
        self._push(held.index, _ANSWERS, held)

    def _push(self, index: int, rank: int, held: Held) -> None:
        self._count += 1
        heappush(self.heap, (index, rank, self._count, held))

    def release(self) -> list[Held]:
        """Take out what has its turn now, in order."""
        released = []
        lowest = self._window.lowest_waited()
        while self.heap and self._has_turn(self.heap[0][3], lowest):
            released.append(heappop(self.heap)[3])
        return released

    def pop(self) -> Held:
        """Take out what comes next, though it has not its turn: what it waits for will not come."""
        return heappop(self.heap)[3]

    def _has_turn(self, held: Held, lowest: int) -> bool:
        if isinstance(held, HeldEvents):
            return held.after < lowest
        if isinstance(held, HeldResult):
            return held.call.done or (held.event_index <= self._events.received and held.call.sequence < lowest)
        return held.event_index <= self._events.received and held.after < lowest

    def calls(self) -> Iterator[Call]:
        """Every call whose result is kept here, done or not."""
        for _, _, _, held in self.heap:
            if isinstance(held, HeldResult):
                yield held.call
            elif isinstance(held, HeldAnswers):
                yield from held.batch.calls

    def results(self) -> dict[Call, HeldResult]:
        """The results that are kept, by their calls."""
        return {held.call: held for _, _, _, held in self.heap if isinstance(held, HeldResult)}
