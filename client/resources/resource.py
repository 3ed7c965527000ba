"""A resource of a machine of one's own, by the names of its operations; the base of typed proxies.

    accounts = client.resource("accounts", "bank")
    await accounts.command("transfer", "a", "b", 5)
    await accounts.query("balance", "a")

A proxy of one's own names its type and says what the operations mean:

    class AsyncBank(ocelog.AsyncResource):
        type_name = "bank"

        async def balance(self, account: str) -> int:
            return await self.query("balance", account)

    accounts = client.resource("accounts", AsyncBank)

Arguments and results are what msgpack holds, nil included: they reach the machine as they are, unlike the keys and values of
built-in resources, which machines keep as bytes. Tuples come as lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..changes import ResourceEvent, Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds


class AsyncResource(AsyncHandle):
    """The resource of that name and type. `timeout` is in seconds; None means the client's default.

    Every method raises UnknownOperation for what the machine does not have, MachineError with what its handler raised, Refused
    for arguments that do not fit, DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired and Closed.
    """

    __slots__ = ()

    type_name: ClassVar[str] = ""
    """The machine's type, in a subclass."""

    async def command(self, operation: str, *arguments: Any, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Run a command of the machine; what its handler returned."""
        return await self._command((operation, *arguments), timeout, consistency)

    async def query(self, operation: str, *arguments: Any, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Run a query of the machine; what its handler returned."""
        return await self._query((operation, *arguments), timeout, consistency)

    async def request(self, operation: str, *arguments: Any, timeout: Seconds = None) -> Any:
        """Run a command that may have to wait: `operation(number, wait_ms, *arguments)` at the machine, which answers later.

        Raises ResourceDeleted when the resource is deleted meanwhile. See `shard/machines/waiting.py` for the machine's side.
        """
        return await self._request(operation, *arguments, wait=timeout)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> AsyncEvents[ResourceEvent]:
        """Iterate over what the machine publishes from now on as "change" to who listens.

        The machine has commands `listen(key)` and `unlisten(key)` and a query `state(key)`, for a `Resync`; the key is nil. See
        `AsyncEvents` for `timeout` and `buffer`.
        """
        return AsyncEvents(self._client, self.resource, ResourceEvent, None, timeout, buffer)

    async def on_change(
        self,
        callback: Callable[[ResourceEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` with what the machine publishes from now on, until the subscription is closed."""
        return await self._client.on_change(self.resource, ResourceEvent, None, callback, timeout)
