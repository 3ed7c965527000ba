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
    from .client.backoff import Exponential, Fibonacci, Once
    from .client.calls import ClientState
    from .client.changes import CounterEvent, MapEvent, Resync, ValueEvent
    from .client.collection_changes import MultimapEvent, SetEvent
    from .client.consistency import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL, Consistency
    from .client.gates import BrokenBarrier
    from .client.protocol.errors import (
        BadArgument,
        Closed,
        ConnectFailed,
        DeadlineExceeded,
        EventsPending,
        MachineError,
        OcelogError,
        OutcomeUnknown,
        Refused,
        ResourceDeleted,
        Revoked,
        SessionExpired,
        UnknownOperation,
        Unresolved,
        WrongType,
    )
    from .client.sync import Client, connect

_NAMES = {
    "client.aio": ("AsyncClient", "connect_async"),
    "client.backoff": ("Exponential", "Fibonacci", "Once"),
    "client.calls": ("ClientState",),
    "client.changes": ("CounterEvent", "MapEvent", "Resync", "ValueEvent"),
    "client.collection_changes": ("MultimapEvent", "SetEvent"),
    "client.consistency": ("BOUNDED_LINEARIZABLE", "CAUSAL", "LINEARIZABLE", "SEQUENTIAL", "Consistency"),
    "client.gates": ("BrokenBarrier",),
    "client.protocol.errors": (
        "BadArgument",
        "Closed",
        "ConnectFailed",
        "DeadlineExceeded",
        "EventsPending",
        "MachineError",
        "OcelogError",
        "OutcomeUnknown",
        "Refused",
        "ResourceDeleted",
        "Revoked",
        "SessionExpired",
        "UnknownOperation",
        "Unresolved",
        "WrongType",
    ),
    "client.sync": ("Client", "connect"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "BOUNDED_LINEARIZABLE",
    "CAUSAL",
    "LINEARIZABLE",
    "SEQUENTIAL",
    "AsyncClient",
    "BadArgument",
    "BrokenBarrier",
    "Client",
    "ClientState",
    "Closed",
    "ConnectFailed",
    "Consistency",
    "CounterEvent",
    "DeadlineExceeded",
    "EventsPending",
    "Exponential",
    "Fibonacci",
    "MachineError",
    "MapEvent",
    "MultimapEvent",
    "OcelogError",
    "Once",
    "OutcomeUnknown",
    "Refused",
    "ResourceDeleted",
    "Resync",
    "Revoked",
    "SessionExpired",
    "SetEvent",
    "UnknownOperation",
    "Unresolved",
    "ValueEvent",
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
