"""Whether machines of one's own can be had, looked at before anything is started: every replica would fail in turn.

Importing runs the code of whoever wrote them, so it is done in a process of its own, with a deadline.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from .errors import ConfigError

MODULE = "ocelog.shard.machines.loading"
SECONDS_MAX = 30.0


def check_machines(texts: Sequence[str], path: Sequence[str], seconds: float = SECONDS_MAX) -> None:
    """Raises ConfigError, with the reason, when a replica could not have these machines."""
    if not texts:
        return
    argument = json.dumps({"machines": list(texts), "path": list(path)})
    command = [sys.executable, "-P", "-m", MODULE, argument]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"the modules of {', '.join(texts)} are still being imported after {seconds:g} s: "
            "a machine's module must not do anything but define it"
        ) from None
    if done.returncode or not done.stdout.strip():  # a module may also end the process as if all were well
        silent = f"the modules of {', '.join(texts)} end the process that imports them, with {done.returncode}"
        *_, reason = done.stderr.strip().splitlines() or [silent]
        raise ConfigError(reason)
