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
    from .changes import CounterEvent, MapEvent, ResourceEvent, Resync, ValueEvent
    from .collection_changes import MultimapEvent, SetEvent
    from .consistency import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL, Consistency
    from .election_changes import ElectionEvent, ElectionState, Leader
    from .gates import BrokenBarrier
    from .grants import Claim, Claims, Grant
    from .group_changes import Delivery, GroupEvent, GroupLeader, GroupMember, MemberRemoved, MessageFailed
    from .handlers import Subscription
    from .partitioning import Allotment, PartitionerState
    from .receipts import Receipt, Receipts
    from .resolving import Outcome
    from .resources.resource import AsyncResource
    from .resources.resource_sync import Resource
    from .streams import AsyncEvents, Events
    from .sync import Client, connect
    from .workers import TaskFailed

_NAMES = {
    "aio": ("AsyncClient", "connect_async"),
    "backoff": ("Exponential", "Fibonacci", "Once"),
    "calls": ("ClientState", "StateChange"),
    "changes": ("CounterEvent", "MapEvent", "ResourceEvent", "Resync", "ValueEvent"),
    "collection_changes": ("MultimapEvent", "SetEvent"),
    "consistency": ("BOUNDED_LINEARIZABLE", "CAUSAL", "LINEARIZABLE", "SEQUENTIAL", "Consistency"),
    "election_changes": ("ElectionEvent", "ElectionState", "Leader"),
    "gates": ("BrokenBarrier",),
    "grants": ("Claim", "Claims", "Grant"),
    "group_changes": ("Delivery", "GroupEvent", "GroupLeader", "GroupMember", "MemberRemoved", "MessageFailed"),
    "partitioning": ("Allotment", "PartitionerState"),
    "handlers": ("Subscription",),
    "receipts": ("Receipt", "Receipts"),
    "resolving": ("Outcome",),
    "streams": ("AsyncEvents", "Events"),
    "resources.resource": ("AsyncResource",),
    "resources.resource_sync": ("Resource",),
    "sync": ("Client", "connect"),
    "workers": ("TaskFailed",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "BOUNDED_LINEARIZABLE",
    "CAUSAL",
    "LINEARIZABLE",
    "SEQUENTIAL",
    "Allotment",
    "AsyncClient",
    "AsyncEvents",
    "AsyncResource",
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
    "Delivery",
    "ElectionEvent",
    "ElectionState",
    "Events",
    "EventsPending",
    "Exponential",
    "Fibonacci",
    "Grant",
    "GroupEvent",
    "GroupLeader",
    "GroupMember",
    "Leader",
    "MachineError",
    "MapEvent",
    "MemberRemoved",
    "MessageFailed",
    "MultimapEvent",
    "OcelogError",
    "Once",
    "Outcome",
    "OutcomeUnknown",
    "PartitionerState",
    "Receipt",
    "Receipts",
    "Refused",
    "Resource",
    "ResourceDeleted",
    "ResourceEvent",
    "Resync",
    "Revoked",
    "SessionExpired",
    "SetEvent",
    "StateChange",
    "Subscription",
    "TaskFailed",
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
