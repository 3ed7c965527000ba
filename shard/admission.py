"""What may enter the log: one operation of a client is judged by the leader before its bytes become an entry.

What can be refused for good is refused here and becomes a void, whose payload is the result its caller gets: a bad
entry would be applied, and fail, on every replica. The mode an entry carries comes from the replicated type of its
resource.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..client.protocol import errors, operations
from ..client.protocol.limits import Limits
from ..log.entry import COMMAND, RESOURCE, SNAPSHOT, VOID
from . import openings
from .executor import Executor
from .results import encode_error


class Verdict(NamedTuple):
    """How to log one operation: kind and mode of the entry, its payload, and the decoded operation of a command."""

    kind: int
    mode: int
    payload: bytes
    operation: list[Any] | None


def void(code: int, text: str) -> Verdict:
    """The verdict that spends a sequence on an error."""
    return Verdict(VOID, SNAPSHOT, encode_error(code, text), None)


def judge(data: bytes, executor: Executor, limits: Limits) -> Verdict:
    """Judge one operation as a client sent it; empty bytes are the client's own void."""
    if not data:
        return void(errors.VOIDED, "the call had given up")
    if len(data) > limits.operation_bytes_max:
        return void(errors.TOO_LARGE, f"an operation of {len(data)} bytes; at most {limits.operation_bytes_max}")
    try:
        operation = operations.decode(data, limits.nesting_max)
    except operations.BadOperation as error:
        return void(errors.BAD_OPERATION, str(error))
    resource = executor.resources.get(operation[0])
    if resource is None:
        if operation[0] == operations.SHARD:
            refused = openings.judge(operation, executor, limits)
            if refused is not None:
                return void(*refused)
            return Verdict(RESOURCE, SNAPSHOT, openings.logged(operation, data, executor), None)
        return void(errors.UNKNOWN_RESOURCE, f"no resource was created at index {operation[0]}")
    declared = resource.operations.get(operation[1])
    if declared is None or declared.mode is None:
        return void(*resource.unknown("command", operation[1]))
    refusal = declared.refusal(operation[2:])
    if refusal is not None:
        return void(errors.BAD_OPERATION, refusal)
    # A tuple made directly: this is the one line that every command passes.
    return tuple.__new__(Verdict, (COMMAND, declared.mode, data, operation))
