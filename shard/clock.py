"""The clocks of a replica: log time, which a leader writes into entries, and the clock that leases go by.

Log time is in ms since the epoch. It advances by the leader's monotonic clock, is drawn toward its wall clock at a
bounded rate, and never jumps, runs back or stands still, whatever the wall clock does. Followers take it from the
entries.
"""

from __future__ import annotations

import time

DRAW_PARTS = 10
"""Log time runs at most one tenth faster or slower than the monotonic clock while it is drawn to the wall clock."""


def lease_clock_ms() -> int:
    """Milliseconds since the machine started, suspended or not; nobody sets this clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class LogClock:
    """Holds the last log time and the monotonic time (ms) at which it was given."""

    def __init__(self) -> None:
        self._last = 0
        self._at_monotonic: int | None = None
        self._undrawn = 0

    def begin_term(self, last_entry_time: int, monotonic_ms: int) -> None:
        """Continue from the newest entry of the log; what passed before this term is not counted."""
        self._last = last_entry_time
        self._at_monotonic = monotonic_ms

    def time(self, monotonic_ms: int, wall_ms: int) -> int:
        """The time for entries appended now."""
        if self._last == 0:
            self._last = wall_ms
        if self._at_monotonic is None:
            self._at_monotonic = monotonic_ms
        elapsed = monotonic_ms - self._at_monotonic
        if elapsed > 0:
            self._at_monotonic = monotonic_ms
            # The rest is kept: a busy leader asks every few milliseconds, and would never be drawn at all.
            draw, self._undrawn = divmod(self._undrawn + elapsed, DRAW_PARTS)
            self._last += elapsed + max(-draw, min(draw, wall_ms - self._last - elapsed))
        return self._last
