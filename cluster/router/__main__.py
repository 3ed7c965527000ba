"""`python -P -m ocelog.cluster.router '<json>'`: one router, until SIGTERM or the end of its standard input.

Ends with 0, or with one line on standard error and 64 (usage), 69 (cannot listen) or 78 (configuration).
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import socket
import sys

import zmq

from ..errors import ClusterError, ConfigError, StartFailed
from .config import RouterConfig
from .process import RouterProcess


def main(arguments: list[str]) -> int:
    """Run a router; returns its exit code."""
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(arguments) != 1:
        print("usage: python -P -m ocelog.cluster.router JSON", file=sys.stderr)
        return os.EX_USAGE
    try:
        router = _open(arguments[0])
    except ClusterError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    alarm = _watch_for_the_end(router)
    print(json.dumps({"ready": True, "pid": os.getpid(), "endpoint": router.core.endpoint}), flush=True)
    router.run(alarm.fileno(), sys.stdin.fileno())
    return os.EX_OK


def _open(argument: str) -> RouterProcess:
    if not __debug__:
        raise ConfigError("python -O removes the assertions that guard invariants; start without it")
    config = RouterConfig.from_json(argument)
    try:
        return RouterProcess(config)
    except zmq.ZMQError as error:
        reason, hint = str(error.strerror).lower(), "Choose another with --listen"
        if error.errno == zmq.EADDRINUSE:
            reason, hint = "address in use", "Stop the other program or choose another with --listen"
        raise StartFailed(f"cannot listen on {config.listen}: {reason}. {hint}") from None


def _watch_for_the_end(router: RouterProcess) -> socket.socket:
    """SIGTERM stops the router; the returned socket becomes readable with any signal, which wakes its poll."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: router.stop())
    # A Ctrl-C in the terminal is the supervisor's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return reader


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
