"""What to do when a child process has ended: start it again, and when, or leave it down, and why.

A pure function of how it ended and how often it did so before; clocks and processes are elsewhere.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

DELAY_S_FIRST = 0.1
DELAY_S_MAX = 10.0
STABLE_S = 30.0
"""A process that was up for this long starts again with the first delay."""
FAILED_STARTS_MAX = 5
"""So many starts in a row without ever being up, and no more are tried."""

STAYS_DOWN = {
    os.EX_DATAERR: "its data is damaged",
    os.EX_CANTCREAT: "its directory is in use by another process",
    os.EX_CONFIG: "its configuration was refused",
}
"""Exit codes after which another start can only fail again, or do harm."""

FIRST_START_STAYS_DOWN = {
    os.EX_USAGE: "its arguments were refused",
    os.EX_UNAVAILABLE: "something it needs is not available",
    os.EX_NOPERM: "it lacks a permission",
}
"""The same for a process that has never been up; one that has may find things in order a moment later."""


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended: its exit code (negative: the signal that killed it) and what came before.

    `failures` counts the ends since it was last up for `STABLE_S` seconds, this one excluded.
    """

    code: int
    uptime_s: float
    ever_ready: bool
    failures: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`delay_s` until the next start, None to leave it down and `reason` why; `failures` for the next `Exit`."""

    delay_s: float | None
    failures: int
    reason: str = ""


def after_exit(end: Exit) -> Decision:
    """Decide about a process that nobody asked to stop. Delays double from one failure to the next."""
    failures = 1 if end.ever_ready and end.uptime_s >= STABLE_S else end.failures + 1
    reason = STAYS_DOWN.get(end.code, "")
    if not reason and not end.ever_ready:
        reason = FIRST_START_STAYS_DOWN.get(end.code, "")
        if not reason and failures >= FAILED_STARTS_MAX:
            reason = f"{failures} starts failed"
    if reason:
        return Decision(delay_s=None, failures=failures, reason=reason)
    delay = min(DELAY_S_FIRST * 2.0 ** min(failures - 1, 32), DELAY_S_MAX)
    return Decision(delay_s=delay, failures=failures)


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
