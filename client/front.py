"""What both clients offer without waiting: handles, states, callbacks for states and errors, receipts.

`Front` knows the I/O thread, but neither event loop nor blocked threads; `aio` and `sync` make calls on top of it.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from .calls import ClientState, Resource, StateChange
from .connection import Connection
from .consistency import COMMANDS, QUERIES, Consistency, command_level, query_level
from .handlers import Handlers, Subscription
from .ids import Stocks
from .io import IoThread
from .listening import Listening
from .options import Options, Resources
from .protocol.errors import BadArgument
from .receipts import Receipts, Tracing
from .resources.base import AsyncHandle, Handle

_WORSE = list(ClientState)


class Front:
    """The part of a client that makes no calls."""

    def __init__(self, io: IoThread, options: Options, handlers: Handlers, listening: Listening) -> None:
        self.listening = listening
        self.timeout = options.timeout
        self._io = io
        self._selection = options.selection
        self._handlers = handlers
        self._resources = Resources(io.connection)
        self.stocks = Stocks()
        self._tracing = Tracing()
        # The thread knows nothing of this object: forgotten without close, the client still ends.
        self._finalizer = weakref.finalize(self, io.forget)

    def __del__(self) -> None:
        # At the end of the interpreter, and after a close, the finalizer is not alive; nor is it where making one has failed.
        finalizer = getattr(self, "_finalizer", None)
        if finalizer is not None and finalizer.alive and self._io.usable:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._connection.endpoints)}, {self.state.value}>"

    @property
    def _connection(self) -> Connection:
        return self._io.connection

    @property
    def state(self) -> ClientState:
        """The worst state of the sessions that are not closed; CONNECTED before the first, CLOSED when all are."""
        states = self._io.states.values()
        if not self._io.usable:
            return ClientState.CLOSED
        default = ClientState.CLOSED if states else ClientState.CONNECTED
        return max((state for state in states if state is not ClientState.CLOSED), key=_WORSE.index, default=default)

    @property
    def states(self) -> dict[int, ClientState]:
        """The state of the session on each shard that was used."""
        return dict(self._io.states)

    def on_state(self, callback: Callable[[StateChange], Any]) -> Subscription:
        """Call `callback(change)` at each change of a session's state: `change.shard`, `.state`, `.session`, `.reason`.

        It runs where callbacks for events do, one after the other with them.
        """
        return self._handlers.on_state(callback)

    def on_error(self, callback: Callable[[BaseException, Any], Any]) -> Subscription:
        """Call `callback(error, event)` for each exception that a callback raises, after it was logged.

        `event` is what the callback was called with, or the resource whose events ended with that error.
        """
        return self._handlers.on_error(callback)

    def forget(self, name: str, shard: int) -> None:
        """The resource of that name was deleted: what is kept here of it is of no use any more."""
        self._resources.forget(name)
        self.stocks.forget(name)
        self.listening.requests.take_arrived(shard, name)

    def call_back(self, callback: Callable[[Any], Any], item: Any) -> None:
        """Call `callback(item)` where callbacks run, behind those that wait. For threads that may call the client."""
        self._handlers.once(callback, item)

    def receipts(self) -> Receipts:
        """Collect receipts in a block: `with client.receipts() as receipts: ...`."""
        return Receipts(self._tracing)

    @property
    def is_ours(self) -> bool:
        """Whether this process made the client; after a fork it is of no use in the other one."""
        return self._io.pid == os.getpid()

    def check_process(self) -> None:
        """Raises Closed in another process than the one that made the client."""
        if not self.is_ours:
            raise self._io.why_unusable()

    def submitted(
        self, resource: AsyncHandle | Handle | tuple[str, str], query: bool, level: Consistency | None
    ) -> tuple[Resource, Consistency]:
        """The resource and level of a call that names its operation. Raises BadArgument."""
        if isinstance(resource, AsyncHandle | Handle):
            found = resource.resource
        elif isinstance(resource, tuple) and len(resource) == 2:
            found = self._resources.get(*resource)
        else:
            raise BadArgument(f"a resource is a handle or a pair (name, type), not {resource!r:.60}")
        if query:
            return found, QUERIES if level is None else query_level(level)
        return found, COMMANDS if level is None else command_level(level)
