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

if TYPE_CHECKING:
    from .aio import AsyncClient, connect_async
    from .backoff import Exponential, Fibonacci, Once
    from .calls import ClientState, StateChange
    from .changes import CounterEvent, MapEvent, Resync, ValueEvent
    from .collection_changes import MultimapEvent, SetEvent
    from .consistency import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL, Consistency
    from .election_changes import ElectionEvent, ElectionState, Leader
    from .gates import BrokenBarrier
    from .grants import Claim, Claims, Grant
    from .handlers import Subscription
    from .receipts import Receipt, Receipts
    from .resolving import Outcome
    from .streams import AsyncEvents, Events
    from .sync import Client, connect

_NAMES = {
    "aio": ("AsyncClient", "connect_async"),
    "backoff": ("Exponential", "Fibonacci", "Once"),
    "calls": ("ClientState", "StateChange"),
    "changes": ("CounterEvent", "MapEvent", "Resync", "ValueEvent"),
    "collection_changes": ("MultimapEvent", "SetEvent"),
    "consistency": ("BOUNDED_LINEARIZABLE", "CAUSAL", "LINEARIZABLE", "SEQUENTIAL", "Consistency"),
    "election_changes": ("ElectionEvent", "ElectionState", "Leader"),
    "gates": ("BrokenBarrier",),
    "grants": ("Claim", "Claims", "Grant"),
    "handlers": ("Subscription",),
    "receipts": ("Receipt", "Receipts"),
    "resolving": ("Outcome",),
    "streams": ("AsyncEvents", "Events"),
    "sync": ("Client", "connect"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "BOUNDED_LINEARIZABLE",
    "CAUSAL",
    "LINEARIZABLE",
    "SEQUENTIAL",
    "AsyncClient",
    "AsyncEvents",
    "BadArgument",
    "BrokenBarrier",
    "Claim",
    "Claims",
    "Client",
    "ClientState",
    "Closed",
    "ConnectFailed",
    "Consistency",
    "CounterEvent",
    "DeadlineExceeded",
    "ElectionEvent",
    "ElectionState",
    "Events",
    "EventsPending",
    "Exponential",
    "Fibonacci",
    "Grant",
    "Leader",
    "MachineError",
    "MapEvent",
    "MultimapEvent",
    "OcelogError",
    "Once",
    "Outcome",
    "OutcomeUnknown",
    "Receipt",
    "Receipts",
    "Refused",
    "ResourceDeleted",
    "Resync",
    "Revoked",
    "SessionExpired",
    "SetEvent",
    "StateChange",
    "Subscription",
    "UnknownOperation",
    "Unresolved",
    "ValueEvent",
    "WrongType",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ocelog.client' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
