"""The client: asyncio and blocking, over sessions that run every command exactly once.

Sans-I/O from the inside out: `session` and what it is made of decide, `io` owns the one thread, `transport` the one socket;
`aio` and `sync` are what callers hold, `resources` what they use. It imports no server room and no numpy.

The errors are imported here; the clients when first used, so that a server that shares `client.protocol` pays for neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .protocol.errors import (
    BadArgument,
    Closed,
    ConnectFailed,
    DeadlineExceeded,
    MachineError,
    OcelogError,
    OutcomeUnknown,
    Refused,
    SessionExpired,
    UnknownOperation,
    WrongType,
)

if TYPE_CHECKING:
    from .aio import AsyncClient, connect_async
    from .sync import Client, connect

_HOMES = {"AsyncClient": "aio", "connect_async": "aio", "Client": "sync", "connect": "sync"}

__all__ = [
    "AsyncClient",
    "BadArgument",
    "Client",
    "Closed",
    "ConnectFailed",
    "DeadlineExceeded",
    "MachineError",
    "OcelogError",
    "OutcomeUnknown",
    "Refused",
    "SessionExpired",
    "UnknownOperation",
    "WrongType",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ocelog.client' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
