"""From a query's bytes to its result, on the state as it is.

A query changes nothing: what its handler would release, schedule or publish is refused, since it would happen on this
replica only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client.protocol import errors, operations
from . import openings
from .machines.base import Commit
from .results import encode_error, encode_result

if TYPE_CHECKING:
    from .executor import Executor


def answer_query(executor: Executor, session_id: int, data: bytes) -> bytes:
    """Run one query against the state as it is; returns the encoded result. Never raises on what it holds."""
    try:
        operation = operations.decode(data, executor.nesting_max)
    except operations.BadOperation as error:
        return encode_error(errors.BAD_OPERATION, str(error))
    resource = executor.resources.get(operation[0])
    if resource is None:
        if operation[0] == operations.SHARD:
            return openings.answer(executor, operation)
        return encode_error(errors.UNKNOWN_RESOURCE, f"no resource was created at index {operation[0]}")
    handler = resource.queries.get(operation[1])
    if handler is None:
        return encode_error(*resource.unknown("query", operation[1]))
    refusal = resource.operations[operation[1]].refusal(operation[2:])
    if refusal:
        return encode_error(errors.BAD_OPERATION, refusal)
    machine = resource.machine
    try:
        result = encode_result(handler(Commit(executor.applied_index, executor.time, session_id), *operation[2:]))
    except Exception as error:
        result = encode_error(errors.MACHINE_ERROR, f"{type(error).__name__}: {error}")
    if machine.pending_releases or machine.pending_timers or machine.pending_events:
        # Left in place they would take effect with the next command, and on this replica only.
        machine.forget_pending()
        text = f"query {operation[1]} of {resource.type_name} may not release, schedule or publish"
        result = encode_error(errors.MACHINE_ERROR, text)
    return result
