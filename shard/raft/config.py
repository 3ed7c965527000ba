"""The settings of the core. Times are ticks: the core has no clock, and the process decides how long a tick lasts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RaftConfig:
    """Settings of one member's core; equal in the whole cluster.

    heartbeat_ticks        An idle leader is heard from this often.
    election_ticks         The minimal election timeout. A follower waits a time drawn from [election_ticks,
                           2 * election_ticks) for its leader; a leader that heard no majority for election_ticks steps
                           down; a member that heard a leader within election_ticks grants no vote.
    append_bytes_max       Bytes of entries in one Append (a single larger entry still travels, alone).
    inflight_messages_max  Appends that may be unanswered per follower.
    inflight_bytes_max     Bytes of entries that may be unanswered per follower; the last Append may reach past it.
    clock_drift_percent    How much faster one member's clock may run than another's; leases are shorter by so much.

    Raises ValueError naming the field, its value and the bound.
    """

    heartbeat_ticks: int = 2
    election_ticks: int = 20
    append_bytes_max: int = 1 << 20
    inflight_messages_max: int = 64
    inflight_bytes_max: int = 8 << 20
    clock_drift_percent: int = 5

    def __post_init__(self) -> None:
        self._at_least("heartbeat_ticks", 1)
        # Two heartbeats may be lost before anyone doubts the leader.
        self._at_least("election_ticks", 3 * self.heartbeat_ticks, " (3 * heartbeat_ticks)")
        self._at_least("append_bytes_max", 1)
        self._at_least("inflight_messages_max", 1)
        self._at_least("inflight_bytes_max", self.append_bytes_max, " (append_bytes_max)")
        self._at_least("clock_drift_percent", 0)

    def _at_least(self, field: str, bound: int, bound_name: str = "") -> None:
        value = getattr(self, field)
        if not isinstance(value, int) or value < bound:
            raise ValueError(f"{field} is {value!r}, but must be an integer of at least {bound}{bound_name}")
