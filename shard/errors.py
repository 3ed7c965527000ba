"""What can go wrong with a replica's state, beside what a client is told: each ends a process or a snapshot, with numbers."""

from __future__ import annotations

import os

from ..log.errors import LogError


class StateMismatch(LogError):
    """A snapshot and its live entries do not give a state: one of them does not hold what was written to it."""

    exit_code = 65

    def __init__(self, reason: str, *, index: int | None = None) -> None:
        self.index, self.reason = index, reason
        where = "" if index is None else f" at entry {index}"
        super().__init__(f"the state of the shard cannot be rebuilt{where}: {reason}")


class CaptureFailed(Exception):
    """A machine could not be put into a snapshot. Nothing was harmed: there is no new snapshot, and the old one counts."""


class CannotDelete(Exception):
    """A resource cannot be deleted, since its machine cannot tell which entries its state lives in."""


class DamageFound(Exception):
    """Damaged files were found where opening does not look; the process has to start again to get well."""

    exit_code = os.EX_TEMPFAIL
