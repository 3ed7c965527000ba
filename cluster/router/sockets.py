"""The router's ZeroMQ sockets: how they are set up, read and written. libzmq's defaults bound nothing, so all is set.

Invariants: no call blocks; a body in a frame of its own is never copied; at most `TURN_MESSAGES_MAX` messages are read
at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from ...client.protocol.frames import BUNDLE_ITEMS_MAX, Frame, Item

TURN_MESSAGES_MAX = 256
CLIENT_QUEUE_MAX = 4096
"""Messages that wait for one client; one that does not read loses its answers, and nobody else does."""

REPLICA_QUEUE_MAX = 4096
"""Bundles that wait for one replica."""

OVERHEAD_BYTES_MAX = 64 * 1024

REQUEST_FRAMES_MAX = 2
"""Frames kept behind a header: one body, and one that shows that there were too many."""

_NOW = int(zmq.NOBLOCK)  # plain numbers: to combine enumeration members costs more than to send
_NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)

Socket = Any  # zmq.Socket is generic in what recv returns, and this room uses it both ways


def listen(context: zmq.Context[Any], endpoint: str, message_bytes_max: int) -> Socket:
    """The socket that clients connect to. Raises zmq.ZMQError when the endpoint cannot be bound."""
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.setsockopt(zmq.MAXMSGSIZE, message_bytes_max + OVERHEAD_BYTES_MAX)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1500)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)
    # Without it a message for a client that is gone, or that does not read, vanishes silently.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # A client that reconnects under its identity takes it over from its own broken connection.
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    socket.setsockopt(zmq.SNDHWM, CLIENT_QUEUE_MAX)
    socket.setsockopt(zmq.RCVHWM, CLIENT_QUEUE_MAX)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket


def connect(context: zmq.Context[Any], path: str) -> tuple[Socket, Socket]:
    """The socket to one replica (it need not be there yet), and the one that tells of its connections."""
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    # Nothing waits for a replica that is not connected: its successor would get what was meant for it.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.SNDHWM, REPLICA_QUEUE_MAX)
    socket.setsockopt(zmq.RCVHWM, REPLICA_QUEUE_MAX)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    socket.connect(f"ipc://{path}")
    return socket, monitor


def watch(socket: Socket) -> Socket:
    """A socket that tells which descriptors of a bound socket's connections were closed."""
    return socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)


def requests(socket: Socket) -> Iterator[tuple[bytes, list[Frame], Any]]:
    """Identity and frames of what clients sent, within the turn's share; and the first frame as it was received."""
    receive = socket.recv
    for _ in range(TURN_MESSAGES_MAX):
        try:
            identity = receive(_NOW)
        except zmq.Again:
            return
        # A ZeroMQ frame says whether more follow at a tenth of what asking the socket costs.
        frame = receive(_NOW, False)
        parts: list[Frame] = [frame.bytes]
        if frame.more:
            parts.extend(_following(socket, REQUEST_FRAMES_MAX))
        yield identity, parts, frame


def descriptor_of(frame: Any) -> int:
    """The descriptor of the connection over which a frame came."""
    return int(frame.get(zmq.SRCFD))


def closed(monitor: Socket) -> Iterator[int]:
    """The descriptors of the connections that were closed since the last call."""
    while True:
        try:
            event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return
        yield int(event["value"])


def answers(socket: Socket) -> Iterator[list[Frame]]:
    """Bundles of one replica, within the turn's share."""
    for _ in range(TURN_MESSAGES_MAX):
        try:
            frame = socket.recv(_NOW, False)
        except zmq.Again:
            return
        parts: list[Frame] = [frame.bytes]
        if frame.more:
            parts.extend(_following(socket, BUNDLE_ITEMS_MAX))
        yield parts


def _following(socket: Socket, kept: int) -> list[Any]:
    """The further frames of a message, uncopied; those beyond `kept` are dropped."""
    parts: list[Any] = []
    more = True
    while more:
        frame = socket.recv(_NOW, False)
        more = frame.more
        if len(parts) < kept:
            parts.append(frame)
    return parts


def has_input(socket: Socket) -> bool:
    """True when something can be read. Sending may swallow the signal of a socket's descriptor, so ask after it."""
    return bool(socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)


def send(socket: Socket, parts: Sequence[Any]) -> None:
    """Send the frames of one message. Raises zmq.Again when the queue is full; then none was sent."""
    for part in parts[:-1]:
        socket.send(part, _NOW_AND_MORE, type(part) is not zmq.Frame)
    last = parts[-1]
    socket.send(last, _NOW, type(last) is not zmq.Frame)


def send_to(socket: Socket, identity: bytes, parts: Sequence[Any]) -> None:
    """Send one message to a client. Raises zmq.Again when it does not read, EHOSTUNREACH when it is gone."""
    socket.send(identity, _NOW_AND_MORE)
    send(socket, parts)


def bundles(items: list[Item], bytes_max: int) -> Iterator[list[Item]]:
    """Split messages so that the joined first frames of each bundle stay within `bytes_max` (or it holds just one)."""
    start, size = 0, 0
    for position, (_, parts) in enumerate(items):
        size += len(parts[0])
        if position > start and (size > bytes_max or position - start >= BUNDLE_ITEMS_MAX):
            yield items[start:position]
            start, size = position, len(parts[0])
    yield items[start:]


def connection_changes(monitor: Socket) -> Iterator[bool]:
    """True for each connection made since the last call, False for each that broke, in order."""
    while True:
        try:
            event = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return
        yield event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
