"""The router's process: its sockets and its loop. It decides nothing; `core.Router` does.

One thread, one poll. Each turn reads what is there (at most `sockets.TURN_MESSAGES_MAX` per socket, so that no peer
starves another), then hands every replica one bundle and every client its messages. Nothing blocks: a queue that is
full costs its client a refusal, or the answer.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import zmq

from ...client.protocol.frames import BUNDLE_ITEMS_MAX, Item, pack_bundle
from . import sockets
from .config import RouterConfig
from .core import Router
from .sockets import Socket

logger = logging.getLogger(__name__)


class RouterProcess:
    """The sockets of one router, and its loop. Raises zmq.ZMQError when it cannot listen."""

    def __init__(self, config: RouterConfig) -> None:
        self.config = config
        self.core = Router(config)
        self._stopping = False
        self.context = zmq.Context()
        self.clients = sockets.listen(self.context, config.listen, config.message_bytes_max)
        self.core.endpoint = self.clients.getsockopt_string(zmq.LAST_ENDPOINT)
        self.poller = zmq.Poller()
        self.poller.register(self.clients, zmq.POLLIN)
        self.replicas: list[Socket] = []
        self._readers: dict[Socket, tuple[Callable[[Socket, int], None], int]] = {}
        for member in range(config.members):
            self._connect(member)

    def _connect(self, member: int) -> None:
        socket, monitor = sockets.connect(self.context, self.config.path_of(member))
        self.replicas.append(socket)
        for source, read in ((socket, self._read_replica), (monitor, self._read_monitor)):
            self.poller.register(source, zmq.POLLIN)
            self._readers[source] = (read, member)

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

    def _turn(self, parent: int) -> None:
        core = self.core
        wait_s = max(0.0, core.next_tick() - time.monotonic())
        ready = self.poller.poll(int(wait_s * 1000) + 1)
        core.now = time.monotonic()
        for source, _ in ready:
            if source is self.clients:
                self._read_clients()
            elif source in self._readers:
                read, member = self._readers[source]
                read(source, member)
            elif source == parent and not os.read(parent, 4096):
                self._stopping = True
        core.tick()
        for member, items in core.take_for_replicas():
            self._send_to_replica(member, items)
        self._send_to_clients()
        for line in core.take_lines():
            logger.info(line)

    # -- reading -------------------------------------------------------------------------------------

    def _read_clients(self) -> None:
        receive = self.core.from_client
        for message in sockets.messages(self.clients, copied=2, kept=4):
            receive(message[0], message[1:])

    def _read_replica(self, socket: Socket, member: int) -> None:
        for message in sockets.messages(socket, copied=1, kept=BUNDLE_ITEMS_MAX + 1):
            self.core.from_replica(member, message)

    def _read_monitor(self, monitor: Socket, member: int) -> None:
        for up in sockets.connection_changes(monitor):
            if up:
                self.core.connected(member)
            else:
                self.core.disconnected(member)

    # -- sending -------------------------------------------------------------------------------------

    def _send_to_replica(self, member: int, items: list[Item]) -> None:
        socket = self.replicas[member]
        for some in sockets.bundles(items, self.config.message_bytes_max):
            try:
                sockets.send(socket, pack_bundle(some))
            except zmq.Again:
                self.core.not_sent(member, some)

    def _send_to_clients(self) -> None:
        socket = self.clients
        for identity, parts in self.core.take_for_clients():
            try:
                socket.send(identity, zmq.SNDMORE | zmq.NOBLOCK)
                sockets.send(socket, parts)
            except zmq.Again:
                self.core.unread(identity)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self.core.unreachable(identity)
