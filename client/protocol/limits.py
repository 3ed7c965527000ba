"""The bounds of the protocol, with their units, and the defaults a cluster starts with.

A cluster may be configured with other values; the answer to a register names the ones in force and a
client checks them before it spends a sequence on an operation.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOTS = 16384
"""Number of hash slots; a constant of the format, see `routing.slot_of`."""

UNCOPIED_BYTES_MIN = 64 * 1024
"""Bodies of at least this many bytes travel as a frame of their own (below, copying is as fast)."""

ITEMS_MAX = 65536
"""Array elements plus map entries one operation may hold; bounds what decoding may allocate."""

CLIENT_ID_BYTES_MAX = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one cluster accepts. Every field is a count or a number of bytes, or milliseconds where named so."""

    operation_bytes_max: int = 1024 * 1024
    operations_max: int = 1024
    message_bytes_max: int = 8 * 1024 * 1024
    in_flight_max: int = 4096
    nesting_max: int = 32
    name_bytes_max: int = 255
    events_max: int = 10_000
    event_bytes_max: int = 16 * 1024 * 1024
    session_timeout_ms_min: int = 1000
    session_timeout_ms_max: int = 3_600_000

    def as_dict(self) -> dict[str, int]:
        """The fields by name, as the register answer carries them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, fields: dict[str, int]) -> Limits:
        """Read a register answer; fields a newer server added are ignored (docs/protocol.md, Evolution)."""
        return cls(**{name: int(fields[name]) for name in cls.__slots__ if name in fields})
