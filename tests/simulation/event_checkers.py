"""What is promised about events, one class per promise: each once and in order, settled means handled, honest outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ocelog.client.calls import EventBatch
from ocelog.client.protocol import errors, frames, outcomes

from .client import SimClient
from .model import Outcome
from .observer import Checker, Observer
from .workload import Operation


class EventsExactlyOnce(Checker):
    """A session is given every batch that was published to it, unchanged, once, in order and without a gap."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._count: dict[int, int] = defaultdict(int)

    def given(self, client: SimClient, batch: EventBatch) -> None:
        published = self.observer.model.events.published.get(batch.session, [])
        position = self._count[batch.session]
        self.check(batch.error is None, f"{client.name} cannot read {batch}: {batch.error}")
        self.check(position < len(published), f"{client.name} was given {batch}, which nothing published")
        index, events = published[position]
        before = published[position - 1][0] if position else 0
        self.check(batch.index == index, f"{client.name} was given {batch} behind index {before}; {index} comes next")
        same = [list(event) for event in batch.events] == events
        self.check(same, f"{client.name} was given {batch} with {batch.events}, {events} was published")
        self._count[batch.session] += 1

    def finished(self, clients: Sequence[SimClient]) -> None:
        for client in clients:
            session = client.session.envelope.session
            published = self.observer.model.events.published.get(session, [])
            if session in self.observer.model.sessions:
                count = self._count[session]
                text = f"{client.name} was given {count} of {len(published)} batches, session {session} is open"
                self.check(count == len(published), text)


class InLogOrder(Checker):
    """What a session is given, results and events alike, comes in the order of the log.

    The call of a LINEARIZABLE command is delivered when its events are handled, which may be later; all others are not.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._events: dict[int, int] = defaultdict(int)
        self._results: dict[int, int] = defaultdict(int)
        self._looked: dict[int, int] = defaultdict(int)

    def given(self, client: SimClient, batch: EventBatch) -> None:
        self._events[batch.session] = batch.index
        result = self._results[batch.session]
        self.check(batch.index >= result, f"{client.name} was given {batch} behind the result of index {result}")
        spent = self.observer.model.spent.get(batch.session, [])
        looked = self._looked[batch.session]
        while looked < len(spent) and spent[looked] < batch.index:
            looked += 1
            self.check(not client.waits_for(looked), f"{client.name} was given {batch} before the result of {looked}")
        self._looked[batch.session] = looked

    def completed(self, operation: Operation) -> None:
        call = operation.call
        if call.error is not None or call.is_query:
            return
        index = self.observer.model.outcomes[operation.session_id, call.sequence].index
        if call.level == frames.LINEARIZABLE and not call.nested:
            return
        session = operation.session_id
        self.check(
            index >= self._events[session],
            f"{operation} of index {index} ended behind events of {self._events[session]}",
        )
        before = self.observer.model.events.last_before(session, index)
        text = f"{operation} of index {index} ended before the events of {before} came"
        # An ended session gets no more events; what it was given out of order is delivered without them.
        self.check(operation.session_over or self._events[session] >= before, text)
        self._results[session] = max(self._results[session], index)


class SettledMeansHandled(Checker):
    """The call of a LINEARIZABLE command returns when every open session it published to has handled that; or says pending."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._handled: dict[int, int] = defaultdict(int)

    def handled(self, client: SimClient, batch: EventBatch) -> None:
        self._handled[batch.session] = batch.index

    def completed(self, operation: Operation) -> None:
        call = operation.call
        if call.is_query or call.nested or call.level != frames.LINEARIZABLE:
            return
        outcome = self.observer.model.outcomes.get((operation.session_id, call.sequence))
        if isinstance(call.error, errors.EventsPending):
            same = outcome is not None and (outcome.index, outcome.value) == (call.error.index, call.error.result)
            self.check(same, f"{operation} ended with {call.error!r}, but {outcome} was applied")
        elif call.error is None:
            assert outcome is not None
            for session in self.observer.model.events.at.get(outcome.index, {}):
                open_still = session in self.observer.model.sessions
                late = open_still and self._handled[session] < outcome.index
                self.check(not late, f"{operation} returned before session {session} handled index {outcome.index}")


class OutcomesAreTrue(Checker):
    """Whoever asks what became of a sequence is told what the log says; surely not means never."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._never: set[tuple[int, int]] = set()

    def applied(self, session_id: int, outcome: Outcome) -> None:
        sequence = self.observer.model.sessions[session_id].last if session_id in self.observer.model.sessions else 0
        self.check((session_id, sequence) not in self._never, f"{outcome} was said never to be applied")

    def completed(self, operation: Operation) -> None:
        call, model = operation.call, self.observer.model
        if operation.asked is None:
            return
        fine = call.error is None or isinstance(call.error, errors.DeadlineExceeded | errors.Closed)
        self.check(fine, f"{operation} can be answered, but failed with {call.error!r}")
        if call.error is not None:
            return
        session, key, sequence = operation.asked
        known = model.outcomes.get((session, sequence))
        real = model.keys.get(session) == key
        told: Any = call.result
        text = f"{operation.client} asked for {session} {sequence} and was told {outcomes.NAMES.get(told.answer)}"
        if told.answer == outcomes.APPLIED:
            self.check(real and known is not None, f"{text}, but nothing was applied")
            assert known is not None
            self.check((told.index, told.result[0]) == (known.index, known.code), f"{text} {told}, but it was {known}")
        elif told.answer == outcomes.ACKNOWLEDGED:
            self.check(real and model.was_spent(session, sequence), f"{text}, but it was not spent")
        elif told.answer == outcomes.PENDING:
            early = known is None or known.index > operation.known_index
            self.check(real and early, f"{text}, but it was {known}, which was known already")
        elif told.answer == outcomes.NEVER:
            over = session not in model.sessions
            self.check(real and over and known is None, f"{text}, but the session is open, or it was {known}")
            self._never.add((session, sequence))
        else:
            gone = session not in model.sessions and session not in model.ended
            self.check(gone or not real, f"{text}, but the session is known")


EVENT_CHECKERS: tuple[type[Checker], ...] = (EventsExactlyOnce, InLogOrder, SettledMeansHandled, OutcomesAreTrue)
