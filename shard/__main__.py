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

EXIT_SOFTWARE = 70
EXIT_UNAVAILABLE = 69
SWITCH_INTERVAL_SECONDS = 0.0005
"""The sync thread must get the interpreter soon after its fdatasync, also while the loop is busy."""


def main(argument: str) -> int:
    """Run the replica that the argument describes; returns the exit code."""
    import zmq

    from ..log.errors import LogError
    from .assembly import open_replica
    from .process_log import start_logging

    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = json.loads(argument)
    settings = options["settings"]
    name = f"replica-{options['shard']}-{options['replica']}"
    listener = start_logging(os.path.join(options["data"], "logs", f"{name}.log"), **settings["logging"])
    try:
        server = open_replica(options)
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        _tune()
        _say_ready(options)
        server.run()
        return 0
    except LogError as error:
        return _fail(name, str(error), error.exit_code)
    except zmq.ZMQError as error:
        return _fail(name, f"a socket failed: {error}", EXIT_UNAVAILABLE)
    except AssertionError as error:
        logging.getLogger(__name__).exception("an invariant does not hold")
        return _fail(name, f"an invariant does not hold: {error}", EXIT_SOFTWARE)
    finally:
        listener.stop()


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


def _fail(name: str, reason: str, code: int) -> int:
    logging.getLogger(__name__).error("%s stops: %s", name, reason)
    sys.stderr.write(f"{name}: {reason}\n")
    return code


if __name__ == "__main__":
    if not __debug__:
        sys.stderr.write("ocelog asserts its invariants: do not run it under python -O\n")
        sys.exit(EXIT_SOFTWARE)
    sys.exit(main(sys.argv[1]))
