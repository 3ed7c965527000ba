"""The processes of a cluster: which modules are started, with which arguments.

A function of the settings, the cluster file and the directory of the sockets, and of the folder in which it is called. The
argument of a child is one JSON object, whose fields are the keyword arguments of its `main`.
"""

from __future__ import annotations

import json
import os
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
COMPACTOR_MODULE = "ocelog.log.compactor_process"

Key = tuple[str, int, int]
"""("replica", shard, replica), ("router", number, 0) or COMPACTOR."""

COMPACTOR: Key = ("compactor", 0, 0)
"""There is one per host. Without it replicas serve as ever, and their logs grow until it is back."""


def can_be_ready(down: Iterable[Key], shards: int, replicas: int) -> bool:
    """False when the children that are `down` for good leave a router missing or a shard without a majority."""
    lost = list(down)
    if any(kind == "router" for kind, _, _ in lost):
        return False
    lost_of = [shard for kind, shard, _ in lost if kind == "replica"]
    return all(2 * lost_of.count(shard) < replicas for shard in range(shards))


@dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """One process to run: its key, the Python module and the arguments of its `main`."""

    key: Key
    module: str
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """For people: `replica 0/1` (shard/replica), `router 0` or `compactor`."""
        kind, first, second = self.key
        if self.key == COMPACTOR:
            return kind
        return f"replica {first}/{second}" if kind == "replica" else f"router {first}"

    @property
    def is_needed(self) -> bool:
        """Whether a cluster is not ready before this process is."""
        return self.key != COMPACTOR

    @property
    def stop_phase(self) -> int:
        """Routers stop first: nothing new reaches the replicas then."""
        return 0 if self.key[0] == "router" else 1

    @property
    def file_stem(self) -> str:
        """What its log files' names begin with: `replica-0-1`, `router-0` or `compactor`."""
        return self.name.replace(" ", "-").replace("/", "-")


def machine_path(settings: Settings) -> list[str]:
    """The folders in which the modules of machines are looked for: those that are set, then the one this runs in."""
    return [os.path.abspath(folder) for folder in (*settings.cluster.machine_path, os.curdir)]


def command_of(plan: ChildPlan) -> list[str]:
    """The command that starts it; `-P` keeps the working directory, which may be anything, off the import path."""
    return [sys.executable, "-P", "-m", plan.module, json.dumps(plan.arguments)]


def plan_children(settings: Settings, cluster: ClusterFile, data: Path, sockets: str) -> list[ChildPlan]:
    """Every process of the cluster: the compactor, since replicas look for it, then replicas, then routers."""
    common: dict[str, Any] = {
        "data": str(data),
        "cluster_id": cluster.cluster_id,
        "shards": cluster.shards,
        "replicas": cluster.replicas,
        "sockets": sockets,
        "settings": settings.sections(),
    }
    machines = {
        "machines": list(settings.cluster.machines),
        "machine_path": machine_path(settings),
    }
    compactor = ChildPlan(
        key=COMPACTOR,
        module=COMPACTOR_MODULE,
        arguments={name: common[name] for name in ("data", "sockets", "settings")},
    )
    replicas = [
        ChildPlan(
            key=("replica", shard, replica),
            module=REPLICA_MODULE,
            arguments={**common, **machines, "shard": shard, "replica": replica},
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
    return [compactor, *replicas, *routers]
