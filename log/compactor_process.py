"""`python -P -m ocelog.log.compactor_process '<json>'`: the compactor of one host; a supervisor starts it.

The argument is a JSON object: data, sockets, settings. It listens to replicas on `ipc://<sockets>/compactor`, a request and an
answer being one frame each (`compaction_request.py`). When it listens it writes one JSON line to stdout; it stops at
SIGTERM or at the end of its standard input, and exits with a code of sysexits(3).

It only joins: what is done is `compactor.py`, for whom `compactor_jobs.py`. Replicas work on without it.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import select
import signal
import socket
import sys
from typing import Any

import zmq

from .compaction_request import MESSAGE_BYTES_MAX
from .compactor import CompactionStopped
from .compactor_jobs import Answer, CompactorJobs
from .files import OsDisk
from .process_log import start_logging

logger = logging.getLogger(__name__)

SOCKET_NAME = "compactor"
HIGH_WATER = 1000
NICE = 10
"""Unless the settings say otherwise: serving comes first."""


class CompactorProcess:
    """Serves requests until `stop` is called or one of `stop_fds` becomes readable at its end of file."""

    def __init__(self, address: str, data: str, stop_fds: tuple[int, ...]) -> None:
        self._stopping = False
        self._stop_poll = select.poll()
        self._poller = zmq.Poller()
        for descriptor in stop_fds:
            self._stop_poll.register(descriptor, select.POLLIN)
            self._poller.register(descriptor, zmq.POLLIN)
        self._jobs = CompactorJobs(OsDisk(), data, self._should_stop)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
        # An answer that nobody takes is an error here, and what it speaks of is removed.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._socket.bind(address)
        except zmq.ZMQError:
            self._context.destroy(linger=0)
            raise
        self._poller.register(self._socket, zmq.POLLIN)

    def stop(self) -> None:
        """Let it end soon; may be called from a signal handler."""
        self._stopping = True

    def _should_stop(self) -> bool:
        """Asked between pieces of a job, so that a stop does not wait for a whole segment."""
        if not self._stopping and self._stop_poll.poll(0):
            self._stopping = True
        return self._stopping

    def run(self) -> None:
        """Serve until stopped. Between two groups it reads what has come in."""
        try:
            while not self._should_stop():
                self._poller.poll(0 if len(self._jobs) else None)
                self._receive()
                if len(self._jobs):
                    self._send(self._jobs.step())
        except CompactionStopped:
            pass
        finally:
            self._send(self._jobs.stop())
            self._context.destroy(linger=0)

    def _receive(self) -> None:
        while True:
            try:
                identity, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._send(self._jobs.receive(identity, b"".join(frames)))

    def _send(self, answers: list[Answer]) -> None:
        for answer in answers:
            try:
                self._socket.send_multipart([answer.identity, answer.result.to_wire()], zmq.NOBLOCK)
            except zmq.ZMQError as error:
                logger.info("an answer was not taken (%s), and its files are removed", error)
                self._jobs.forget(answer.files)


def main(arguments: list[str]) -> int:
    """Run the compactor that the argument describes; returns the exit code."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is the supervisor's to handle
    if len(arguments) != 1:
        sys.stderr.write("usage: python -P -m ocelog.log.compactor_process JSON (a supervisor does this)\n")
        return os.EX_USAGE
    try:
        options = json.loads(arguments[0])
        data, address = os.path.abspath(options["data"]), f"ipc://{options['sockets']}/{SOCKET_NAME}"
        how, nice = options["settings"]["logging"], options["settings"].get("compaction", {}).get("nice", NICE)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"the argument does not describe a compactor: {error!r}\n")
        return os.EX_USAGE
    try:
        return _serve(data, address, how, nice)
    except zmq.ZMQError as error:
        sys.stderr.write(f"compactor: {address} cannot be listened on: {error}\n")
        return os.EX_UNAVAILABLE
    except OSError as error:
        sys.stderr.write(f"compactor: {error}\n")
        return os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_IOERR


def _serve(data: str, address: str, how: dict[str, Any], nice: int) -> int:
    os.nice(nice)
    log = start_logging(os.path.join(data, "logs", "compactor.log"), **how)
    try:
        alarm = _alarm()
        process = CompactorProcess(address, data, (alarm.fileno(), sys.stdin.fileno()))
        signal.signal(signal.SIGTERM, lambda *_: process.stop())
        sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        process.run()
        return os.EX_OK
    except Exception as error:
        logger.error("the compactor stops: %s", error, exc_info=error)
        raise
    finally:
        log.stop()


def _alarm() -> socket.socket:
    """A socket that becomes readable with any signal, which wakes the poll."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


if __name__ == "__main__":
    if not __debug__:
        sys.stderr.write("ocelog asserts its invariants: do not run it under python -O\n")
        sys.exit(os.EX_SOFTWARE)
    sys.exit(main(sys.argv[1:]))
