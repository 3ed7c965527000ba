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
    from .client.changes import CounterEvent, MapEvent, ResourceEvent, Resync, ValueEvent
    from .client.collection_changes import MultimapEvent, SetEvent
    from .client.consistency import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL, Consistency
    from .client.gates import BrokenBarrier
    from .client.group_changes import Delivery, GroupEvent, GroupLeader, GroupMember, MemberRemoved, MessageFailed
    from .client.partitioning import Allotment, PartitionerState
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
    from .client.resources.resource import AsyncResource
    from .client.resources.resource_sync import Resource
    from .client.sync import Client, connect
    from .client.workers import TaskFailed
    from .shard.machines.base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query

_NAMES = {
    "client.aio": ("AsyncClient", "connect_async"),
    "client.backoff": ("Exponential", "Fibonacci", "Once"),
    "client.calls": ("ClientState",),
    "client.changes": ("CounterEvent", "MapEvent", "ResourceEvent", "Resync", "ValueEvent"),
    "client.collection_changes": ("MultimapEvent", "SetEvent"),
    "client.consistency": ("BOUNDED_LINEARIZABLE", "CAUSAL", "LINEARIZABLE", "SEQUENTIAL", "Consistency"),
    "client.gates": ("BrokenBarrier",),
    "client.group_changes": ("Delivery", "GroupEvent", "GroupLeader", "GroupMember", "MemberRemoved", "MessageFailed"),
    "client.partitioning": ("Allotment", "PartitionerState"),
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
    "client.resources.resource": ("AsyncResource",),
    "client.resources.resource_sync": ("Resource",),
    "client.sync": ("Client", "connect"),
    "client.workers": ("TaskFailed",),
    "shard.machines.base": ("RELEASE", "SNAPSHOT", "Commit", "StateMachine", "command", "query"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "BOUNDED_LINEARIZABLE",
    "CAUSAL",
    "LINEARIZABLE",
    "RELEASE",
    "SEQUENTIAL",
    "SNAPSHOT",
    "Allotment",
    "AsyncClient",
    "AsyncResource",
    "BadArgument",
    "BrokenBarrier",
    "Client",
    "ClientState",
    "Closed",
    "Commit",
    "ConnectFailed",
    "Consistency",
    "CounterEvent",
    "DeadlineExceeded",
    "Delivery",
    "EventsPending",
    "Exponential",
    "Fibonacci",
    "GroupEvent",
    "GroupLeader",
    "GroupMember",
    "MachineError",
    "MapEvent",
    "MemberRemoved",
    "MessageFailed",
    "MultimapEvent",
    "OcelogError",
    "Once",
    "OutcomeUnknown",
    "PartitionerState",
    "Refused",
    "Resource",
    "ResourceDeleted",
    "ResourceEvent",
    "Resync",
    "Revoked",
    "SessionExpired",
    "SetEvent",
    "StateMachine",
    "TaskFailed",
    "UnknownOperation",
    "Unresolved",
    "ValueEvent",
    "WrongType",
    "__version__",
    "command",
    "connect",
    "connect_async",
    "query",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ocelog' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
