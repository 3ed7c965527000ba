"""The consistency levels that callers choose, and what each kind of operation may choose.

A command is always applied once, in order, and seen by every later linearizable read: its level says only whether its
call also waits for the events that it caused. A query's level says which replica may answer and how old the answer may
be. The numbers are those of the wire.
"""

from __future__ import annotations

import enum

from .protocol import frames
from .protocol.errors import BadArgument


class Consistency(enum.IntEnum):
    """A consistency level; docs/clients.md says which one is needed when."""

    LINEARIZABLE = frames.LINEARIZABLE
    """Queries: the state after every call that returned before. Commands: wait until their events were handled."""
    BOUNDED_LINEARIZABLE = frames.BOUNDED_LINEARIZABLE
    """Queries: as LINEARIZABLE while clocks drift less than the cluster's bound, without asking the other replicas."""
    SEQUENTIAL = frames.SEQUENTIAL
    """Queries: any replica, never older than what this client saw or wrote. Commands: answered as soon as applied."""
    CAUSAL = frames.CAUSAL
    """Queries: any replica, never older than what this client saw; its unanswered commands are not waited for."""

    def __repr__(self) -> str:
        return f"ocelog.{self.name}"


LINEARIZABLE = Consistency.LINEARIZABLE
BOUNDED_LINEARIZABLE = Consistency.BOUNDED_LINEARIZABLE
SEQUENTIAL = Consistency.SEQUENTIAL
CAUSAL = Consistency.CAUSAL

COMMANDS = SEQUENTIAL
"""The level of a command unless its caller chooses."""

QUERIES = LINEARIZABLE
"""The level of a query unless its caller chooses."""


def command_level(level: Consistency) -> Consistency:
    """The level itself, if a command may have it. Raises BadArgument."""
    if level is not SEQUENTIAL and level is not LINEARIZABLE:
        raise BadArgument(f"a command is ocelog.SEQUENTIAL or ocelog.LINEARIZABLE, not {level!r:.60}")
    return level


def query_level(level: Consistency) -> Consistency:
    """The level itself, if a query may have it. Raises BadArgument."""
    if type(level) is not Consistency:
        names = ", ".join(map(repr, Consistency))
        raise BadArgument(f"a query is one of {names}, not {level!r:.60}")
    return level
