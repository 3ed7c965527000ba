"""The read-write lock: many readers or one writer, in the order in which they came, with tokens.

    config = client.read_write_lock("config")
    grant = config.read(timeout=5)       # beside other readers
    config.unlock(grant)
    with config.held_write(timeout=5) as grant:
        ...                              # alone; grant.token is above that of every grant before

SNAPSHOT, and nothing is restored: see `holding`. A reader that comes while a writer waits goes behind it, so writers are not
passed over. One entry may let in several readers, whose tokens are then equal; a writer's is above all tokens before it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, command
from .holding import HoldingMachine


class ReadWriteLockMachine(HoldingMachine):
    """What is wanted is whether to write."""

    type_name: ClassVar[str] = "read_write_lock"

    @command(mode=SNAPSHOT)
    def read(self, commit: Commit, number: int, wait_ms: int | None) -> list[Any] | None:
        """Take it for reading, or wait: [grant], [None] when it is not to be waited for, None while the request waits."""
        return self.take(commit, number, wait_ms, False)

    @command(mode=SNAPSHOT)
    def write(self, commit: Commit, number: int, wait_ms: int | None) -> list[Any] | None:
        """Take it for writing, or wait: answered as `read` is."""
        return self.take(commit, number, wait_ms, True)

    @command(mode=SNAPSHOT)
    def unlock(self, commit: Commit, number: int) -> bool:
        """Release what that request of the session was granted; whether it held anything."""
        return self.leave(commit, number)

    def fits(self, wants: Any) -> bool:
        """A writer has it alone; a reader beside readers."""
        first = self.holders.first()
        return first is None or not (wants or first.wants)

    def check_wants(self, wants: Any) -> None:
        """Raises TypeError for what is neither reading nor writing."""
        if type(wants) is not bool:
            raise TypeError(f"a lock is held for writing, true, or reading, false, not {wants!r:.60}")
