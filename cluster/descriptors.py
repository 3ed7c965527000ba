"""How many files a process may have open: checked before anything is started, and raised as far as this user may.

A router has a connection for each client, a replica a file for each segment; children inherit what the supervisor may. A
process that runs out later refuses connections without a word or stops in the middle of its work.
"""

from __future__ import annotations

import os
import resource

from .errors import StartFailed

NEEDED = 256
"""Below this not even a cluster of one shard runs for long."""

WANTED = 65_536
"""Enough for as many clients as a router serves."""


def raise_limit() -> int:
    """Allow this process, and all that it starts, as many open files as its hard limit lets it; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def check() -> None:
    """Raises StartFailed when fewer open files are allowed than a cluster needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < NEEDED:
        raise StartFailed(
            f"a cluster needs {NEEDED} open files in each process, and {soft} are allowed here: raise the limit (ulimit -n)",
            exit_code=os.EX_UNAVAILABLE,
        )
