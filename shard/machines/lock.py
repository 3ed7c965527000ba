"""The lock: one holder at a time, who is served in the order in which they came, and a token that grows with every grant.

    lock = client.lock("printer")
    grant = lock.lock(timeout=5)     # grant.token is above that of every grant before
    lock.unlock(grant)
    lock.try_lock()                  # None while somebody holds it

SNAPSHOT, and nothing is restored: see `holding`. One entry grants a lock once at most, so tokens grow strictly.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, command
from .holding import HoldingMachine


class LockMachine(HoldingMachine):
    """Whoever holds it holds all of it: nothing is wanted in particular."""

    type_name: ClassVar[str] = "lock"

    @command(mode=SNAPSHOT)
    def lock(self, commit: Commit, number: int, wait_ms: int | None) -> list[Any] | None:
        """Take the lock, or wait for it: [grant], [None] when it is not to be waited for, None while the request waits."""
        return self.take(commit, number, wait_ms)

    @command(mode=SNAPSHOT)
    def unlock(self, commit: Commit, number: int) -> bool:
        """Release what that request of the session was granted; whether it held the lock."""
        return self.leave(commit, number)

    def fits(self, wants: Any) -> bool:
        """Whether nobody holds it."""
        return not self.holders
