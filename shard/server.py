"""The process of one replica: its sockets, its timers and its sync thread around a `Replica`. It decides nothing.

One thread, one poll loop. A turn drains every socket, steps the replica once, sends what the step returned, and hands
at most one persist job to the sync thread. The process blocks once per turn and never spins while a sync is under
way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from ..client.protocol.frames import BUNDLE_ITEMS_MAX, BadFrame, Frame, Item, pack_bundle, unpack_bundle
from ..client.protocol.limits import UNCOPIED_BYTES_MIN
from ..log.files import DirectoryLock
from . import peers
from .replica import Replica, Turn
from .sync import SyncThread

logger = logging.getLogger(__name__)

MESSAGES_PER_TURN_MAX = 256
"""Messages read from one socket in one turn, so that no peer starves another."""

BUNDLE_BYTES_MAX = 8 * 1024 * 1024
"""Answers are copied into bundles of about this size, so that one router's turn is not one enormous frame."""

PEER_HIGH_WATER = 1000
ROUTER_HIGH_WATER = 10_000


class Server:
    """Runs a replica until `stop` is called or `stop_fd` becomes readable at its end of file.

    `lock` is what keeps the replica's directory its own; it is held as long as the server lives.
    Raises what a persist job raised (the replica must not go on), and zmq.ZMQError when an address cannot be bound.
    """

    def __init__(
        self,
        replica: Replica,
        identity: peers.PeerIdentity,
        *,
        peer_address: str,
        client_address: str,
        peer_addresses: dict[int, str],
        tick_ms: int,
        message_bytes_max: int,
        stop_fd: int | None = None,
        lock: DirectoryLock | None = None,
    ) -> None:
        self.replica = replica
        self.identity = identity
        self.tick_ms = tick_ms
        self.stopping = False
        self._stop_fd = stop_fd
        self._lock = lock
        self._context = zmq.Context()
        self._peers = self._router_socket(peer_address, PEER_HIGH_WATER, message_bytes_max)
        self._clients = self._router_socket(client_address, ROUTER_HIGH_WATER, message_bytes_max)
        self._clients.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._to_peer: dict[int, zmq.Socket[bytes]] = {}
        self._monitors: dict[zmq.Socket[bytes], int] = {}
        self._sync = SyncThread(self._context)
        self._poller = zmq.Poller()
        for socket in (self._peers, self._clients, self._sync.socket):
            self._poller.register(socket, zmq.POLLIN)
        if stop_fd is not None:
            self._poller.register(stop_fd, zmq.POLLIN)
        for member, address in peer_addresses.items():
            self._connect_peer(member, address)
        self._refused_peers: set[str] = set()

    def _router_socket(self, address: str, high_water: int, message_bytes_max: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, high_water)
        socket.setsockopt(zmq.RCVHWM, high_water)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * message_bytes_max + (1 << 20))
        socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
        socket.bind(address)
        return socket

    def _connect_peer(self, member: int, address: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, PEER_HIGH_WATER)
        # Messages for an absent peer are dropped: what waits would reach its successor.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.connect(address)
        self._to_peer[member] = socket
        self._monitors[monitor] = member
        self._poller.register(monitor, zmq.POLLIN)

    def stop(self) -> None:
        """Let the loop end after the turn under way; may be called from a signal handler."""
        self.stopping = True

    # -- the loop ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped."""
        tick_seconds = self.tick_ms / 1000
        next_tick = time.monotonic() + tick_seconds
        unfinished = False
        try:
            while not self.stopping:
                wait = 0 if unfinished else max(0, int((next_tick - time.monotonic()) * 1000 + 0.999))
                self._drain(dict(self._poller.poll(wait)))
                now = time.monotonic()
                if now >= next_tick:
                    # After a pause this is one tick, not many: patience counts turns that really ran.
                    self.replica.tick()
                    next_tick = now + tick_seconds
                turn = self.replica.step(int(now * 1000), int(time.time() * 1000))
                self._send(turn)
                unfinished = turn.unfinished
        finally:
            self._close()

    def _drain(self, readable: dict[object, int]) -> None:
        if self._sync.socket in readable:
            self.replica.job_done(self._sync.finished())
        if self._peers in readable:
            self._drain_peers()
        if self._clients in readable:
            self._drain_clients()
        for monitor, member in self._monitors.items():
            if monitor in readable:
                self._drain_monitor(monitor, member)
        if self._stop_fd in readable:
            self.stopping = True

    def _drain_peers(self) -> None:
        receive = self._peers.recv_multipart
        for _ in range(MESSAGES_PER_TURN_MAX):
            try:
                frames = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = peers.decode(frames[1:], self.identity)
            except peers.BadFrame as error:
                self._note_bad_peer(str(error))
                continue
            self.replica.receive_peer(message)

    def _drain_clients(self) -> None:
        receive = self._clients.recv_multipart
        for _ in range(MESSAGES_PER_TURN_MAX):
            try:
                frames = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                items = unpack_bundle(frames[1:])
            except BadFrame as error:
                self._note_bad_peer(f"a router sent something that is not a bundle: {error}")
                continue
            self.replica.receive_bundle(frames[0], items)

    def _note_bad_peer(self, reason: str) -> None:
        """Log each reason once, so that a confused peer cannot fill the disk."""
        if reason not in self._refused_peers and len(self._refused_peers) < 1000:
            self._refused_peers.add(reason)
            logger.warning("refused a message: %s", reason)

    def _drain_monitor(self, monitor: zmq.Socket[bytes], member: int) -> None:
        while monitor.poll(0):
            event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
            if event["event"] == zmq.EVENT_DISCONNECTED:
                self.replica.peer_gone(member)

    # -- what leaves ---------------------------------------------------------------------------------

    def _send(self, turn: Turn) -> None:
        """Answers first: someone waits for them. Then peers, then the disk, which works while the loop blocks."""
        for router, items in turn.answers.items():
            self._send_answers(router, items)
        for message in turn.messages:
            socket = self._to_peer.get(message.to)
            if socket is not None:
                _send_frames(socket, peers.encode(message, self.identity))
        if turn.job is not None:
            self._sync.submit(turn.job)

    def _send_answers(self, router: bytes, items: Sequence[Item]) -> None:
        for bundle in bundles(items, BUNDLE_BYTES_MAX):
            try:
                _send_frames(self._clients, [router, *pack_bundle(bundle)])
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self.replica.forget_router(router)
                return

    def _close(self) -> None:
        self._sync.stop()
        # libzmq's own thread writes events into the monitors, and blocks for ever on one that nobody holds open: peers
        # that stop at the same moment make such events, so the monitors end before their sockets are closed.
        for socket in self._to_peer.values():
            socket.disable_monitor()
        for monitor in self._monitors:
            monitor.close(linger=0)
        for socket in (*self._to_peer.values(), self._peers, self._clients):
            socket.close(linger=200)
        self._context.term()


def bundles(items: Sequence[Item], bytes_max: int) -> Iterator[Sequence[Item]]:
    """Cut the answers for one router: the joined first frames of a bundle stay within `bytes_max`, or it holds one."""
    start, size = 0, 0
    for position, (_, parts) in enumerate(items):
        size += len(parts[0])
        if position > start and (size > bytes_max or position - start >= BUNDLE_ITEMS_MAX):
            yield items[start:position]
            start, size = position, len(parts[0])
    yield items[start:]


def _send_frames(socket: zmq.Socket[bytes], frames: Sequence[Frame]) -> None:
    """Send one message without blocking; what cannot be queued now is dropped, and repeated by its sender's rules."""
    last = len(frames) - 1
    try:
        for position, frame in enumerate(frames):
            more = zmq.SNDMORE if position < last else 0
            socket.send(frame, zmq.NOBLOCK | more, copy=len(frame) < UNCOPIED_BYTES_MIN)
    except zmq.Again:
        return
