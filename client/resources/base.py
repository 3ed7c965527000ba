"""What every resource handle shares: making calls for its resource through its client.

Handles do no I/O of their own and are cheap: the resource is opened with its first operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..calls import Resource

if TYPE_CHECKING:
    from ..aio import AsyncClient
    from ..sync import Client


class AsyncHandle:
    """A resource of an `AsyncClient`."""

    __slots__ = ("_client", "_resource")

    def __init__(self, client: AsyncClient, resource: Resource) -> None:
        self._client = client
        self._resource = resource

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._resource.name!r}>"

    async def _command(self, parts: tuple[Any, ...], timeout: float | None) -> Any:
        return await self._client.perform(self._resource, parts, False, timeout)

    async def _query(self, parts: tuple[Any, ...], timeout: float | None) -> Any:
        return await self._client.perform(self._resource, parts, True, timeout)


class Handle:
    """A resource of a blocking `Client`; may be used from several threads at once."""

    __slots__ = ("_client", "_resource")

    def __init__(self, client: Client, resource: Resource) -> None:
        self._client = client
        self._resource = resource

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._resource.name!r}>"

    def _command(self, parts: tuple[Any, ...], timeout: float | None) -> Any:
        return self._client.perform(self._resource, parts, False, timeout)

    def _query(self, parts: tuple[Any, ...], timeout: float | None) -> Any:
        return self._client.perform(self._resource, parts, True, timeout)
