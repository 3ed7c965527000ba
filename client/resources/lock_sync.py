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

from functools import partial
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from ..calls import Resource
from ..consistency import COMMANDS, QUERIES, Consistency
from ..grants import Claim, Grant, checked_grant
from .base import Level, Seconds
from .holding_sync import Held, Holding, Lost

if TYPE_CHECKING:
    from ..sync import Client


class Entered:
    """How often a caller has taken a reentrant lock that it holds."""

    __slots__ = ("grant", "times")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.times = 1


class Lock(Holding):
    """The lock of that name. `timeout` is in seconds; None means the client's default.

    A `reentrant` one is granted at once to the task (of a blocking client: the thread) that holds it by this handle, and is
    released when it was unlocked as often. That is counted here: to the shard, and to all others, it is one grant.

    `lost(grant)` is called once, where callbacks run, when it is known that the grant is lost: its session has ended, or the lock
    was deleted. A client that is cut off cannot know: its `state` is SUSPENDED then.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, ResourceDeleted when it
    waits at a lock that is deleted, Refused and Closed. A request that is cancelled or times out leaves nothing behind:
    what it is granted all the same is given back.
    """

    __slots__ = ("_entered",)

    def __init__(
        self,
        client: Client,
        resource: Resource,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
        *,
        reentrant: bool = False,
    ) -> None:
        super().__init__(client, resource, commands, queries)
        self._entered: WeakKeyDictionary[object, Entered] | None = WeakKeyDictionary() if reentrant else None

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """The same lock, with these levels where a call names none. Raises BadArgument."""
        found = super().with_consistency(commands=commands, queries=queries)
        found._entered = self._entered
        return found

    def lock(self, *, timeout: Seconds = None, lost: Lost = None) -> Grant:
        """Take the lock, waiting for so many seconds, with math.inf for ever. Raises DeadlineExceeded when it is not had."""
        return self._enter(lost) or self._remember(self._wait_for("lock", wait=timeout, lost=lost))

    def try_lock(self, *, lost: Lost = None) -> Grant | None:
        """Take the lock if nobody holds it, else None."""
        if again := self._enter(lost):
            return again
        grant = self._take("lock", wait=0, lost=lost)
        return None if grant is None else self._remember(grant)

    def unlock(self, grant: Grant, *, timeout: Seconds = None) -> bool:
        """Release the lock; False when it was no longer this grant's: its session had ended. Raises BadArgument.

        When that takes longer than the timeout, or is cancelled, the client goes on trying until the session ends.
        """
        checked_grant(grant)
        if self._entered is not None:
            entered = self._entered.get(self._caller())
            if entered is not None and entered.grant == grant:
                entered.times -= 1
                if entered.times:
                    return True
                del self._entered[self._caller()]
        return self._leave("unlock", grant, timeout)

    def held(self, *, timeout: Seconds = None, lost: Lost = None) -> Held:
        """The lock for the time of a block: `with lock.held(timeout=5) as grant`. Entering raises what `lock` does."""
        return Held(partial(self.lock, timeout=timeout, lost=lost), self.unlock)

    def holder(self, *, timeout: Seconds = None, consistency: Level = None) -> Grant | None:
        """Who holds the lock, or None."""
        status = self.status(timeout=timeout, consistency=consistency)
        holder: Claim | None = status.holders[0] if status.holders else None
        return None if holder is None else Grant(*holder[:3])

    def waiting(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """How many requests wait for the lock."""
        return (self.status(timeout=timeout, consistency=consistency)).waiting

    def _enter(self, lost: Lost) -> Grant | None:
        """The grant of the caller, once more, if the lock is reentrant and is the caller's."""
        entered = None if self._entered is None else self._entered.get(self._caller())
        if entered is None or not self._client.listening.requests.holdings.holds(entered.grant.number):
            return None
        entered.times += 1
        self._watch(entered.grant, lost)
        return entered.grant

    def _remember(self, grant: Grant) -> Grant:
        if self._entered is not None:
            self._entered[self._caller()] = Entered(grant)
        return grant
