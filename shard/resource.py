"""One resource of a shard: a name, its machine, and the tables by which operations find their handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..client.protocol import errors
from .machines.base import RELEASE, StateMachine

Handler = Callable[..., Any]

HOARD_MIN = 100_000
"""A machine that has kept so many entries and released none probably forgets to."""


class Resource:
    """Named by the index that created it: a deleted and re-created name is another resource.

    `kept` counts the RELEASE commands that took effect, `released` the entries that the machine released since; the
    difference is how many entries are live, if the machine keeps to its own.
    """

    __slots__ = (
        *("commands", "index", "kept", "machine", "name", "operations", "queries"),
        *("released", "type_name", "version"),
    )

    def __init__(self, index: int, name: str, machine: StateMachine, type_name: str, version: int) -> None:
        self.index = index
        self.name = name
        self.type_name = type_name
        self.kept = 0
        self.released = 0
        self.adopt(machine, version)

    def adopt(self, machine: StateMachine, version: int) -> None:
        """From here on this machine has the state: the first one, or that of another version."""
        self.machine = machine
        self.version = version
        self.operations = machine.operations
        self.commands: dict[str, Handler] = {}
        self.queries: dict[str, Handler] = {}
        for operation_name, operation in machine.operations.items():
            table = self.queries if operation.mode is None else self.commands
            table[operation_name] = operation.function.__get__(machine)

    @classmethod
    def create(cls, index: int, name: str, kind: type[StateMachine]) -> Resource:
        """A new resource with a new machine."""
        return cls(index, name, kind(), kind.type_name, kind.version)

    @property
    def hoards(self) -> bool:
        """Whether the machine seems never to release: its entries would stay in the log for ever."""
        return self.kept >= HOARD_MIN and not self.released

    def restorers(self) -> dict[str, Handler]:
        """How each RELEASE command's live entries are restored."""
        machine = self.machine
        return {
            name: operation.restoring.__get__(machine)
            for name, operation in machine.operations.items()
            if operation.mode == RELEASE
        }

    def unknown(self, kind: str, operation: str) -> tuple[int, str]:
        """Code and text for a command or query (`kind`) that is not in the tables."""
        return errors.UNKNOWN_OPERATION, f"a {self.type_name} has no {kind} {operation!r:.60}"
