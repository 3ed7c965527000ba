# Generated from lock.py by generate.py: change that one and run this again.
"""A replicated lock: one holder at a time, first come, first served.

    lock = client.lock("printer")
    grant = lock.lock(timeout=5)
    ...                                  # send grant.token along, and have what is written to refuse lower ones
    lock.unlock(grant)
    lock.try_lock()                # None while somebody holds it

A lock is released when the session of its holder ends, which the holder may learn late: only a resource that checks tokens
is protected from one that has not learnt it yet.
"""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.errors import BadArgument, DeadlineExceeded
from .base import Handle, Level, Seconds


class Grant(NamedTuple):
    """Who holds the lock: `token` grows with every grant; `session` and `number` say to which request it was granted."""

    token: int
    session: int
    number: int


class Lock(Handle):
    """The lock of that name. `timeout` is in seconds; None means the client's default.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, Refused and Closed.
    A request that is cancelled or times out leaves nothing behind: what it is granted all the same is given back.
    """

    __slots__ = ()

    def lock(self, *, timeout: Seconds = None) -> Grant:
        """Take the lock, waiting for so many seconds, with math.inf for ever. Raises DeadlineExceeded when it is not had."""
        answer = self._request("lock", wait=timeout)
        if answer is None:
            text = "the lock was not granted in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        return Grant(*answer)

    def try_lock(self) -> Grant | None:
        """Take the lock if nobody holds it, else None."""
        answer = self._request("lock", wait=0)
        return None if answer is None else Grant(*answer)

    def unlock(self, grant: Grant, *, timeout: Seconds = None) -> bool:
        """Release the lock; False when it was no longer this grant's: its session had ended. Raises BadArgument."""
        number = _checked(grant).number
        held: bool = self._command(("unlock", number), timeout, None)
        return held

    def held(self, *, timeout: Seconds = None) -> Held:
        """The lock for the time of a block: `with lock.held(timeout=5) as grant`. Entering raises what `lock` does."""
        return Held(self, timeout)

    def holder(self, *, timeout: Seconds = None, consistency: Level = None) -> Grant | None:
        """Who holds the lock, or None."""
        holder, _ = self._query(("status",), timeout, consistency)
        return None if holder is None else Grant(*holder)

    def waiting(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many requests wait for the lock."""
        waiting: int
        _, waiting = self._query(("status",), timeout, consistency)
        return waiting


class Held:
    """A lock that is held while its block runs; to be used once."""

    __slots__ = ("_grant", "_lock", "_timeout")

    def __init__(self, lock: Lock, timeout: Seconds) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> Grant:
        self._grant = self._lock.lock(timeout=self._timeout)
        return self._grant

    def __exit__(self, *error: object) -> None:
        self._lock.unlock(self._grant)


def _checked(grant: Grant) -> Grant:
    # By shape, since the blocking lock has a Grant of its own.
    if not isinstance(grant, tuple) or len(grant) != 3 or any(type(part) is not int for part in grant):
        raise BadArgument(f"a lock is released with its grant, not with {grant!r:.60}")
    return grant
