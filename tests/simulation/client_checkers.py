"""What clients are promised, one class per promise: exactly once, in order, their own results, honest errors.

The log as the model reads it says what happened; every answer that a client gets is held against that.
"""

from __future__ import annotations

import re

from ocelog.client.protocol import errors

from .model import Outcome
from .observer import Checker, Observer
from .workload import Operation

_CARRIES = re.compile(rb"[vw]\d+")
"""What a command writes: `workload.py` and `resources.py`."""


def serial_of(outcome: Outcome) -> int:
    """The serial number of a command that took effect, 0 where there is none."""
    if outcome.code:
        return 0
    if len(outcome.operation) > 2 and outcome.operation[1] == "add" and not outcome.by_machine:
        return int(outcome.operation[2])
    carried = (int(part[1:]) for part in outcome.operation[2:] if type(part) is bytes and _CARRIES.fullmatch(part))
    return next(carried, 0)


class ExactlyOnce(Checker):
    """No command takes effect twice, under whatever session, sequence and index it comes."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._applied: dict[int, int] = {}

    def applied(self, session_id: int, outcome: Outcome) -> None:
        serial = serial_of(outcome)
        if serial:
            first = self._applied.setdefault(serial, outcome.index)
            self.check(first == outcome.index, f"command {serial} was applied at {first} and at {outcome.index}")


class ProgramOrder(Checker):
    """The commands of a session take effect in the order in which they were submitted."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._latest: dict[int, int] = {}

    def applied(self, session_id: int, outcome: Outcome) -> None:
        serial = serial_of(outcome)
        # A resource that is deleted in use is opened anew, and what it refused runs again behind later commands.
        if serial and not outcome.by_machine:
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
        serial = serial_of(outcome)
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
