"""What a load process tells of each operation: one row of five integers, and how a value carries its number.

This module knows neither numpy nor the client: load processes write rows, the checker reads them, and both agree here.

Invariants: every operation that may have changed something has a row, also one whose outcome is unknown; numbers are
never used twice in a run, so a value read back names the one operation that wrote it.
"""

from __future__ import annotations

import struct

ROW = struct.Struct("<5q")
"""key (index into the run's keys), number written, number read, started, finished (ns of the monotonic clock)."""

COLUMNS = ("key", "wrote", "read", "started", "finished")

ABSENT = -1
"""Read: the key had no value."""

NOTHING = -2
"""Wrote: the operation writes nothing. Read: it returned nothing, its outcome is unknown."""

FOREIGN = -3
"""Read: a value that no process of this run made."""

REMOVED = -4
"""Wrote: the operation removes the key; what it read is the value it took away."""

NEVER = 1 << 62
"""Finished: the outcome is unknown, so the operation may take effect at any later time."""

NUMBER_BYTES = 8
SOURCE_SHIFT = 40


def first_number(source: int) -> int:
    """The first of the numbers that process `source` may write; it has 2^40 of its own."""
    return source << SOURCE_SHIFT


class Values:
    """Values of `value_bytes` bytes that carry a number, and the way back. Raises ValueError below 8 bytes."""

    def __init__(self, value_bytes: int) -> None:
        if value_bytes < NUMBER_BYTES:
            raise ValueError(f"a value carries its number in {NUMBER_BYTES} bytes, so {value_bytes} are too few")
        self.value_bytes = value_bytes
        self.padding = bytes(i * 167 % 251 for i in range(value_bytes - NUMBER_BYTES))

    def make(self, number: int) -> bytes:
        """The value that stands for `number`."""
        return number.to_bytes(NUMBER_BYTES, "big") + self.padding

    def number_of(self, value: object) -> int:
        """The number in a value that was read: ABSENT for None, FOREIGN for anything `make` did not return."""
        if value is None:
            return ABSENT
        if type(value) is not bytes or len(value) != self.value_bytes or value[NUMBER_BYTES:] != self.padding:
            return FOREIGN
        return int.from_bytes(value[:NUMBER_BYTES], "big")
