"""Running operations by name, on resources of any type, also such as this client has no handle for.

await client.submit(client.map("users"), "size", query=True)
await client.submit(("accounts", "bank"), "transfer", "ada", "bob", 5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .consistency import Consistency
from .options import Resources
from .resources.base import AsyncHandle

if TYPE_CHECKING:
    from .aio import AsyncClient


class AsyncSubmitting:
    """The part of a client that runs operations by name."""

    _resources: Resources

    @property
    def _client(self) -> AsyncClient:
        return cast("AsyncClient", self)

    async def submit(
        self,
        resource: AsyncHandle | tuple[str, str],
        operation: str,
        *arguments: Any,
        query: bool = False,
        consistency: Consistency | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Run one operation of any resource, by name: a handle, or `(name, type)`. Its result as msgpack gives it.

        `query` says whether it is one; everything else is a command. Keys and values are the machine's: for a map, bytes.
        """
        found, level = self._client.submitted(resource, query, consistency)
        return await self._client.perform(found, (operation, *arguments), query, timeout, level)

    async def command(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the command `parts` (its name, then its arguments) on any resource; its result as msgpack gives it."""
        return await self._client.perform(self._resources.get(name, type_name), parts, False, timeout)

    async def query(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the query `parts` (its name, then its arguments) on any resource, linearizably."""
        return await self._client.perform(self._resources.get(name, type_name), parts, True, timeout)
