"""`python -P -m ocelog.cluster.router '<json>'`: one router, until SIGTERM or the end of its standard input.

Ends with 0, or with one line on standard error and 64 (usage), 69 (cannot listen) or 78 (configuration).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import socket
import sys
from dataclasses import asdict

import zmq

from ...log.process_log import start_logging
from ..errors import ClusterError, ConfigError, StartFailed
from .config import RouterConfig
from .process import RouterProcess


def main(arguments: list[str]) -> int:
    """Run a router; returns its exit code."""
    faulthandler.enable()
    # A Ctrl-C in the terminal is the supervisor's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(arguments) != 1:
        sys.stderr.write("usage: python -P -m ocelog.cluster.router JSON\n")
        return os.EX_USAGE
    try:
        if not __debug__:
            raise ConfigError("python -O removes the assertions that guard invariants; start without it")
        _serve(RouterConfig.from_json(arguments[0]))
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return os.EX_OK


def _serve(config: RouterConfig) -> None:
    router = _open(config)
    log = start_logging(config.log_path, **asdict(config.logging))
    try:
        alarm = _watch_for_the_end(router)
        _tune()
        ready = {"ready": True, "pid": os.getpid(), "endpoint": router.core.host.endpoint}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        router.run(alarm.fileno(), sys.stdin.fileno())
    finally:
        log.stop()


def _open(config: RouterConfig) -> RouterProcess:
    try:
        return RouterProcess(config)
    except zmq.ZMQError as error:
        reason, hint = str(error.strerror).lower(), "Choose another with --listen"
        if error.errno == zmq.EADDRINUSE:
            reason, hint = "address in use", "Stop the other program or choose another with --listen"
        raise StartFailed(f"cannot listen on {config.listen}: {reason}. {hint}") from None


def _tune() -> None:
    """The loop makes no cycles: collect rarely, and never what start-up made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _watch_for_the_end(router: RouterProcess) -> socket.socket:
    """SIGTERM stops the router; the returned socket becomes readable with any signal, which wakes its poll."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: router.stop())
    return reader


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
