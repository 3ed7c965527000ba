"""What clients are promised, one class per promise: exactly once, in order, their own results, fresh reads, honest errors.

The log as the model reads it says what happened; every answer that a client gets is held against that.
"""

from __future__ import annotations

from typing import Any

from ocelog.client.protocol import errors

from .model import Outcome
from .observer import Checker, Observer
from .workload import Operation


def serial_of(operation: tuple[Any, ...]) -> int:
    """The serial number in a logged command, 0 where there is none."""
    if len(operation) > 2 and operation[1] == "add":
        return int(operation[2])
    if len(operation) > 3 and operation[1] in ("put", "put_if_absent", "replace", "hold"):
        return int(operation[3][1:])
    if len(operation) > 4 and operation[1] == "put_both":
        return int(operation[4][1:])
    return 0


class ExactlyOnce(Checker):
    """No command takes effect twice, under whatever session, sequence and index it comes."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._applied: dict[int, int] = {}

    def applied(self, session_id: int, outcome: Outcome) -> None:
        serial = 0 if outcome.code else serial_of(outcome.operation)
        if serial:
            first = self._applied.setdefault(serial, outcome.index)
            self.check(first == outcome.index, f"command {serial} was applied at {first} and at {outcome.index}")


class ProgramOrder(Checker):
    """The commands of a session take effect in the order in which they were submitted."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._latest: dict[int, int] = {}

    def applied(self, session_id: int, outcome: Outcome) -> None:
        serial = 0 if outcome.code else serial_of(outcome.operation)
        if serial:
            latest = self._latest.get(session_id, 0)
            self.check(latest < serial, f"session {session_id}: command {serial} was applied behind {latest}")
            self._latest[session_id] = serial


class OwnResult(Checker):
    """An answered command is committed, and its answer is the result of that very command: nothing is lost."""

    def completed(self, operation: Operation) -> None:
        call = operation.call
        refused = type(call.error) is not errors.OutcomeUnknown and isinstance(call.error, errors.Refused)
        if call.is_query or not (call.error is None or refused) or not call.sequence:
            return
        outcome = self.observer.model.outcomes.get((operation.session_id, call.sequence))
        self.check(outcome is not None, f"{operation} was answered, but nothing is committed for it")
        assert outcome is not None
        if call.error is None:
            mine = outcome.operation[1:] == operation.parts
            self.check(mine, f"{operation} was answered, but its sequence was spent on {outcome.operation}")
            same = outcome.code == 0 and outcome.value == call.result
            self.check(same, f"{operation} was answered {call.result!r}, but {outcome} was applied")
        else:
            code = call.error.code
            self.check(outcome.code == code, f"{operation} was refused with {code}, but {outcome} was applied")


class HonestErrors(Checker):
    """A call that ended with a definite error never takes effect, neither before nor later."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._failed: dict[int, Operation] = {}
        self._applied: set[int] = set()

    def completed(self, operation: Operation) -> None:
        error = operation.call.error
        if isinstance(error, errors.OcelogError) and error.definite and operation.serial:
            self.check(operation.serial not in self._applied, f"{operation} was applied, and failed with {error}")
            self._failed[operation.serial] = operation

    def applied(self, session_id: int, outcome: Outcome) -> None:
        serial = 0 if outcome.code else serial_of(outcome.operation)
        if serial:
            self._applied.add(serial)
            self.check(serial not in self._failed, f"{self._failed.get(serial)} had failed, and was applied after all")


class OpenSessionsStay(Checker):
    """A client is told that its session has ended only if the log says so."""

    def completed(self, operation: Operation) -> None:
        if isinstance(operation.call.error, errors.SessionExpired):
            ended = operation.session_id not in self.observer.model.sessions
            self.check(ended, f"{operation} failed with {operation.call.error}, but the session is open")


class Linearizable(Checker):
    """Reads and writes of a key happen one at a time, each between its call and its answer.

    The log gives the order of writes, so each read needs an index where its answer was true, not before anything that
    had ended when it began. Taking the earliest such index is the best choice for all later reads.
    """

    def completed(self, operation: Operation) -> None:
        call = operation.call
        if call.error is not None:
            return
        workload = self.observer.workload
        if not call.is_query:
            outcome = self.observer.model.outcomes[operation.session_id, call.sequence]
            workload.known_index = max(workload.known_index, outcome.index)
            return
        at = earliest(self.observer, operation, operation.known_index)
        text = f"{operation} answered {call.result!r}, which was not so at any index from {operation.known_index} on"
        self.check(at is not None, text)
        assert at is not None
        workload.known_index = max(workload.known_index, at)


class ReadsOwnWrites(Checker):
    """A query runs after the commands that its session sent before it, answered or not."""

    def completed(self, operation: Operation) -> None:
        call, behind = operation.call, operation.behind
        if call.error is not None or not call.is_query or behind is None:
            return
        if behind.call.error is not None or not behind.call.sequence:
            return  # it gave up, or belongs to a session that has ended
        session_id = behind.session_id or operation.session_id  # an answered one may be of the session before
        outcome = self.observer.model.outcomes.get((session_id, behind.call.sequence))
        self.check(outcome is not None, f"{operation} was answered before {behind} was applied")
        assert outcome is not None
        at = earliest(self.observer, operation, outcome.index)
        self.check(
            at is not None, f"{operation} answered {call.result!r}, from before {behind}, applied at {outcome.index}"
        )


def earliest(observer: Observer, operation: Operation, low: int) -> int | None:
    """The first index from `low` on at which the answer of a query was true, or None."""
    name = operation.resource[0]
    key = operation.parts[1] if len(operation.parts) > 1 else None
    versions = observer.model.versions.get((name, key), [(0, None)])
    for position, (index, value) in enumerate(versions):
        until = versions[position + 1][0] if position + 1 < len(versions) else len(observer.committed) + 1
        if value == operation.call.result and until > low:
            return max(index, low)
    return None


CLIENT_CHECKERS: tuple[type[Checker], ...] = (
    ExactlyOnce,
    ProgramOrder,
    OwnResult,
    HonestErrors,
    OpenSessionsStay,
    Linearizable,
    ReadsOwnWrites,
)
