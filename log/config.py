"""When a segment is full, and what is kept in reserve."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
SEGMENT_BYTES_MIN = 4096
SEGMENT_BYTES_LIMIT = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Raises ValueError naming field, value and bound.

    `reserve`: whether a file of `segment_bytes_max` is kept allocated, whose room a full disk can still be compacted with.
    """

    segment_bytes_max: int = 64 * MIB
    segment_entries_max: int = 1 << 20
    reserve: bool = True

    def __post_init__(self) -> None:
        bounds = {"segment_bytes_max": (SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT), "segment_entries_max": (1, 1 << 28)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, and must be between {low} and {high}")
