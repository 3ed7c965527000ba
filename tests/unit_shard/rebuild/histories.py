"""The testing kit's histories, over all machines of these tests unless others are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ocelog.shard.machines.base import StateMachine
from ocelog.shard.testing import histories
from ocelog.shard.testing.histories import AuditedExecutor, Snapshot, Step, compacted, facts_of

from .machines import MACHINES

__all__ = ["AuditedExecutor", "History", "Snapshot", "Step", "compacted", "facts_of"]


class History(histories.History):
    """A shard with two sessions and one resource of each type."""

    def __init__(
        self, types: Sequence[str] = tuple(MACHINES), *, machines: Mapping[str, type[StateMachine]] = MACHINES
    ) -> None:
        super().__init__(types, machines=machines)
