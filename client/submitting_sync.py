# Generated from submitting.py by generate.py: change that one and run this again.
"""Running operations by name, on resources of any type, also such as this client has no handle for.

client.submit(client.map("users"), "size", query=True)
client.submit(("accounts", "bank"), "transfer", "ada", "bob", 5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .consistency import Consistency
from .options import Resources
from .resources.base import Handle

if TYPE_CHECKING:
    from .sync import Client


class Submitting:
    """The part of a client that runs operations by name."""

    _resources: Resources

    @property
    def _client(self) -> Client:
        return cast("Client", self)

    def submit(
        self,
        resource: Handle | tuple[str, str],
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
        return self._client.perform(found, (operation, *arguments), query, timeout, level)

    def command(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the command `parts` (its name, then its arguments) on any resource; its result as msgpack gives it."""
        return self._client.perform(self._resources.get(name, type_name), parts, False, timeout)

    def query(self, name: str, type_name: str, *parts: Any, timeout: float | None = None) -> Any:
        """Run the query `parts` (its name, then its arguments) on any resource, linearizably."""
        return self._client.perform(self._resources.get(name, type_name), parts, True, timeout)
