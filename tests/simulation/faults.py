"""Makes the faults of a plan happen: each kind waits its random while, strikes, and waits again, until `stop`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .client import SimClient
from .host import Host
from .membership import Operator
from .network import Network, Weather
from .router import SimRouter
from .scheduler import MS, Scheduler
from .swarm import Plan


class Faults:
    """The faults of one run. `stop` ends them, heals everything and starts everyone."""

    def __init__(
        self,
        plan: Plan,
        scheduler: Scheduler,
        network: Network,
        hosts: Sequence[Host],
        clients: Sequence[SimClient],
        routers: Sequence[SimRouter],
    ) -> None:
        self.plan = plan
        self.scheduler = scheduler
        self.network = network
        self.hosts = hosts
        self.clients = clients
        self.routers = routers
        self.over = False
        self.strikes = 0
        self._every(plan.crash_interval, self._crash)
        self._every(plan.pause_interval, self._pause)
        self._every(plan.cut_interval, self._cut)
        self._every(plan.clock_jump_interval, self._clock_jump)
        self._every(plan.full_disk_interval, self._full_disk)
        self._every(plan.client_pause_interval, self._pause_client)
        self._every(plan.client_restart_interval, self._restart_client)
        self._every(plan.router_crash_interval, self._crash_router)
        self._every(plan.ask_interval, self._ask)
        self._every(plan.wipe_interval, self._wipe)
        self._every(plan.rot_interval, self._rot)
        self.operator = Operator(scheduler, hosts)
        self._every(plan.change_interval, self.operator.change_something)

    def _every(self, interval: int, strike: Callable[[], None]) -> None:
        if interval:
            self.scheduler.after(
                self.scheduler.between(interval // 4, interval * 7 // 4), self._strike, interval, strike
            )

    def _strike(self, interval: int, strike: Callable[[], None]) -> None:
        if not self.over:
            self.strikes += 1
            if self.strikes not in self.plan.skipped_faults:
                strike()
            self._every(interval, strike)

    def _victim(self) -> Host:
        """Leaders are the more interesting victims."""
        leaders = [host for host in self.hosts if host.leads]
        return self.scheduler.rng.choice(leaders if leaders and self.scheduler.chance(0.5) else list(self.hosts))

    def _crash(self) -> None:
        victims = list(self.hosts) if self.scheduler.chance(self.plan.blackout) else [self._victim()]
        power_loss = self.scheduler.chance(self.plan.power_loss)
        for host in victims:
            if host.replica is not None:
                self.crash(host, power_loss=power_loss)

    def crash(self, host: Host, *, power_loss: bool) -> None:
        """Kill one replica, let its peers see the connection close or not, and start it again later."""
        host.kill(power_loss=power_loss)
        self._break_connections([host.name], dead=host.member)
        self.scheduler.after(self.scheduler.between(20 * MS, self.plan.down_max), host.start)

    def _break_connections(self, group: Sequence[str], dead: int | None = None) -> None:
        """Let the replicas on both sides see that their connections closed, or leave them to find out by silence.

        Of a process that has ended the others may learn just that.
        """
        if dead is not None and self.scheduler.chance(self.plan.gone_notice):
            for host in self.hosts:
                if host.member != dead:
                    self.scheduler.after(self.scheduler.between(0, 20 * MS), host.peer_died, dead)
        if self.scheduler.chance(self.plan.gone_notice):
            for host in self.hosts:
                for other in self.hosts:
                    if (host.name in group) != (other.name in group):
                        self.scheduler.after(self.scheduler.between(0, 20 * MS), host.peer_gone, other.member)

    def _pause(self) -> None:
        self._victim().pause(self.scheduler.between(50 * MS, self.plan.pause_max))

    def _cut(self) -> None:
        """Separate some replicas, or one client, from the rest, in both directions or in one.

        Often the clients still reach everybody: then a cut-off leader goes on collecting what it cannot commit.
        """
        rng = self.scheduler.rng
        draw = rng.random()
        if draw < 0.2:
            group = [rng.choice(self.clients).name]
        elif draw < 0.5:
            group = [host.name for host in rng.sample(list(self.hosts), rng.randint(1, len(self.hosts)))]
        else:
            group = [self._victim().name]
        others = [name for name in self.network.names if name not in group]
        if rng.random() < 0.5:
            others = [name for name in others if name.startswith("replica")]
        else:
            joining = [client.name for client in self.clients if client.name in others and rng.random() < 0.4]
            group += joining
            others = [name for name in others if name not in joining]
        inward, outward = (True, True)
        if self.scheduler.chance(self.plan.one_way):
            inward = rng.random() < 0.5
            outward = not inward
        self.scheduler.note(f"cut off: {', '.join(group)}, in {inward}, out {outward}")
        self.network.separate(group, others, inward=inward, outward=outward)
        self._break_connections(group)
        self.scheduler.after(self.scheduler.between(50 * MS, self.plan.cut_max), self.network.heal)

    def _clock_jump(self) -> None:
        host = self._victim()
        host.wall_offset_ms += self.scheduler.rng.choice((-3_600_000, -500, 500, 3_600_000))

    def _full_disk(self) -> None:
        """One disk, or the one that all replicas share; what is removed then makes room, or somebody else takes that too."""
        victims = list(self.hosts) if self.scheduler.chance(0.3) else [self._victim()]
        duration = self.scheduler.between(100 * MS, self.plan.full_disk_max)
        for host in victims:
            self.scheduler.note(f"the disk of {host.name} is full")
            host.disk.capacity = host.disk.used_bytes if self.scheduler.chance(0.7) else 0
            self.scheduler.after(duration, self._free_disk, host)

    def _free_disk(self, host: Host) -> None:
        host.disk.capacity = host.disk_bytes

    def _pause_client(self) -> None:
        client = self.scheduler.rng.choice(self.clients)
        client.pause(self.scheduler.between(50 * MS, int(1.5e6 * self.plan.session_timeout)))

    def _restart_client(self) -> None:
        client = self.scheduler.rng.choice(self.clients)
        self.scheduler.rng.choice((client.reconnect, client.restart, client.close))()

    def _crash_router(self) -> None:
        """A router dies and is started again."""
        router = self.scheduler.rng.choice(self.routers)
        router.kill()
        self.scheduler.after(self.scheduler.between(20 * MS, self.plan.down_max), router.start)

    def _ask(self) -> None:
        """Somebody asks a replica for a snapshot, or for a compaction of either kind."""
        replica = self._victim().replica
        if replica is not None:
            kind = self.scheduler.rng.choice(({"snapshot_only": True}, {"major": True}, {}))
            replica.housekeeping.ask(**kind)

    def _wipe(self) -> None:
        """A member loses its files."""
        victim = self._victim()
        if self._may_lose(victim):
            self.scheduler.note(f"{victim.name} loses its files")
            victim.wipe()
            self.scheduler.after(self.scheduler.between(20 * MS, self.plan.down_max), victim.start)

    def _rot(self) -> None:
        """One member's disk goes bad in one place."""
        victim = self._victim()
        if self._may_lose(victim):
            victim.rot()

    def _may_lose(self, victim: Host) -> bool:
        """Whether a majority of the voters has sound files without this one, in whichever configuration counts."""
        for configuration in [host.configuration for host in self.hosts]:
            left = [host for host in self.hosts if host is not victim and host.counts_in(configuration)]
            if 2 * len(left) <= len(configuration.voters):
                return False
        return True

    def stop(self) -> None:
        """No more faults: everything is healed, everybody runs."""
        self.over = True
        self.network.heal()
        self.network.weather = Weather()
        for host in self.hosts:
            self._free_disk(host)
            host.compactor.plan = replace(self.plan, compactor_absent=0.0, compactor_crash=0.0)
            host.paused_until = min(host.paused_until, self.scheduler.now)
            host.start()
        self.operator.repair()
        for router in self.routers:
            router.start()
        for client in self.clients:
            client.paused_until = min(client.paused_until, self.scheduler.now)
