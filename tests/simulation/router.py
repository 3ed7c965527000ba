"""A simulated process of a router: the production `Router` between the clients' connections and the replicas.

It does what `cluster/router/process.py` does, with the simulated network in place of sockets. It decides nothing; only sometimes
it hands a request to another replica than the router chose, as one would whose news of the leader is old.

A client's connection has an identity of its own (`SimTransport` makes a new one each time). A router learns a while later that
one is gone, or finds out when it has something to deliver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from ocelog.client.protocol import frames
from ocelog.client.protocol.frames import Frame, Item
from ocelog.cluster.config import LoggingSection
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.router.core import Router

from .host import CLUSTER_ID, Host
from .network import Frames, Network, host_name
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan

HEARTBEAT = 3 * SECOND // 2
"""A connection over which nothing passes for two of these is lost for both ends."""


class SimRouter:
    """Router `number`; `core` is None while its process is down. `connections` are those that it believes to stand."""

    def __init__(self, number: int, plan: Plan, scheduler: Scheduler, network: Network, hosts: Sequence[Host]) -> None:
        self.number = number
        self.name = f"router-{number}"
        self.plan = plan
        self.scheduler = scheduler
        self.network = network
        self.hosts = hosts
        self.core: Router | None = None
        self.connections: dict[bytes, Callable[[], None]] = {}
        self._linked: list[bool] = []
        self._from_clients: list[Frames] = []
        self._from_replicas: list[tuple[int, Frames]] = []
        self._turn_at: float = inf
        self._life = 0
        network.attach(self.name, self._receive)
        for host in hosts:
            host.on_start.append(self._replica_started)
            host.on_stop.append(self._replica_stopped)
        self.start()

    # -- life and death ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin as a new process: it knows no client and no leader."""
        if self.core is not None:
            return
        self.core = Router(self._config(), lambda: None)
        self.core.endpoint = self.name
        self._linked = [False] * len(self.hosts)
        self._life += 1
        for host in self.hosts:
            if host.replica is not None:
                self._replica_started(host)
        self._wake(0)

    def kill(self) -> None:
        """The process is gone, and its clients find out sooner or later."""
        if self.core is None:
            return
        self.scheduler.note(f"{self.name} is killed")
        self.core = None
        self._life += 1
        self._turn_at = inf
        self._from_clients, self._from_replicas = [], []
        closed, self.connections = self.connections, {}
        for lost in closed.values():
            seen_to_close = self.scheduler.chance(self.plan.gone_notice) or self.scheduler.chance(0.5)
            self.scheduler.after(self.scheduler.between(0, 20 * MS) if seen_to_close else 2 * HEARTBEAT, lost)

    @property
    def listen(self) -> str:
        """Where its clients find it."""
        return f"ipc://{self.name}"

    def _config(self) -> RouterConfig:
        return RouterConfig(
            data="data",
            number=self.number,
            logging=LoggingSection(),
            cluster_id=CLUSTER_ID,
            shards=1,
            replicas=len(self.hosts),
            sockets="sockets",
            listen=self.listen,
            slots=((0, 16383, 0),),
            message_bytes_max=1 << 20,
        )

    # -- connections ---------------------------------------------------------------------------------

    def connect(self, identity: bytes, lost: Callable[[], None]) -> bool:
        """A client connects; False when nobody listens. `lost` is called when this end closes."""
        if self.core is None:
            return False
        self.connections[identity] = lost
        return True

    def disconnect(self, identity: bytes) -> None:
        """The client has closed its end; the router sees it, or finds out when it cannot deliver."""
        if self.connections.pop(identity, None) is not None and self.core is not None and self.scheduler.chance(0.5):
            self.scheduler.after(self.scheduler.between(0, 20 * MS), self._left, self._life, identity)

    def _left(self, life: int, identity: bytes) -> None:
        if life == self._life and self.core is not None:
            self.core.now = self.scheduler.seconds
            self.core.left(identity)
            self._wake(0)

    def _replica_started(self, host: Host) -> None:
        # A process answers its connections some time after it has begun.
        self.scheduler.after(self.scheduler.between(0, 20 * MS), self._link, self._life, host, host.life)

    def _link(self, life: int, host: Host, host_life: int) -> None:
        if life == self._life and host_life == host.life and self.core is not None:
            self._linked[host.member] = True
            self.core.now = self.scheduler.seconds
            self.core.connected(host.member)
            self._wake(0)

    def _replica_stopped(self, host: Host) -> None:
        if self.core is not None and self._linked[host.member]:
            self._linked[host.member] = False
            self.scheduler.after(self.scheduler.between(0, 5 * MS), self._unlink, self._life, host.member)

    def _unlink(self, life: int, member: int) -> None:
        if life == self._life and self.core is not None and not self._linked[member]:
            self.core.now = self.scheduler.seconds
            self.core.disconnected(member)
            self._wake(0)

    # -- the loop ------------------------------------------------------------------------------------

    def _receive(self, source: str, frames_in: Frames) -> None:
        if self.core is None:
            return
        if source.startswith("replica"):
            self._from_replicas.append((int(source.rpartition("-")[2]), frames_in))
        elif frames_in[0] in self.connections:
            self._from_clients.append(frames_in)
        self._wake(self.scheduler.between(0, 100))

    def _wake(self, delay: int) -> None:
        at = self.scheduler.now + max(0, delay)
        if at < self._turn_at:
            self._turn_at = at
            self.scheduler.after(delay, self._turn, self._life, at)

    def _turn(self, life: int, at: int) -> None:
        core = self.core
        if core is None or life != self._life or at != self._turn_at:
            return
        self._turn_at = inf
        core.now = self.scheduler.seconds
        from_clients, self._from_clients = self._from_clients, []
        for identity, *parts in from_clients:
            core.from_client(identity, list(parts))
        from_replicas, self._from_replicas = self._from_replicas, []
        for member, bundle in from_replicas:
            core.from_replica(member, bundle)
        core.tick()
        self._send(core)
        core.take_lines()
        self._wake(int((core.next_tick() - core.now) * SECOND) + 1)

    def _send(self, core: Router) -> None:
        outgoing = core.take_for_replicas()
        while outgoing:
            for member, items in outgoing:
                for target, some in self._strayed(member, items):
                    if self._linked[target]:
                        self.network.send(self.name, host_name(target), frames.pack_bundle(some))
                    else:
                        core.not_sent(target, some)
            outgoing = core.take_for_replicas()
        for identity, parts in core.take_for_clients():
            if identity in self.connections:
                self._send_to(identity, parts)
            else:
                core.unreachable(identity)
        if self.core is not None and core.outgoing.leaves:
            self._wake(0)

    def _send_to(self, identity: bytes, parts: Sequence[Frame]) -> None:
        self.network.send(self.name, identity.decode().partition("/")[0], [identity, *parts])

    def _strayed(self, member: int, items: list[Item]) -> list[tuple[int, list[Item]]]:
        """Now and then a client's message goes to another replica than it should."""
        if not self.plan.misdirect:
            return [(member, items)]
        there: dict[int, list[Item]] = {}
        for item in items:
            stray = item.route and self.scheduler.chance(self.plan.misdirect)
            target = self.scheduler.rng.randrange(len(self.hosts)) if stray else member
            there.setdefault(target, []).append(item)
        return list(there.items())
