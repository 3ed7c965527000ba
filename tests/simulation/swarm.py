"""What one seed is about: the size of everything and which faults happen how often, drawn at random.

Each fault is left out of about half the seeds (swarm testing, Groce et al., 2012): faults hide each other, and a cluster that is
always crashing never gets far enough to break in another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from ocelog.shard.housekeeping import CompactionConfig
from ocelog.shard.machines.registry import registry

from .network import Weather
from .scheduler import MS, SECOND


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One seed's cluster, load and faults. Times in microseconds; an interval of 0 means never; probabilities 0..1.

    No seed draws the last two, which make a failure smaller: so many operations are begun and no more (0: no bound), and
    the faults with these numbers, counted from 1 in the order in which they would strike, do not.
    """

    members: int
    duration: int
    tick: int
    election_ticks: int
    heartbeat_ticks: int
    append_bytes_max: int
    inflight_messages_max: int
    segment_bytes_max: int
    segment_entries_max: int
    apply_entries_max: int
    in_flight_max: int
    weather: Weather
    sync_min: int
    sync_max: int
    sync_hang: float
    crash_interval: int
    power_loss: float
    down_max: int
    blackout: float
    start_crash: float
    pause_interval: int
    pause_max: int
    cut_interval: int
    cut_max: int
    one_way: float
    clock_drift: float
    clock_jump_interval: int
    full_disk_interval: int
    full_disk_max: int
    gone_notice: float
    clients: int
    client_pause_interval: int
    client_restart_interval: int
    session_timeout: float
    think_max: int
    burst_max: int
    keys: int
    query_share: float
    readers: float
    give_up: float
    bad_share: float
    misdirect: float
    lease_share: float
    compaction: CompactionConfig
    early_effects: float
    background_min: int
    background_max: int
    compaction_min: int
    compaction_max: int
    compactor_absent: float
    compactor_crash: float
    ask_interval: int
    part_bytes: int
    window_parts: int
    restore_entries_max: int
    run_spacing_ms: int
    wipe_interval: int
    change_interval: int
    rot_interval: int
    routers: int
    router_crash_interval: int
    weak_share: float
    settle_share: float
    listen_share: float
    ask_share: float
    handle_late: float
    handle_max: int
    handle_never: float
    nest: float
    resource_share: float
    machines: tuple[str, ...]
    delete_share: float
    request_share: float
    operations_max: int = 0
    skipped_faults: tuple[int, ...] = ()


class Draw:
    """What the seed's randomness gives. The order of all draws is what a seed means, so each subject is asked in its turn."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.choice = rng.choice

    def sometimes(self, low: int, high: int) -> int:
        """A number from low to high, or 0 in half of the seeds: then what it is for never happens."""
        return self.rng.randint(low, high) if self.rng.random() < 0.5 else 0

    def share(self, high: float) -> float:
        """A probability up to high, or 0 in half of the seeds."""
        return self.rng.random() * high if self.rng.random() < 0.5 else 0.0


def draw(rng: Random) -> Plan:
    """Draw the plan of one seed."""
    draw = Draw(rng)
    sync_min = draw.choice((50, 300, 2000))
    clients = rng.randint(1, 4)
    burst_max = draw.choice((1, 4, 12))
    operations_per_second = draw.choice((20, 60, 200))
    return Plan(
        **_shard(draw),
        **_network(draw),
        **_disk(draw, sync_min),
        **_processes(draw),
        **_cuts_and_clocks(draw),
        **_clients(draw, clients, burst_max, operations_per_second),
        **_compaction_and_installs(draw),
        **_members(draw),
        **_events(draw),
        **_resources(_beside(rng)),
    )


Fields = dict[str, Any]
"""Some of the fields of a plan."""


def _beside(rng: Random) -> Draw:
    """Draws that take nothing from the seed's own: what was added later leaves the meaning of a seed as it was."""
    beside = Random()
    beside.setstate(rng.getstate())
    return Draw(beside)


def _shard(draw: Draw) -> Fields:
    return {
        "members": draw.choice((3, 3, 3, 3, 3, 5, 5, 1)),
        "duration": draw.rng.randint(5, 11) * SECOND,
        "tick": 50 * MS,
        "election_ticks": draw.rng.randint(6, 14),
        "heartbeat_ticks": 2,
        "append_bytes_max": draw.choice((200, 600, 4000)),
        "inflight_messages_max": draw.choice((1, 2, 8, 64)),
        "segment_bytes_max": draw.choice((4096, 8192, 16384)),
        "segment_entries_max": draw.choice((16, 64, 1 << 20)),
        "apply_entries_max": draw.choice((3, 40, 4000)),
        "in_flight_max": draw.choice((2, 4, 16)),
    }


def _network(draw: Draw) -> Fields:
    weather = Weather(
        loss=draw.share(0.2),
        repeat=draw.share(0.2),
        late=draw.share(0.2),
        delay_max=draw.choice((200, 2 * MS, 20 * MS, 60 * MS)),
        late_max=draw.choice((20 * MS, 200 * MS, 3 * SECOND)),
        reorders=draw.rng.random() < 0.5,
    )
    return {"weather": weather}


def _disk(draw: Draw, sync_min: int) -> Fields:
    return {
        "sync_min": sync_min,
        "sync_max": sync_min * draw.choice((1, 4, 40)),
        "sync_hang": draw.share(0.02),
    }


def _processes(draw: Draw) -> Fields:
    return {
        "crash_interval": draw.sometimes(SECOND // 2, 4 * SECOND),
        "power_loss": draw.choice((0.0, 0.5, 1.0)),
        "down_max": draw.choice((200 * MS, 3 * SECOND)),
        "blackout": draw.choice((0.0, 0.0, 0.2)),
        "start_crash": draw.share(0.5),
        "pause_interval": draw.sometimes(SECOND, 5 * SECOND),
        "pause_max": draw.choice((300 * MS, 3 * SECOND)),
    }


def _cuts_and_clocks(draw: Draw) -> Fields:
    return {
        "cut_interval": draw.sometimes(SECOND // 2, 3 * SECOND),
        "cut_max": draw.choice((500 * MS, 3 * SECOND)),
        "one_way": draw.choice((0.0, 0.5, 1.0)),
        "clock_drift": draw.share(0.02),
        "clock_jump_interval": draw.sometimes(SECOND, 5 * SECOND),
        "full_disk_interval": draw.sometimes(SECOND, 5 * SECOND),
        "full_disk_max": draw.choice((SECOND, 5 * SECOND)),
        "gone_notice": draw.choice((0.0, 1.0)),
    }


def _clients(draw: Draw, clients: int, burst_max: int, operations_per_second: int) -> Fields:
    return {
        "clients": clients,
        "client_pause_interval": draw.sometimes(2 * SECOND, 6 * SECOND),
        "client_restart_interval": draw.sometimes(2 * SECOND, 8 * SECOND),
        "session_timeout": draw.choice((1.0, 2.0, 30.0)),
        "think_max": clients * (burst_max + 1) * SECOND // operations_per_second,
        "burst_max": burst_max,
        "keys": draw.rng.randint(1, 5),
        "query_share": draw.choice((0.1, 0.3, 0.6)),
        "readers": draw.choice((0.0, 0.4)),
        "give_up": draw.share(0.2),
        "bad_share": draw.share(0.15),
        "misdirect": draw.share(0.1),
        "lease_share": draw.choice((0.0, 0.3, 0.8)),
    }


def _compaction_and_installs(draw: Draw) -> Fields:
    return {
        "compaction": _compaction(draw.rng),
        "early_effects": 0.5,
        "background_min": draw.choice((100, 5 * MS)),
        "background_max": draw.choice((10 * MS, 300 * MS)),
        "compaction_min": draw.choice((100, 20 * MS)),
        "compaction_max": draw.choice((50 * MS, SECOND)),
        "compactor_absent": draw.share(0.3),
        "compactor_crash": draw.share(0.5),
        "ask_interval": draw.sometimes(SECOND // 4, 2 * SECOND),
        "part_bytes": draw.choice((64, 500, 4000)),
        "window_parts": draw.choice((1, 2, 16)),
        "restore_entries_max": draw.choice((1, 7, 4000)),
        "run_spacing_ms": draw.choice((50, 200, 1000)),
    }


def _members(draw: Draw) -> Fields:
    return {
        "wipe_interval": draw.sometimes(2 * SECOND, 6 * SECOND),
        "change_interval": draw.sometimes(SECOND // 2, 3 * SECOND),
        "rot_interval": draw.sometimes(SECOND, 4 * SECOND),
        "routers": draw.choice((1, 1, 2, 3)),
        "router_crash_interval": draw.sometimes(SECOND, 4 * SECOND),
    }


def _events(draw: Draw) -> Fields:
    return {
        "weak_share": draw.choice((0.0, 0.6, 0.9)),
        "settle_share": draw.choice((0.0, 0.3, 0.8)),
        "listen_share": draw.choice((0.0, 0.1, 0.3)),
        "ask_share": draw.share(0.1),
        "handle_late": draw.share(0.3),
        "handle_max": draw.choice((10 * MS, 300 * MS, 2 * SECOND)),
        "handle_never": draw.share(0.02),
        "nest": draw.share(0.3),
    }


def _resources(draw: Draw) -> Fields:
    resource_share = draw.choice((0.0, 0.0, 0.3, 0.8))
    return {
        "resource_share": resource_share,
        "machines": tuple(draw.rng.sample(sorted(registry()), 4)),
        "delete_share": draw.share(0.02),
        "request_share": draw.choice((0.0, 0.5)) if resource_share else 0.0,
    }


EAGER = CompactionConfig(
    minor_interval_ms=200,
    major_interval_ms=1000,
    threshold_percent=1,
    lag_bytes_max=0,
    disk_ratio_percent=110,
    scrub_interval_ms=1000,
    snapshot_items_per_turn=1,
    digest_entries=8,
)
"""One run after the other."""


def _compaction(rng: Random) -> CompactionConfig:
    """Everything tiny, so that runs of seconds see many rounds; with half the seeds mostly on request."""
    eager = rng.random() < 0.5
    return CompactionConfig(
        minor_interval_ms=rng.choice((200, 1000)) if eager else 60_000,
        major_interval_ms=rng.choice((1000, 5000)) if eager else 3_600_000,
        threshold_percent=rng.choice((1, 30, 50, 90)),
        lag_bytes_max=rng.choice((0, 2000, 1 << 20)),
        disk_ratio_percent=rng.choice((110, 300)),
        scrub_interval_ms=rng.choice((200, 60_000)),
        snapshot_items_per_turn=rng.choice((1, 3, 256)),
        digest_entries=rng.choice((8, 64)),
    )
