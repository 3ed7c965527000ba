"""What clients are promised, one class per promise: exactly once, in order, their own results, honest errors.

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
        if isinstance(operation.call.error, errors.SessionExpired) and operation.session_id:
            ended = operation.session_id not in self.observer.model.sessions
            self.check(ended, f"{operation} failed with {operation.call.error}, but the session is open")


CLIENT_CHECKERS: tuple[type[Checker], ...] = (
    ExactlyOnce,
    ProgramOrder,
    OwnResult,
    HonestErrors,
    OpenSessionsStay,
)
