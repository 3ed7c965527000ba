"""`python -m ocelog.shard '<json>'`: one replica as a process; a supervisor starts it (see `cluster.supervisor`).

The argument is a JSON object: data, cluster_id, shard, replica, replicas, sockets, settings. When it serves it writes
one JSON line to stdout; it stops at SIGTERM or at the end of its standard input, and exits with a code of
sysexits(3).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import signal
import sys
from typing import Any

SWITCH_INTERVAL_SECONDS = 0.0001
"""The sync thread must get the interpreter soon after its fdatasync, also while the loop is busy."""


def main(argument: str) -> int:
    """Run the replica that the argument describes; returns the exit code."""
    from ..log.process_log import start_logging

    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = json.loads(argument)
        name = f"replica-{options['shard']}-{options['replica']}"
        path, how = os.path.join(options["data"], "logs", f"{name}.log"), options["settings"]["logging"]
    except (KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"the argument does not describe a replica: {error!r}\n")
        return os.EX_USAGE
    try:
        listener = start_logging(path, **how)
    except OSError as error:
        return _fail(name, error)
    try:
        _serve(options)
        return os.EX_OK
    except Exception as error:
        return _fail(name, error)
    finally:
        listener.stop()


def _serve(options: dict[str, Any]) -> None:
    from .assembly import damage_noted, open_replica

    server = open_replica(options)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    _tune()
    _say_ready(options)
    with damage_noted(options):
        server.run()


def _tune() -> None:
    """The loop makes few cycles and keeps much alive: collect rarely, and never what start-up made."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _say_ready(options: dict[str, Any]) -> None:
    line = {"ready": True, "pid": os.getpid(), "shard": options["shard"], "replica": options["replica"]}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _fail(name: str, error: Exception) -> int:
    """Say in one line why the replica stops; returns the exit code. What nobody foresaw leaves its traceback in the log."""
    reason, code = _explained(error)
    logger = logging.getLogger(__name__)
    logger.error("%s stops: %s", name, reason, exc_info=error if code == os.EX_SOFTWARE else None)
    sys.stderr.write(f"{name}: {reason}\n")
    return code


def _explained(error: Exception) -> tuple[str, int]:
    import zmq

    from ..log.errors import LogError
    from .divergence import Diverged
    from .errors import DamageFound
    from .machines.loading import MachineNotLoaded

    if isinstance(error, LogError | DamageFound | Diverged | MachineNotLoaded):
        return str(error), error.exit_code
    if isinstance(error, zmq.ZMQError):
        return f"a socket failed: {error}", os.EX_UNAVAILABLE
    if isinstance(error, OSError):
        return str(error), os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_IOERR
    if isinstance(error, AssertionError):
        return f"an invariant does not hold: {error}", os.EX_SOFTWARE
    return f"{type(error).__name__}: {error}", os.EX_SOFTWARE


if __name__ == "__main__":
    if not __debug__:
        sys.stderr.write("ocelog asserts its invariants: do not run it under python -O\n")
        sys.exit(os.EX_SOFTWARE)
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m ocelog.shard JSON (a supervisor does this; see `ocelog up --help`)\n")
        sys.exit(os.EX_USAGE)
    sys.exit(main(sys.argv[1]))
