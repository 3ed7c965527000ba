"""Times to live: how a command that writes says for how long, and when that is over in log time.

A machine asks `due_ms` before it changes anything, since what is no time to live must change nothing, and schedules its
own timer. The timer belongs to the entry of the write, so it is dropped when that is released: an overwrite ends the
time to live of what it replaces.
"""

from __future__ import annotations

from .base import Commit

TTL_MS_MAX = 100 * 365 * 24 * 3600 * 1000
"""The longest time to live: a century, so that no due time leaves 64 bits."""


def due_ms(commit: Commit, ttl_ms: int) -> int:
    """When this is over, in ms since the epoch; 0 for a `ttl_ms` of 0, which means never. Raises TypeError or ValueError."""
    if type(ttl_ms) is not int:
        raise TypeError(f"a time to live is a whole number of ms, not {ttl_ms!r:.60}")
    if not 0 <= ttl_ms <= TTL_MS_MAX:
        raise ValueError(f"a time to live is from 1 to {TTL_MS_MAX} ms, or 0 for ever, not {ttl_ms}")
    return commit.time + ttl_ms if ttl_ms else 0
