"""What each register held from which log index on, as far as a history says.

Commands that were answered tell their index and what they did; events tell it of the others too. What no answer and no event
speaks of stays unknown: such a write may have happened at any index, and `excused` says which values it may account for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from .records import OK, RESYNC, UNKNOWN, Given, History, Listener, Operation

Register = tuple[str, str | None]


class Change(NamedTuple):
    """Of the register of one key at one index; `key` is None for a counter, and for all keys at once (`clear`)."""

    index: int  # type: ignore[assignment]  # shadows tuple.index
    kind: str
    key: str | None
    new: Any


class Timeline:
    """`changes[resource]` by index, and the versions of every register."""

    def __init__(self, history: History) -> None:
        self.changes: dict[str, dict[int, Change]] = defaultdict(dict)
        self.conflicts: list[str] = []
        for operation in history.operations:
            if operation.outcome == OK and operation.index and (change := change_of(operation)) is not None:
                self._add(operation.resource, change, str(operation))
        possible = {_kinds_of(operation) for operation in history.operations if operation.outcome == UNKNOWN}
        possible |= {_kinds_of(operation) for operation in history.operations if operation.name == "clear"}
        for listener in history.listeners:
            for given in listener.given:
                if given.kind != RESYNC:
                    self._told(listener, change_told(given), possible)
        self._unknown: dict[Register, set[Any]] = defaultdict(set)
        self._unknown_adds: set[str] = set()
        self._note_unknown(history)
        self._indexes: dict[Register, list[int]] = defaultdict(list)
        self._values: dict[Register, list[Any]] = defaultdict(list)
        for resource in self.changes:
            self._lay_out(resource)

    def _told(self, listener: Listener, change: Change, possible: set[tuple[str, str, str | None, Any]]) -> None:
        changes = self.changes[listener.resource]
        if change.index not in changes:
            kind, value = (
                (change.kind, None) if change.kind == "changed" else (_WROTE.get(change.kind, change.kind), change.new)
            )
            if (listener.resource, kind, change.key, value) not in possible:
                self.conflicts.append(f"{listener.resource}: {listener.client} was told {change}, which nobody did")
        self._add(listener.resource, change, f"an event to {listener.client}")

    def _add(self, resource: str, change: Change, source: str) -> None:
        known = self.changes[resource].setdefault(change.index, change)
        if known != change:
            self.conflicts.append(f"{resource}: {source} says {change}, but {known} was at that index")

    def _note_unknown(self, history: History) -> None:
        written = {(name, change.new) for name, changes in self.changes.items() for change in changes.values()}
        for operation in history.operations:
            if operation.outcome != UNKNOWN or operation.is_query:
                continue
            if operation.name == "add":
                self._unknown_adds.add(operation.resource)
            elif operation.name in ("remove", "clear"):
                self._unknown[operation.resource, operation.key].add(None)
            elif (operation.resource, operation.value) not in written:
                self._unknown[operation.resource, operation.key].add(operation.value)

    def _lay_out(self, resource: str) -> None:
        changes = [change for _, change in sorted(self.changes[resource].items())]
        keys = {change.key for change in changes if change.kind != "cleared"}
        for change in changes:
            for key in keys if change.kind == "cleared" else (change.key,):
                self._indexes[resource, key].append(change.index)
                self._values[resource, key].append(change.new)

    def versions(self, register: Register) -> Iterator[tuple[int, int, Any]]:
        """(first index, index of the next version or None, value) of a register, ascending."""
        indexes, values = self._indexes.get(register, []), self._values.get(register, [])
        yield 0, indexes[0] if indexes else 1 << 62, self.initial(register)
        for position, (index, value) in enumerate(zip(indexes, values, strict=True)):
            yield index, indexes[position + 1] if position + 1 < len(indexes) else 1 << 62, value

    def at(self, register: Register, index: int) -> Any:
        """What a register held at an index."""
        position = bisect_right(self._indexes.get(register, []), index)
        return self._values[register][position - 1] if position else self.initial(register)

    @staticmethod
    def initial(register: Register) -> Any:
        """What a register holds before anything was written."""
        return 0 if register[1] is None else None

    def excused(self, register: Register, value: Any) -> bool:
        """Whether a command of unknown fate may account for this value, at an index that nobody knows."""
        resource, key = register
        if key is None:
            return resource in self._unknown_adds
        return value in self._unknown.get(register, ()) or (
            value is None and None in self._unknown.get((resource, None), ())
        )


_WROTE = {"added": "wrote", "updated": "wrote"}
_KINDS = {"add": "changed", "remove": "removed", "clear": "cleared"}


def _kinds_of(operation: Operation) -> tuple[str, str, str | None, Any]:
    """What an event may say of a command of which nobody else knows: resource, kind, key, value."""
    value = None if operation.name in _KINDS else operation.value
    return operation.resource, _KINDS.get(operation.name, "wrote"), operation.key, value


def change_of(operation: Operation) -> Change | None:
    """What an answered command did; None when that was nothing."""
    name, index, result = operation.name, operation.index, operation.result
    if name == "add":
        return Change(index, "changed", None, result)
    if name == "remove":
        return Change(index, "removed", operation.key, None) if result is not None else None
    if name == "put":
        return Change(index, "added" if result is None else "updated", operation.key, operation.value)
    if name == "put_if_absent":
        return Change(index, "added", operation.key, operation.value) if result is None else None
    if name == "replace":
        return Change(index, "updated", operation.key, operation.value) if result is not None else None
    return None  # queries, and `clear`, which does not say whether there was anything


def change_told(given: Given) -> Change:
    """What an event says was done."""
    return Change(given.index, given.kind, given.key, given.new)
