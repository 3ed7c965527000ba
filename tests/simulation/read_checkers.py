"""What reads are promised, one class per promise: fresh where that was asked for, and nowhere back in time."""

from __future__ import annotations

from ocelog.client.calls import EventBatch
from ocelog.client.protocol import frames

from .client import SimClient
from .observer import Checker, Observer
from .workload import LEVEL_NAMES, Operation


class Linearizable(Checker):
    """Reads and writes of a key happen one at a time, each between its call and its answer; weaker reads are not held to it.

    The log gives the order of writes, so each read needs an index where its answer was true, not before anything that
    had ended when it began. Taking the earliest such index is the best choice for all later reads. What a weaker
    read or an event tells of is known to everybody from then on, too.
    """

    def completed(self, operation: Operation) -> None:
        call = operation.call
        if call.error is not None or operation.asked is not None:
            return
        workload = self.observer.workload
        if not call.is_query:
            outcome = self.observer.model.outcomes[operation.session_id, call.sequence]
            workload.known_index = max(workload.known_index, outcome.index)
            return
        at = earliest(self.observer, operation, operation.known_index if operation.is_strong else 0)
        text = f"{LEVEL_NAMES[call.level]} {operation} answered {call.result!r}, which was not so at any index"
        self.check(at is not None, f"{text} from {operation.known_index} on")
        assert at is not None
        workload.known_index = max(workload.known_index, at)

    def given(self, client: SimClient, batch: EventBatch) -> None:
        self.observer.workload.known_index = max(self.observer.workload.known_index, batch.index)


class ReadsOwnWrites(Checker):
    """A query at any level but CAUSAL runs after the commands that its session sent before it, answered or not."""

    def completed(self, operation: Operation) -> None:
        call, behind = operation.call, operation.behind
        if call.error is not None or not operation.is_read or behind is None or call.level == frames.CAUSAL:
            return
        if behind.call.error is not None or behind.given_up or not behind.call.sequence:
            return  # it gave up, or belongs to a session that has ended
        if behind.call.reopened:
            return  # its resource was deleted: it ran again when the read may have been answered already
        session_id = behind.session_id or operation.session_id  # an answered one may be of the session before
        outcome = self.observer.model.outcomes.get((session_id, behind.call.sequence))
        self.check(outcome is not None, f"{operation} was answered before {behind} was applied")
        assert outcome is not None
        at = earliest(self.observer, operation, outcome.index)
        self.check(
            at is not None, f"{operation} answered {call.result!r}, from before {behind}, applied at {outcome.index}"
        )


class ReadsNeverGoBack(Checker):
    """A SEQUENTIAL or CAUSAL answer is of a state not older than anything that its session was given before it."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._given: dict[int, int] = {}

    def given(self, client: SimClient, batch: EventBatch) -> None:
        self._know(batch.session, batch.index)

    def completed(self, operation: Operation) -> None:
        call = operation.call
        if call.error is not None or operation.asked is not None:
            return
        if not call.is_query:
            self._know(operation.session_id, self.observer.model.outcomes[operation.session_id, call.sequence].index)
        elif not operation.is_strong:
            low = self._given.get(operation.session_id, 0)
            what = f"{LEVEL_NAMES[call.level]} {operation} answered {call.result!r} of index {call.index}"
            self.check(call.index >= low, f"{what}; its session had been given index {low}")
            self.check(true_at(self.observer, operation, call.index), f"{what}, which was not so there")
            self._know(operation.session_id, call.index)

    def _know(self, session: int, index: int) -> None:
        self._given[session] = max(self._given.get(session, 0), index)


def earliest(observer: Observer, operation: Operation, low: int) -> int | None:
    """The first index from `low` on at which the answer of a query was true, or None."""
    versions = _versions(observer, operation)
    for position, (index, value) in enumerate(versions):
        until = versions[position + 1][0] if position + 1 < len(versions) else len(observer.committed) + 1
        if value == operation.call.result and until > low:
            return max(index, low)
    return None


def true_at(observer: Observer, operation: Operation, index: int) -> bool:
    """Whether the answer of a query was true at that index."""
    return [value for at, value in _versions(observer, operation) if at <= index][-1] == operation.call.result


def _versions(observer: Observer, operation: Operation) -> list[tuple[int, object]]:
    key = operation.parts[1] if len(operation.parts) > 1 else None
    name: tuple[str, object] = (operation.resource[0], key)
    if operation.resource in observer.model.queries:
        name = (operation.resource, operation.parts)
    return observer.model.versions.get(name, [(0, None)])


READ_CHECKERS: tuple[type[Checker], ...] = (Linearizable, ReadsOwnWrites, ReadsNeverGoBack)
