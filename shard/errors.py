"""What can go wrong with a replica's state, beside what a client is told: each ends a process or a snapshot, with numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence

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


class MachineMissing(Exception):
    """The log or its snapshot needs a machine, or a version of one, that is not installed: what comes after cannot be applied."""

    def __init__(self, type_name: str, version: int, installed: Sequence[int], *, index: int) -> None:
        self.type_name, self.version, self.index = type_name, version, index
        known = ", ".join(map(str, installed))
        here = f"version {known} of it is" if known else "no version of it is"
        super().__init__(
            f"entry {index} needs version {version} of the machine {type_name!r:.60}, and {here} installed here: "
            "install it and start the replica again"
        )


class CannotSwitch(Exception):
    """A machine cannot be switched to another version; the text says why. Nothing was changed."""


class DamageFound(Exception):
    """Damaged files were found where opening does not look; the process has to start again to get well."""

    exit_code = os.EX_TEMPFAIL
