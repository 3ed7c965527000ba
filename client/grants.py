"""What a lock, a read-write lock or a semaphore grants, and what it tells of who holds and who waits."""

from __future__ import annotations

from typing import Any, NamedTuple

from .protocol.errors import BadArgument


class Grant(NamedTuple):
    """What somebody holds: `token` is the log index of its grant; `session` and `number` say to which request it was granted."""

    token: int
    session: int
    number: int


class Claim(NamedTuple):
    """Somebody who holds or waits: since the log entry `index` (a holder's token), with which request, and what it wants.

    `wants` is None for a lock, whether to write for a read-write lock, and a number of permits for a semaphore.
    """

    index: int  # type: ignore[assignment]  # shadows tuple.index
    session: int
    number: int
    wants: Any


class Claims(NamedTuple):
    """Who holds, in the order of the grants, and who waits, in that of being served; at most 100 of each.

    `holding` and `waiting` say how many there are.
    """

    holders: list[Claim]
    waiters: list[Claim]
    holding: int
    waiting: int


def claims(status: list[Any]) -> Claims:
    """What a shard tells, readable."""
    holders, waiters, holding, waiting = status
    return Claims([Claim(*row) for row in holders], [Claim(*row) for row in waiters], holding, waiting)


def checked_grant(grant: Grant) -> Grant:
    """Raises BadArgument for what is no grant."""
    if not isinstance(grant, tuple) or len(grant) != 3 or any(type(part) is not int for part in grant):
        raise BadArgument(f"what is held is released with its grant, not with {grant!r:.60}")
    return grant
