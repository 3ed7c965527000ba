"""When a replica takes snapshots, compacts and reads its files again."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class CompactionConfig:
    """A replica's part of the section [compaction] of the settings.

    enabled                  0: only when somebody asks.
    threshold_percent        A minor compaction rewrites a segment whose dead part, times its version, is at least this.
    lag_bytes_max            A leader leaves segments alone that an available member still needs, until it lags by more.
    disk_ratio_percent       Log bytes over live bytes beyond which a run begins at once.
    scrub_interval_ms        A sealed segment is read and checked this often.
    snapshot_items_per_turn  Sessions and resources captured in one turn.
    digest_entries           Members compare digests at multiples of this index.

    Raises ValueError naming field, value and bound.
    """

    enabled: int = 1
    minor_interval_ms: int = 60_000
    major_interval_ms: int = 3_600_000
    threshold_percent: int = 50
    lag_bytes_max: int = 256 << 20
    disk_ratio_percent: int = 300
    scrub_interval_ms: int = 60_000
    snapshot_items_per_turn: int = 256
    digest_entries: int = 65_536

    def __post_init__(self) -> None:
        for field in fields(self):
            value, bound = getattr(self, field.name), 0 if field.name in ("enabled", "lag_bytes_max") else 1
            if value < bound:
                raise ValueError(f"{field.name} is {value}, and must be at least {bound}")
