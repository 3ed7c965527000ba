"""The router's process: its sockets and its loop. It decides nothing; `core.Router` does.

One thread, one poll. Each turn reads what is there (at most `sockets.TURN_MESSAGES_MAX` per socket, so that no peer
starves another), then hands every replica one bundle and every client its messages. Nothing blocks: a queue that is
full costs its client a refusal, or the answer.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import psutil
import zmq

from ...client.protocol.frames import HELLO, Item, pack_bundle
from ..endpoint import ipc_path, is_ipc
from ..run_record import RecordReader
from . import sockets
from .attendance import Attendance
from .config import RouterConfig
from .core import Router
from .socket_file import SocketFile, for_this_user_only
from .sockets import Socket

_HELLO = bytes([HELLO])

logger = logging.getLogger(__name__)


class RouterProcess:
    """The sockets of one router, and its loop. Raises zmq.ZMQError or StartFailed when it cannot listen."""

    def __init__(self, config: RouterConfig) -> None:
        self.config = config
        self.core = Router(config, RecordReader(Path(config.data)), _usage)
        self._stopping = False
        self.context = zmq.Context()
        # Held while this process lives.
        self._socket_file = SocketFile(ipc_path(config.listen)) if is_ipc(config.listen) else None
        with for_this_user_only():
            self.clients = sockets.listen(self.context, config.listen, config.message_bytes_max)
        self.core.host.endpoint = self.clients.getsockopt_string(zmq.LAST_ENDPOINT)
        self._attendance = Attendance()
        self._endings = sockets.watch(self.clients)
        self.poller = zmq.Poller()
        self.poller.register(self._endings, zmq.POLLIN)
        self.poller.register(self.clients, zmq.POLLIN)
        self.replicas: list[Socket] = []
        self.monitors: list[Socket] = []
        self._replica_of: dict[int, int] = {}
        self._monitored_by: dict[int, int] = {}
        self._unread = set(range(config.members))
        for member in range(config.members):
            self._connect(member)

    def _connect(self, member: int) -> None:
        socket, monitor = sockets.connect(self.context, self.config.path_of(member))
        self.replicas.append(socket)
        self.monitors.append(monitor)
        # By descriptor, for a poll costs a microsecond per socket that has nothing to say. These are edge-triggered:
        # a socket is read to its end, or stands in `_unread`.
        for source, readers in ((socket, self._replica_of), (monitor, self._monitored_by)):
            descriptor = source.getsockopt(zmq.FD)
            readers[descriptor] = member
            self.poller.register(descriptor, zmq.POLLIN)
        # Setting up leaves a command in the monitor's mailbox; its descriptor is silent until that has been taken.
        self._read_monitor(member)

    def stop(self) -> None:
        """End `run` with the current turn. May be called from a signal handler."""
        self._stopping = True

    def run(self, alarm: int, parent: int) -> None:
        """Serve until `stop` or the end of `parent`; then close everything.

        Both are descriptors: `alarm` wakes the poll so that a stop is seen, `parent` is the pipe whose other end the
        process that started this one holds: its end is that process's end.
        """
        self.poller.register(alarm, zmq.POLLIN)
        self.poller.register(parent, zmq.POLLIN | zmq.POLLERR)
        try:
            while not self._stopping:
                self._turn(parent)
        finally:
            self.context.destroy(linger=0)
            if self._socket_file is not None:
                self._socket_file.close()

    def _turn(self, parent: int) -> None:
        core = self.core
        ready = self.poller.poll(self._patience_ms())
        core.now = time.monotonic()
        for source, _ in ready:
            if source is self.clients:
                self._read_clients()
            elif source is self._endings:
                self._read_endings()
            elif source in self._replica_of:
                self._unread.add(self._replica_of[source])
            elif source == parent and not os.read(parent, 4096):
                self._stopping = True
        for member in sorted(self._unread):
            self._read_replica(member)
        for source, _ in ready:
            if source in self._monitored_by:
                self._read_monitor(self._monitored_by[source])
        core.tick()
        self._send()
        for line in core.take_lines():
            logger.info(line)

    def _patience_ms(self) -> int:
        """How long to wait for input: not at all when some is known to be there."""
        if self._unread:
            return 0
        # Rounded up, else the last fraction of a millisecond before a deadline is spent spinning.
        return max(0, int((self.core.next_tick() - time.monotonic()) * 1000) + 1)

    # -- reading -------------------------------------------------------------------------------------

    def _read_clients(self) -> None:
        from_client = self.core.from_client
        for identity, parts, frame in sockets.requests(self.clients):
            if parts[0][1:2] == _HELLO:
                self._read_endings()
                self._attendance.note(sockets.descriptor_of(frame), identity)
            from_client(identity, parts)

    def _read_endings(self) -> None:
        for descriptor in sockets.closed(self._endings):
            identity = self._attendance.closed(descriptor)
            if identity is not None:
                self.core.left(identity)

    def _read_replica(self, member: int) -> None:
        bundles = 0
        for message in sockets.answers(self.replicas[member]):
            bundles += 1
            self.core.from_replica(member, message)
        if bundles < sockets.TURN_MESSAGES_MAX:
            self._unread.discard(member)

    def _read_monitor(self, member: int) -> None:
        for up in sockets.connection_changes(self.monitors[member]):
            if up:
                self.core.connected(member)
            else:
                self.core.disconnected(member)

    # -- sending -------------------------------------------------------------------------------------

    def _send(self) -> None:
        core = self.core
        for member, items in core.take_for_replicas():
            self._send_to_replica(member, items)
            if sockets.has_input(self.replicas[member]):
                self._unread.add(member)
        for identity, parts in core.take_for_clients():
            try:
                sockets.send_to(self.clients, identity, parts)
            except zmq.Again:
                core.unread(identity)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                core.unreachable(identity)

    def _send_to_replica(self, member: int, items: list[Item]) -> None:
        for some in sockets.bundles(items, self.config.message_bytes_max):
            try:
                sockets.send(self.replicas[member], pack_bundle(some))
            except zmq.Again:
                self.core.not_sent(member, some)


def _usage() -> dict[str, float]:
    """Bytes of resident memory and seconds of CPU time of this process."""
    return {"memory_bytes": psutil.Process().memory_info().rss, "cpu_seconds": time.process_time()}
