"""Ocelog: a sharded, replicated state-machine cluster over ZeroMQ.

This module only names the public entry points; each is imported when it is first used, so that
`import ocelog` costs nothing a caller does not need (the client never imports numpy).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client.aio import AsyncClient, connect_async
    from .client.protocol.errors import (
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
    from .client.sync import Client, connect

_HOMES = {
    "connect": "client.sync",
    "Client": "client.sync",
    "connect_async": "client.aio",
    "AsyncClient": "client.aio",
    "OcelogError": "client.protocol.errors",
    "OutcomeUnknown": "client.protocol.errors",
    "DeadlineExceeded": "client.protocol.errors",
    "SessionExpired": "client.protocol.errors",
    "Closed": "client.protocol.errors",
    "BadArgument": "client.protocol.errors",
    "ConnectFailed": "client.protocol.errors",
    "MachineError": "client.protocol.errors",
    "Refused": "client.protocol.errors",
    "UnknownOperation": "client.protocol.errors",
    "WrongType": "client.protocol.errors",
}

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
    "__version__",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ocelog' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
