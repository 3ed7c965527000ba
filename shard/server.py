"""The process of one replica: its sockets, its timers and its sync thread around a `Replica`. It decides nothing.

One thread, one poll loop. A turn drains every socket, lets the replica decide, gives the peers their messages and the
sync thread at most one persist job, and then, while those work, lets the replica apply and sends the answers. What
takes long (snapshots, reading files again) runs on a second thread, and rewriting segments in the compactor's process.
The process blocks once per turn and never spins while a sync is under way.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from ..client.protocol.frames import BUNDLE_ITEMS_MAX, BadFrame, Frame, Item, pack_bundle, unpack_bundle
from ..client.protocol.limits import UNCOPIED_BYTES_MIN
from ..log.files import DirectoryLock
from . import company, peers
from .background import BackgroundJob
from .clock import lease_clock_ms
from .compactor_link import NO_COMPACTOR, CompactorLink
from .inbox import Inbox
from .job_thread import JobThread
from .lives import Lives
from .persist import PersistJob
from .replica import Replica
from .turn import Turn

logger = logging.getLogger(__name__)

BUNDLE_BYTES_MAX = 8 * 1024 * 1024
"""Answers are copied into bundles of about this size, so that one router's turn is not one enormous frame."""

NOTICE_DELAY_SECONDS = 0.010
"""How long a loop with nothing to do waits for an Append that tells a new commit index, before it tells it alone."""

PEER_HIGH_WATER = 1000
ROUTER_HIGH_WATER = 10_000

PEER_STALLED_MS = 1000
"""So long nothing of what was sent over TCP arrives, or no connection comes about, before another is tried."""

PEER_SILENT_S = 10
"""After so long a silence over TCP it is asked whether the other end is still there."""


# As plain integers: combining pyzmq's flags costs more than passing them.
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


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
        compactor_address: str,
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
        self._clients.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._to_peer: dict[int, zmq.Socket[bytes]] = {}
        self._monitors: dict[int, Inbox] = {}
        self._lives = Lives(peer_addresses)
        self._compactor = CompactorLink(self._context, compactor_address)
        self._sync: JobThread[PersistJob] = JobThread("sync")
        self._background: JobThread[BackgroundJob] = JobThread("background")
        self._epoll = select.epoll()
        for descriptor in (
            self._peers.descriptor,
            self._clients.descriptor,
            self._sync.descriptor,
            self._background.descriptor,
            *self._compactor.descriptors,
        ):
            self._epoll.register(descriptor, select.EPOLLIN)
        if stop_fd is not None:
            self._epoll.register(stop_fd, select.EPOLLIN)
        for member, address in peer_addresses.items():
            self._connect_peer(member, address)
        self._refused_peers: set[str] = set()

    def _router_socket(self, address: str, high_water: int, message_bytes_max: int) -> Inbox:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, high_water)
        socket.setsockopt(zmq.RCVHWM, high_water)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * message_bytes_max + (1 << 20))
        socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
        _look_after_tcp(socket)
        socket.bind(address)
        return Inbox(socket)

    def _connect_peer(self, member: int, address: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, PEER_HIGH_WATER)
        # Messages for an absent peer are dropped: what waits would reach its successor.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        _look_after_tcp(socket)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        socket.connect(address)
        self._to_peer[member] = socket
        self._monitors[member] = Inbox(monitor)
        self._epoll.register(self._monitors[member].descriptor, select.EPOLLIN)

    def stop(self) -> None:
        """Let the loop end after the turn under way; may be called from a signal handler."""
        self.stopping = True

    # -- the loop ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped."""
        tick_seconds = self.tick_ms / 1000
        next_tick = time.monotonic() + tick_seconds
        unfinished = owes_notice = False
        try:
            while not self.stopping:
                wait = max(0.0, next_tick - time.monotonic())
                if unfinished or self._peers.rest or self._clients.rest or self._compactor.rest:
                    wait = 0.0
                elif owes_notice:
                    wait = min(wait, NOTICE_DELAY_SECONDS)
                readable = self._wait(wait)
                self._drain(readable)
                if self.replica.wants_company:
                    select.select((), (), (), company.SECONDS)  # as fine as a sleep, and depends on no clock
                    self._drain(self._wait(0.0))
                now = time.monotonic()
                if now >= next_tick:
                    # After a pause this is one tick, not many: patience counts turns that really ran.
                    self.replica.tick()
                    next_tick = now + tick_seconds
                turn = self.replica.decide(
                    int(now * 1000), int(time.time() * 1000), notify=not readable, lease_clock_ms=lease_clock_ms()
                )
                self._send(turn)
                self.replica.apply(turn)
                self._answer(turn)
                self._hand_on(turn)
                unfinished, owes_notice = turn.unfinished, turn.owes_notice
        finally:
            self._close()

    def _wait(self, seconds: float) -> set[int]:
        """The descriptors that speak, at the latest after so long."""
        return {descriptor for descriptor, _ in self._epoll.poll(seconds)}

    def _drain(self, readable: set[int]) -> None:
        """Take everything that has arrived; `readable` are the descriptors that spoke."""
        if self._sync.descriptor in readable:
            self.replica.job_done(self._sync.finished())
        if self._background.descriptor in readable:
            self.replica.background_done(self._background.finished())
        if self._compactor.rest or not readable.isdisjoint(self._compactor.descriptors):
            self._drain_compactor()
        if self._peers.rest or self._peers.descriptor in readable:
            self._drain_peers()
        if self._clients.rest or self._clients.descriptor in readable:
            self._drain_clients()
        for member, monitor in self._monitors.items():
            if monitor.rest or monitor.descriptor in readable:
                self._drain_monitor(member, monitor)
        for member in self._lives.ended(readable):
            self.replica.peer_died(member)
        if self._stop_fd in readable:
            self.stopping = True

    def _drain_peers(self) -> None:
        for frames in self._peers.messages():
            try:
                message = peers.decode(frames[1:], self.identity)
            except peers.BadFrame as error:
                self._note_bad_peer(str(error))
                continue
            self.replica.receive_peer(message)

    def _drain_clients(self) -> None:
        for frames in self._clients.messages():
            try:
                items = unpack_bundle(frames[1:])
            except BadFrame as error:
                self._note_bad_peer(f"a router sent something that is not a bundle: {error}")
                continue
            self.replica.receive_bundle(frames[0], items)

    def _drain_compactor(self) -> None:
        for result in self._compactor.receive():
            if isinstance(result, str):
                self.replica.not_compacted(result)
            else:
                self.replica.compacted(result)

    def _note_bad_peer(self, reason: str) -> None:
        """Log each reason once, so that a confused peer cannot fill the disk."""
        if reason not in self._refused_peers and len(self._refused_peers) < 1000:
            self._refused_peers.add(reason)
            logger.warning("refused a message: %s", reason)

    def _drain_monitor(self, member: int, monitor: Inbox) -> None:
        for frames in monitor.messages():
            if parse_monitor_message(frames)["event"] == zmq.EVENT_DISCONNECTED:
                self.replica.peer_gone(member)
            else:
                descriptor = self._lives.watch(member)
                if descriptor is not None:
                    self._epoll.register(descriptor, select.EPOLLIN)

    # -- what leaves ---------------------------------------------------------------------------------

    def _send(self, turn: Turn) -> None:
        """Give peers and the disk their work; they do it while this loop applies."""
        for message in turn.messages:
            socket = self._to_peer.get(message.to)
            if socket is not None:
                _send_frames(socket, peers.encode(message, self.identity))
        if turn.job is not None:
            self._sync.submit(turn.job)

    def _hand_on(self, turn: Turn) -> None:
        """What others carry out while this loop goes on."""
        if turn.background is not None:
            self._background.submit(turn.background)
        if turn.compaction is not None and not self._compactor.send(turn.compaction):
            self.replica.not_compacted(NO_COMPACTOR)

    def _answer(self, turn: Turn) -> None:
        if turn.answers:
            for router, items in turn.answers.items():
                self._send_answers(router, items)
            self._clients.used()

    def _send_answers(self, router: bytes, items: Sequence[Item]) -> None:
        for bundle in bundles(items, BUNDLE_BYTES_MAX):
            try:
                _send_frames(self._clients.socket, [router, *pack_bundle(bundle)])
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self.replica.forget_router(router)
                return

    def _close(self) -> None:
        self._sync.stop()
        self._background.stop()
        self._compactor.close()
        self._lives.close()
        # libzmq's own thread writes events into the monitors, and blocks for ever on one that nobody holds open: peers
        # that stop at the same moment make such events, so the monitors end before their sockets are closed.
        for socket in self._to_peer.values():
            socket.disable_monitor()
        for monitor in self._monitors.values():
            monitor.socket.close(linger=0)
        for socket in (*self._to_peer.values(), self._peers.socket, self._clients.socket):
            socket.close(linger=200)
        self._epoll.close()
        self._context.term()


def _look_after_tcp(socket: zmq.Socket[bytes]) -> None:
    """Give up a connection between hosts that gets nowhere, and make another; socket files need none of it.

    TCP repeats what is lost at intervals that double, so a network that is whole again after a minute would carry nothing for
    another. It is the lack of progress that counts, not the time until an answer: a large message on a slow wire is on its way.
    """
    socket.setsockopt(zmq.TCP_MAXRT, PEER_STALLED_MS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, PEER_STALLED_MS)
    # Whose peer has given up, or has lost its host, is told nothing: it must ask, or would keep such connections for ever.
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, PEER_SILENT_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, PEER_SILENT_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)


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
            flags = _NOBLOCK_MORE if position < last else _NOBLOCK
            socket.send(frame, flags, copy=len(frame) < UNCOPIED_BYTES_MIN)
    except zmq.Again:
        return
