# Generated from holding.py by generate.py: change that one and run this again.
"""What is taken, held and given back, for handles of locks, read-write locks and semaphores; for the time of a block, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..grants import Claims, Grant, checked_grant, claims
from ..protocol.errors import DeadlineExceeded, OcelogError
from .base import Handle, Level, Seconds

Lost = Callable[[Grant], Any] | None
"""Called with the grant, once, when it is known that it is lost."""


class Holding(Handle):
    """A resource that grants something to hold."""

    __slots__ = ()

    def status(self, *, timeout: Seconds = None, consistency: Level = None) -> Claims:
        """Who holds and who waits."""
        return claims(self._query(("status",), timeout, consistency))

    def _take(self, operation: str, *arguments: Any, wait: Seconds, lost: Lost) -> Grant | None:
        answer = self._request(operation, *arguments, wait=wait, holds=True)
        if answer is None:
            return None
        grant = Grant(*answer)
        self._watch(grant, lost)
        return grant

    def _wait_for(self, operation: str, *arguments: Any, wait: Seconds, lost: Lost) -> Grant:
        grant = self._take(operation, *arguments, wait=wait, lost=lost)
        if grant is None:
            text = f"the {self.resource.type.replace('_', ' ')} was not granted in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        return grant

    def _watch(self, grant: Grant, lost: Lost) -> None:
        if lost is not None:
            call = partial(self._client.call_back, lost, grant)
            self._client.listening.requests.holdings.on_lost(grant.number, call)

    def _leave(self, operation: str, grant: Grant, timeout: Seconds) -> bool:
        held: bool = self._give_back(operation, checked_grant(grant).number, timeout)
        return held


class Held:
    """Something that is held while its block runs; to be used once."""

    __slots__ = ("_grant", "_release", "_take")

    _grant: Grant

    def __init__(self, take: Callable[[], Any], release: Callable[[Grant], Any]) -> None:
        self._take = take
        self._release = release

    def __enter__(self) -> Grant:
        grant: Grant = self._take()
        self._grant = grant
        return grant

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            self._release(self._grant)
        except OcelogError:
            # The release goes on without us: what the block has to say is more to the point.
            if error is None:
                raise
