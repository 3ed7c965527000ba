"""Plans narrowed to what one subject needs: for mutants that take a rare constellation, and for campaigns.

python -m tests.simulation --seeds 0:1000 --profile behind
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .scheduler import MS, SECOND
from .swarm import EAGER

ALONE: dict[str, Any] = {"resource_share": 0.0, "request_share": 0.0}
"""Maps, counters and leases only, which the model reads for itself."""

BUSY: dict[str, Any] = {
    **ALONE,
    "members": 3,
    "compaction": EAGER,
    "segment_entries_max": 16,
    "clients": 3,
    "think_max": 60_000,
    "burst_max": 4,
    "in_flight_max": 16,
    "query_share": 0.1,
    "compactor_absent": 0.0,
    "compactor_crash": 0.0,
}
"""Much is written, overwritten and compacted."""

BEHIND: dict[str, Any] = {**BUSY, "cut_interval": SECOND, "cut_max": 3 * SECOND, "one_way": 0.0}
"""And members fall behind, so that installs are needed."""

CRASHING: dict[str, Any] = {**BUSY, "crash_interval": SECOND // 2, "power_loss": 0.5, "down_max": 200 * MS}
"""And everybody crashes often."""

LOST: dict[str, Any] = {**BEHIND, "wipe_interval": SECOND // 2, "crash_interval": SECOND, "down_max": 200 * MS}
"""And members lose their files."""

ROTTEN: dict[str, Any] = {**CRASHING, "rot_interval": SECOND // 4, "wipe_interval": 0}
"""Damaged files, read again after each of many crashes."""

CHANGING: dict[str, Any] = {**BEHIND, "members": 5, "change_interval": SECOND // 4, "wipe_interval": 2 * SECOND}
"""Members come and go while others are behind or lost."""

LEASES: dict[str, Any] = {**CRASHING, "lease_share": 0.9, "session_timeout": 1.0, "client_restart_interval": SECOND}
"""Timers, owners and sessions that end, rebuilt again and again."""

EVENTS: dict[str, Any] = {
    **ALONE,
    "members": 3,
    "clients": 3,
    "routers": 2,
    "think_max": 100_000,
    "burst_max": 4,
    "in_flight_max": 16,
    "query_share": 0.2,
    "readers": 0.0,
    "give_up": 0.02,
    "listen_share": 0.15,
    "settle_share": 0.6,
    "weak_share": 0.6,
    "ask_share": 0.05,
    "handle_late": 0.2,
    "handle_max": 300 * MS,
    "handle_never": 0.002,
    "nest": 0.1,
    "session_timeout": 2.0,
    "crash_interval": 2 * SECOND,
    "down_max": 500 * MS,
    "router_crash_interval": 2 * SECOND,
    "client_restart_interval": 3 * SECOND,
}
"""Everybody listens, handles late or hangs, and waits for the others, while leaders and routers die."""

READS: dict[str, Any] = {
    **ALONE,
    "members": 3,
    "clients": 4,
    "think_max": 60_000,
    "burst_max": 4,
    "in_flight_max": 16,
    "keys": 2,
    "lease_share": 0.0,
    "query_share": 0.6,
    "readers": 0.4,
    "weak_share": 0.9,
    "give_up": 0.0,
    "cut_interval": SECOND,
    "cut_max": 3 * SECOND,
    "pause_interval": SECOND,
    "pause_max": 3 * SECOND,
    "clock_drift": 0.02,
    "clock_jump_interval": SECOND,
}
"""Reads at every level, of replicas that are cut off, paused, and have clocks of their own."""

RESOURCES: dict[str, Any] = {
    **BUSY,
    "think_max": 200_000,
    "routers": 2,
    "lease_share": 0.2,
    "resource_share": 0.8,
    "delete_share": 0.04,
    "request_share": 0.5,
    "listen_share": 0.1,
    "settle_share": 0.2,
    "weak_share": 0.5,
    "give_up": 0.1,
    "session_timeout": 2.0,
    "crash_interval": 3 * SECOND,
    "full_disk_interval": 0,
    "sync_max": 20 * MS,
    "down_max": 500 * MS,
    "client_restart_interval": 3 * SECOND,
}
"""The machines that people reach for: clients that wait at them, hold them when they end, and delete them in use."""

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "swarm": {},
    "busy": BUSY,
    "behind": BEHIND,
    "crashing": CRASHING,
    "lost": LOST,
    "rotten": ROTTEN,
    "changing": CHANGING,
    "leases": LEASES,
    "events": EVENTS,
    "reads": READS,
    "resources": RESOURCES,
}
