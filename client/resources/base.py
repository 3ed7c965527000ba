"""What every resource handle shares: making calls for its resource through its client, at its levels of consistency.

Handles do no I/O of their own and are cheap: the resource is opened with its first operation.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from ..calls import Resource
from ..consistency import COMMANDS, QUERIES, Consistency, command_level, query_level

if TYPE_CHECKING:
    from ..aio import AsyncClient
    from ..sync import Client


Seconds = float | None
Level = Consistency | None
Asked = tuple[Resource, tuple[Any, ...]]
"""An operation on a resource: its name, then its arguments."""


class AsyncHandle:
    """A resource of an `AsyncClient`."""

    __slots__ = ("_client", "_commands", "_queries", "resource")

    def __init__(
        self,
        client: AsyncClient,
        resource: Resource,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
    ) -> None:
        self._client = client
        self.resource = resource
        self._commands = commands
        self._queries = queries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.resource.name!r}>"

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """The same resource, with these levels where a call names none. Raises BadArgument."""
        commands = self._commands if commands is None else command_level(commands)
        queries = self._queries if queries is None else query_level(queries)
        return type(self)(self._client, self.resource, commands, queries)

    async def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        level = self._commands if consistency is None else command_level(consistency)
        return await self._client.perform(self.resource, parts, False, timeout, level)

    async def _query(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        level = self._queries if consistency is None else query_level(consistency)
        return await self._client.perform(self.resource, parts, True, timeout, level)

    async def _command_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        """Many commands, which travel together; their results. Raises the first error when all have ended."""
        level = self._commands if consistency is None else command_level(consistency)
        return await self._client.perform_all(many, False, timeout, level)

    async def _query_all(self, many: Iterable[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        """Many queries, which travel together; their results. Raises the first error when all have ended."""
        level = self._queries if consistency is None else query_level(consistency)
        return await self._client.perform_all(many, True, timeout, level)

    async def _request(self, operation: str, *arguments: Any, wait: Seconds, holds: bool = False) -> Any:
        """Run an operation that may have to wait, for `wait` seconds: None is the client's default, math.inf for ever.

        `holds`: what is answered is a grant, which the client remembers until `_give_back`.
        """
        return await self._client.request(self.resource, operation, *arguments, wait=wait, holds=holds)

    async def _give_back(self, operation: str, number: int, timeout: Seconds) -> Any:
        """Give back what a request was granted; a call that gives up goes on without its caller until the session ends."""
        self._client.listening.requests.holdings.released(number)
        try:
            return await self._command((operation, number), timeout, None)
        except (asyncio.CancelledError, TimeoutError):
            self._client.take_back(self.resource, number)
            raise

    @staticmethod
    def _caller() -> object:
        """The task that this runs in."""
        return asyncio.current_task()


class Handle:
    """A resource of a blocking `Client`; may be used from several threads at once."""

    __slots__ = ("_client", "_commands", "_queries", "resource")

    def __init__(
        self,
        client: Client,
        resource: Resource,
        commands: Consistency = COMMANDS,
        queries: Consistency = QUERIES,
    ) -> None:
        self._client = client
        self.resource = resource
        self._commands = commands
        self._queries = queries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.resource.name!r}>"

    def with_consistency(self, *, commands: Level = None, queries: Level = None) -> Self:
        """The same resource, with these levels where a call names none. Raises BadArgument."""
        commands = self._commands if commands is None else command_level(commands)
        queries = self._queries if queries is None else query_level(queries)
        return type(self)(self._client, self.resource, commands, queries)

    def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        level = self._commands if consistency is None else command_level(consistency)
        return self._client.perform(self.resource, parts, False, timeout, level)

    def _query(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        level = self._queries if consistency is None else query_level(consistency)
        return self._client.perform(self.resource, parts, True, timeout, level)

    def _command_all(self, many: list[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        """Many commands, which travel together; their results. Raises the first error when all have ended."""
        level = self._commands if consistency is None else command_level(consistency)
        return self._client.perform_all(many, False, timeout, level)

    def _query_all(self, many: Iterable[Asked], timeout: Seconds, consistency: Level) -> list[Any]:
        """Many queries, which travel together; their results. Raises the first error when all have ended."""
        level = self._queries if consistency is None else query_level(consistency)
        return self._client.perform_all(many, True, timeout, level)

    def _request(self, operation: str, *arguments: Any, wait: Seconds, holds: bool = False) -> Any:
        """Run an operation that may have to wait, for `wait` seconds: None is the client's default, math.inf for ever.

        `holds`: what is answered is a grant, which the client remembers until `_give_back`.
        """
        return self._client.request(self.resource, operation, *arguments, wait=wait, holds=holds)

    def _give_back(self, operation: str, number: int, timeout: Seconds) -> Any:
        """Give back what a request was granted; a call that gives up goes on without its caller until the session ends."""
        self._client.listening.requests.holdings.released(number)
        try:
            return self._command((operation, number), timeout, None)
        except (KeyboardInterrupt, TimeoutError):
            self._client.take_back(self.resource, number)
            raise

    @staticmethod
    def _caller() -> object:
        """The thread that this runs in."""
        return threading.current_thread()
