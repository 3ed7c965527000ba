"""The processes of a cluster: which modules are started, with which arguments.

A pure function of the settings, the cluster file and the directory of the sockets. The argument of a child is one JSON
object, whose fields are the keyword arguments of its `main`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clusterfile import ClusterFile
from .config import Settings
from .endpoint import listen_of

REPLICA_MODULE = "ocelog.shard"
ROUTER_MODULE = "ocelog.cluster.router"

Key = tuple[str, int, int]
"""("replica", shard, replica) or ("router", number, 0)."""


def can_be_ready(down: Iterable[Key], shards: int, replicas: int) -> bool:
    """False when the children that are `down` for good leave a router missing or a shard without a majority."""
    lost = list(down)
    if any(kind == "router" for kind, _, _ in lost):
        return False
    return all(2 * sum(shard == of for _, of, _ in lost) < replicas for shard in range(shards))


@dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """One process to run: its key, the Python module and the arguments of its `main`."""

    key: Key
    module: str
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """For people: `replica 0/1` (shard/replica) or `router 0`."""
        kind, first, second = self.key
        return f"replica {first}/{second}" if kind == "replica" else f"router {first}"

    @property
    def stop_phase(self) -> int:
        """Routers stop first: nothing new reaches the replicas then."""
        return 0 if self.key[0] == "router" else 1

    @property
    def file_stem(self) -> str:
        """What its log files' names begin with: `replica-0-1` or `router-0`."""
        return self.name.replace(" ", "-").replace("/", "-")


def command_of(plan: ChildPlan) -> list[str]:
    """The command that starts it; `-P` keeps the working directory, which may be anything, off the import path."""
    return [sys.executable, "-P", "-m", plan.module, json.dumps(plan.arguments)]


def plan_children(settings: Settings, cluster: ClusterFile, data: Path, sockets: str) -> list[ChildPlan]:
    """Every process of the cluster, replicas first."""
    common: dict[str, Any] = {
        "data": str(data),
        "cluster_id": cluster.cluster_id,
        "shards": cluster.shards,
        "replicas": cluster.replicas,
        "sockets": sockets,
        "settings": settings.sections(),
    }
    replicas = [
        ChildPlan(
            key=("replica", shard, replica),
            module=REPLICA_MODULE,
            arguments={**common, "shard": shard, "replica": replica},
        )
        for shard in range(cluster.shards)
        for replica in range(cluster.replicas)
    ]
    routers = [
        ChildPlan(
            key=("router", number, 0),
            module=ROUTER_MODULE,
            arguments={
                **common,
                "router": number,
                "listen": listen_of(settings.cluster.listen, number),
                "slots": [list(slots) for slots in cluster.slots],
            },
        )
        for number in range(settings.cluster.routers)
    ]
    return replicas + routers
