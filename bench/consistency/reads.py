"""What one session may see: SEQUENTIAL reads never go back and see the session's own writes; CAUSAL ones what it has been told.

For every read there has to be an index at which its answer was true, not below what the session knew. Taking the lowest such
index is the best choice for all later reads of the session, so one pass decides. Where the client was told the index, it
is that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from .records import CAUSAL, OK, SEQUENTIAL, History, Operation
from .timeline import Timeline


def goes_back(history: History, timeline: Timeline) -> list[str]:
    """What is wrong with the SEQUENTIAL and CAUSAL reads, a sentence each."""
    received: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for listener in history.listeners:
        for given in listener.given:
            received[given.session].append((given.received, given.index))
    sessions: dict[int, list[Operation]] = defaultdict(list)
    for operation in history.operations:
        sessions[operation.session].append(operation)
    complaints: list[str] = []
    for session, operations in sessions.items():
        operations.sort(key=lambda operation: operation.number)
        complaints += _of_session(operations, received[session], timeline)
    return complaints


def _of_session(operations: list[Operation], events: list[tuple[int, int]], timeline: Timeline) -> Iterable[str]:
    told = sorted([*events, *((each.returned, each.index) for each in operations if each.outcome == OK)])
    commands = read = position = known = 0
    # Whatever the session was told before a read was submitted is known to it then.
    for operation in operations:
        while position < len(told) and told[position][0] <= operation.invoked:
            known = max(known, told[position][1])
            position += 1
        if not operation.is_query:
            commands = max(commands, operation.index)
            continue
        if operation.outcome != OK or operation.level not in (SEQUENTIAL, CAUSAL):
            continue
        low = max(read, known, commands if operation.level == SEQUENTIAL else 0)
        index = _explained(operation, low, timeline)
        if index is None:
            yield f"a {operation.level} read is older than index {low}, which its session knew: {operation}"
        else:
            read = max(read, index)


def _explained(operation: Operation, low: int, timeline: Timeline) -> int | None:
    """The index that a read was answered from, not below `low`; None when there is no such."""
    register = (operation.resource, operation.key)
    if operation.index:
        true = timeline.at(register, operation.index) == operation.result or timeline.excused(
            register, operation.result
        )
        return operation.index if true and operation.index >= low else None
    for first, following, value in timeline.versions(register):
        if value == operation.result and following > low:
            return max(first, low)
    return low if timeline.excused(register, operation.result) else None
