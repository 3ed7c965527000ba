"""For stories: a calm cluster of three that does only what it is told, with every checker watching.

stage = Stage()
stage.put("k0", 1); stage.compact(); stage.crash_all()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ocelog.shard import peers
from ocelog.shard.housekeeping import CompactionConfig
from ocelog.shard.persist import PersistJob
from ocelog.shard.raft.messages import Install, Message

from .host import CLUSTER_ID, DIRECTORY, Host
from .network import Frames, Weather
from .observer import present
from .rot import damage_at
from .scheduler import MS, SECOND
from .simulation import Simulation
from .workload import Operation

NEVER = 3_600_000
NEVER_HAPPENS = "what was waited for does not happen"
CALM: dict[str, Any] = {
    "members": 3,
    "clients": 1,
    "tick": 50 * MS,
    "election_ticks": 8,
    "append_bytes_max": 4000,
    "inflight_messages_max": 64,
    "segment_bytes_max": 8192,
    "segment_entries_max": 8,
    "in_flight_max": 16,
    "weather": Weather(delay_max=500),
    "sync_min": 300,
    "sync_max": 600,
    "sync_hang": 0.0,
    "start_crash": 0.0,
    "clock_drift": 0.0,
    "session_timeout": 30.0,
    "burst_max": 1,
    "give_up": 0.0,
    "bad_share": 0.0,
    "misdirect": 0.0,
    "lease_share": 0.0,
    "weak_share": 0.0,
    "settle_share": 0.0,
    "listen_share": 0.0,
    "ask_share": 0.0,
    "handle_late": 0.0,
    "handle_never": 0.0,
    "nest": 0.0,
    "routers": 1,
    "router_crash_interval": 0,
    "compaction": CompactionConfig(
        enabled=0,
        minor_interval_ms=NEVER,
        major_interval_ms=NEVER,
        threshold_percent=1,
        lag_bytes_max=0,
        snapshot_items_per_turn=1,
        digest_entries=8,
        scrub_interval_ms=NEVER,
    ),
    "early_effects": 0.0,
    "background_min": 100,
    "background_max": 5 * MS,
    "compaction_min": 100,
    "compaction_max": 20 * MS,
    "compactor_absent": 0.0,
    "compactor_crash": 0.0,
    "part_bytes": 300,
    "window_parts": 2,
    "rot_interval": 0,
}


class Stage:
    """Made with a leader elected and a session open. `overrides` are fields of the plan."""

    def __init__(self, seed: int = 1, **overrides: Any) -> None:
        self.simulation = Simulation(seed, overrides={**CALM, **overrides})
        self.scheduler = self.simulation.scheduler
        self.network = self.simulation.network
        self.hosts = self.simulation.hosts
        self.observer = self.simulation.observer
        self.client = self.simulation.clients[0]
        self.client.working = False
        self._serial = 1_000_000
        self.run_until(lambda: self.client.workload.open == set())

    # -- time ----------------------------------------------------------------------------------------

    def run(self, duration: int) -> None:
        """Let so much virtual time pass."""
        with self.simulation.tiny_limits():
            self.scheduler.run_until(self.scheduler.now + duration)

    def run_until(self, condition: Callable[[], bool], most: int = 8 * SECOND) -> None:
        """Let time pass until `condition` holds. Raises AssertionError if it does not for so long."""
        deadline = self.scheduler.now + most
        with self.simulation.tiny_limits():
            while not condition():
                assert self.scheduler.now < deadline, NEVER_HAPPENS
                self.scheduler.run_until(self.scheduler.now + MS)

    # -- who -----------------------------------------------------------------------------------------

    @property
    def leader(self) -> Host:
        """The one that leads, in the highest term if there are two."""
        leading = [host for host in self.hosts if host.leads]
        assert leading, "nobody leads"
        return max(leading, key=lambda host: host.replica.core.term)

    @property
    def followers(self) -> list[Host]:
        """The others that run."""
        return [host for host in self.hosts if host is not self.leader and host.replica is not None]

    # -- what clients do -----------------------------------------------------------------------------

    def do(self, resource: str, *parts: Any) -> Any:
        """Run one command to its end; returns its result."""
        operation = self.begin(resource, *parts)
        self.run_until(lambda: operation not in self.client.workload.open)
        assert operation.call.error is None, operation.call.error
        return operation.call.result

    def begin(self, resource: str, *parts: Any) -> Operation:
        """Send one command."""
        operation = self.client.submit(resource, parts)
        self.client.act()
        return operation

    def get(self, resource: str, *parts: Any) -> Any:
        """Ask; returns the answer."""
        operation = self.client.submit(resource, ("get", *parts), is_query=True)
        self.client.act()
        self.run_until(lambda: operation not in self.client.workload.open)
        assert operation.call.error is None, operation.call.error
        return operation.call.result

    def fill(self, segments: int = 2) -> None:
        """Write so much that so many segments are full; one key, so that almost all of it is dead at once."""
        self.put("filler", segments * self.simulation.plan.segment_entries_max)

    def put(self, key: str, count: int = 1) -> None:
        """Write a key so many times, each time with another value."""
        for _ in range(count):
            self.do("map", "put", key.encode(), self.value())

    def value(self) -> bytes:
        """One that no other command writes."""
        self._serial += 1
        return b"v%d" % self._serial

    # -- what is kept --------------------------------------------------------------------------------

    def compact(self, *hosts: Host) -> None:
        """A snapshot and a major compaction on these hosts, on all by default, to the end."""
        self._ask(hosts or tuple(self.hosts), major=True)

    def snapshot(self, *hosts: Host) -> None:
        """A snapshot alone."""
        self._ask(hosts or tuple(self.hosts), snapshot_only=True)

    def _ask(self, hosts: tuple[Host, ...], **kind: bool) -> None:
        runs = {host.member: host.replica.housekeeping.ask(**kind) for host in hosts}
        self.run_until(lambda: all(host.replica.housekeeping.runs >= runs[host.member] for host in hosts))

    def holds(self, host: Host) -> list[int]:
        """Indexes of the entries that a host has."""
        return [index for index, _ in present(host.replica.log, host.replica.log.last_index)]

    def left_behind(self) -> Host:
        """A follower that is down, and lacks what the others have compacted since."""
        behind = self.followers[0]
        self.put("k0")
        behind.kill(power_loss=False)
        for number in range(12):
            self.put(f"k{number}")
        self.fill()
        self.compact(*[host for host in self.hosts if host is not behind])
        return behind

    def parts_to(self, host: Host, number: int) -> Callable[[str, str, Frames], bool]:
        """Parks the parts of installs for this host, from so many on."""
        seen = 0

        def parks(source: str, to: str, frames: Frames) -> bool:
            nonlocal seen
            seen += installs_to(host)(source, to, frames)
            return seen > number and installs_to(host)(source, to, frames)

        return parks

    def settle(self, most: int = 8 * SECOND) -> None:
        """All replicas run, and have applied the same."""
        self.run_until(self.simulation.converged, most)

    def crash_all(self, *, power_loss: bool = True) -> None:
        """All replicas die at once and come back."""
        for host in self.hosts:
            host.kill(power_loss=power_loss)
        for host in self.hosts:
            host.start()
        self.settle()

    def kill_in_job(self, host: Host, wanted: Callable[[PersistJob], bool], operations: int, power_loss: bool) -> None:
        """Kill a host in the middle of its next persist job that is `wanted`, after so many operations of the disk.

        Then it comes back, and all settle.
        """
        self.slow_disk(host, 20 * MS)
        begun: list[PersistJob] = []
        host.on_turn.append(
            lambda _, turn: begun.append(turn.job) if turn.job is not None and wanted(turn.job) else None
        )
        self.run_until(lambda: bool(begun))
        host.on_turn.pop()
        host.kill(power_loss=power_loss, operations=operations)
        host.start()
        self.settle()

    def rot(self, host: Host, path: str, offset: int) -> None:
        """One byte of a file in the host's directory changes, on the disk and for whoever has it mapped."""
        host.note_rot(damage_at(host.disk, f"{DIRECTORY}/{path}", offset))

    def slow_disk(self, host: Host, duration: int) -> None:
        """From now on the syncs of this host take so long."""
        host.jobs.plan = replace(host.plan, sync_min=duration, sync_max=duration)


def message_of(frames: Frames) -> Message | None:
    """What a parked message between replicas says; None for one of a client."""
    for member in range(3):
        identity = peers.PeerIdentity(cluster_id=CLUSTER_ID, shard=0, member=member, incarnation=1)
        try:
            return peers.decode(frames, identity)
        except peers.BadFrame:
            continue
    return None


def whole_install(parked: Sequence[tuple[str, str, Frames]]) -> bool:
    """Whether the last part of an install is among these messages."""
    parts = [message for *_, frames in parked if isinstance(message := message_of(frames), Install)]
    return any(part.position + len(part.entries.data) == part.snapshot_bytes + part.entry_bytes for part in parts)


def installs_to(host: Host) -> Callable[[str, str, Frames], bool]:
    """Parks the parts of installs for this host."""
    return lambda source, to, frames: to == host.name and isinstance(message_of(frames), Install)
