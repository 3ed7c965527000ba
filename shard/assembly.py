"""From what a supervisor says to a running replica: opens the directory, recovers the log, builds the server.

The order matters: the directory's lock comes before any file is read and before any address is bound (a second bind
on an ipc path silently steals it).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import SystemRandom
from typing import Any

import psutil

from ..client.protocol.limits import Limits
from ..log.directory import open_or_renew
from ..log.errors import Corruption
from ..log.files import DirectoryLock, OsDisk
from ..log.identity import Identity
from ..log.log import LogConfig
from ..log.renewal import mark_damaged
from . import peers
from .compaction_config import CompactionConfig
from .errors import DamageFound
from .machines.installed import Machines
from .machines.loading import installed
from .machines.registry import BUILT_IN
from .raft.config import RaftConfig
from .replica import Replica
from .server import Server


def replica_directory(data: str, shard: int, replica: int) -> str:
    """Where a replica keeps its files."""
    return os.path.join(data, f"shard-{shard}", f"replica-{replica}")


def witness_path(data: str, shard: int, replica: int) -> str:
    """What tells that a replica has run, kept apart from its directory so that the two are not lost together."""
    return os.path.join(data, "members", f"{shard}-{replica}")


def peer_address(sockets: str, shard: int, replica: int) -> str:
    """Where a replica listens to the other members of its shard."""
    return f"ipc://{sockets}/s{shard}r{replica}.p"


def link_address(links: str, shard: int, replica: int, peer: int) -> str:
    """Where a replica reaches a peer when something stands between them, as in tests that cut their connections."""
    return f"ipc://{links}/s{shard}r{replica}-{peer}"


def between_peers(options: dict[str, Any]) -> tuple[str, dict[int, str]]:
    """Where a replica listens to the other members of its shard, and where it reaches each of them.

    Socket files, unless `peers` gives an address for every member. Nobody but a test gives it, on a network that is all its own:
    what crosses it is neither encrypted nor does a member have to prove that it is one.
    """
    sockets, links, peers_at = options["sockets"], options.get("links"), options.get("peers")
    shard, member = options["shard"], options["replica"]
    others = [n for n in range(options["replicas"]) if n != member]
    if peers_at is not None:
        return peers_at[member], {n: peers_at[n] for n in others}
    if links is not None:
        return peer_address(sockets, shard, member), {n: link_address(links, shard, member, n) for n in others}
    return peer_address(sockets, shard, member), {n: peer_address(sockets, shard, n) for n in others}


def client_address(sockets: str, shard: int, replica: int) -> str:
    """Where a replica listens to routers."""
    return f"ipc://{sockets}/s{shard}r{replica}.c"


def compactor_address(sockets: str) -> str:
    """Where the host's compactor listens to replicas."""
    return f"ipc://{sockets}/compactor"


def compaction_of(settings: dict[str, dict[str, Any]]) -> CompactionConfig:
    """A replica's part of the section `compaction`; the rest is the compactor's."""
    return CompactionConfig(**{name: value for name, value in settings["compaction"].items() if name != "nice"})


def limits_of(settings: dict[str, dict[str, Any]]) -> Limits:
    """The protocol's limits from the sections `limits` and `session`."""
    session = settings["session"]
    return Limits(
        **settings["limits"],
        in_flight_max=session["in_flight_max"],
        events_max=session["events_max"],
        event_bytes_max=session["event_bytes_max"],
        session_timeout_ms_min=session["timeout_ms_min"],
        session_timeout_ms_max=session["timeout_ms_max"],
    )


def open_replica(options: dict[str, Any]) -> Server:
    """Open or create the replica's files and bind its sockets.

    Raises LogError (directory in use, corruption, another cluster's directory, no room), DamageFound, MachineNotLoaded and
    zmq.ZMQError.
    """
    shard, member = options["shard"], options["replica"]
    settings = options["settings"]
    machines = installed(options.get("machines", ()), options.get("machine_path", ()))
    directory = replica_directory(options["data"], shard, member)
    disk = OsDisk()
    disk.make_directory(directory)
    lock = DirectoryLock.acquire(directory)
    expected = Identity(cluster_id=options["cluster_id"], shard=shard, member=member, incarnation=1)
    config = LogConfig(**settings["log"])
    witness = witness_path(options["data"], shard, member)
    identity, meta, log, probation = open_or_renew(
        disk, directory, expected=expected, config=config, witness=witness, alone=options["replicas"] == 1
    )
    raft = dict(settings["raft"])
    tick_ms = raft.pop("tick_ms")
    with damage_noted(options):  # it reads entries that opening did not look at
        replica = Replica(
            shard=shard,
            member=member,
            voters=range(options["replicas"]),
            log=log,
            meta=meta,
            raft_config=RaftConfig(**raft),
            limits=limits_of(settings),
            machines=machines,
            rng=SystemRandom(),
            tick_ms=tick_ms,
            sessions_max=settings["session"]["sessions_max"],
            results_bytes_max=settings["session"]["results_bytes_max"],
            compaction=compaction_of(settings),
            incarnation=identity.incarnation,
            probation=probation,
            clock=time.perf_counter,
            status_extra=ProcessStatus(machines),
        )
    own_address, other_addresses = between_peers(options)
    return Server(
        replica,
        peers.PeerIdentity(
            cluster_id=options["cluster_id"], shard=shard, member=member, incarnation=identity.incarnation
        ),
        peer_address=own_address,
        client_address=client_address(options["sockets"], shard, member),
        peer_addresses=other_addresses,
        compactor_address=compactor_address(options["sockets"]),
        tick_ms=tick_ms,
        message_bytes_max=settings["limits"]["message_bytes_max"],
        stop_fd=0,
        lock=lock,
    )


@contextmanager
def damage_noted(options: dict[str, Any]) -> Iterator[None]:
    """Have the next start begin again by what the peers have when damage is found here, and raise DamageFound.

    A replica that has no peers must stay down: the Corruption goes on.
    """
    try:
        yield
    except Corruption as damage:
        if options["replicas"] == 1:
            raise
        directory = replica_directory(options["data"], options["shard"], options["replica"])
        mark_damaged(OsDisk(), directory, damage.summary)
        raise DamageFound(f"{damage.summary}; it starts again, and gets its data from its peers") from damage


class ProcessStatus:
    """What the operating system says of this process, and which machines of one's own are installed in it.

    CPU in percent of one core since the last call.
    """

    def __init__(self, machines: Machines) -> None:
        own = sorted(machines.keys() - {kind.type_name for kind in BUILT_IN})
        self._machines = {name: machines.versions(name) for name in own}
        self._process = psutil.Process()
        self._process.cpu_percent(None)

    def __call__(self) -> dict[str, Any]:
        """Fields of a status report."""
        return {
            "pid": self._process.pid,
            "memory_bytes": self._process.memory_info().rss,
            "cpu_percent": self._process.cpu_percent(None),
            "cpu_seconds": time.process_time(),
            "machines": self._machines,
        }
