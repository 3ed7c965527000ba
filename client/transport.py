"""The client's ZeroMQ side: one DEALER to one router, what became of its connection, and a way to wake the I/O thread.

Nothing here knows the protocol. All methods but `wake` belong to one thread. Every open makes a fresh socket: what
was queued for a lost router must not reach its successor late.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import zmq

from .connection import Event
from .protocol.frames import Frame
from .protocol.limits import UNCOPIED_BYTES_MIN

HEARTBEAT_MS = 1500
SILENCE_MS = 4000
"""A router that answers no heartbeat for so long counts as lost."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Answers may be larger than what a client may send (the keys of a map); beyond this the connection is dropped."""

_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
_EVENTS |= zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_OPTIONS = {
    zmq.LINGER: 0,
    zmq.IMMEDIATE: 1,
    zmq.MAXMSGSIZE: MESSAGE_BYTES_MAX,
    zmq.SNDHWM: 10_000,
    zmq.RCVHWM: 10_000,
    zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
    zmq.HEARTBEAT_TIMEOUT: SILENCE_MS,
    zmq.HEARTBEAT_TTL: SILENCE_MS,
    zmq.HANDSHAKE_IVL: 2000,
}


class ZmqTransport:
    """A `connection.Transport` over ZeroMQ, with the poller that the I/O thread sleeps in."""

    def __init__(self) -> None:
        self._context: Any = zmq.Context()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._socket: Any = None
        self._monitor: Any = None
        self._poller: Any = zmq.Poller()
        self._poller.register(self._wake, zmq.POLLIN)
        self._changed = False

    def open(self, endpoint: str) -> None:
        """Connect a fresh socket. Raises OSError when the endpoint cannot be used."""
        self.close()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in _OPTIONS.items():
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._poller.register(self._socket, zmq.POLLIN)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise OSError(error.errno, str(error)) from None

    def close(self) -> None:
        """Drop the connection and what is queued on it."""
        if self._socket is not None:
            self._poller.unregister(self._monitor)
            self._poller.unregister(self._socket)
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(0)
            self._socket = self._monitor = None

    def destroy(self) -> None:
        """Free the sockets; the transport is of no use afterwards, but `wake` stays harmless."""
        self.close()
        self._context.term()

    def __del__(self) -> None:
        # Not before nobody can call `wake` any more: its number may be another file's by then.
        os.close(self._wake)

    def send(self, message: Sequence[Frame]) -> None:
        """Send one message; dropped when there is no connection or it is clogged."""
        if self._socket is None:
            return
        try:
            if len(message) == 1:
                self._socket.send(message[0], zmq.NOBLOCK)
            else:
                self._socket.send_multipart(message, zmq.NOBLOCK, copy=len(message[-1]) < UNCOPIED_BYTES_MIN)
        except zmq.Again:
            pass

    def receive(self) -> list[bytes] | None:
        """The next message, or None."""
        if self._socket is None:
            return None
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)  # type: ignore[no-any-return]
        except zmq.Again:
            return None

    def event(self) -> Event | None:
        """The next event of the connection, or None."""
        if self._monitor is None:
            return None
        try:
            frame = self._monitor.recv_multipart(zmq.NOBLOCK)[0]
        except zmq.Again:
            return None
        event = int.from_bytes(frame[:2], "little")
        return Event.OPENED if event == zmq.EVENT_HANDSHAKE_SUCCEEDED else Event.LOST

    def wait(self, seconds: float) -> bool:
        """Sleep until something can be read, `wake` is called or the time is over; True when the connection spoke."""
        ready = dict(self._poller.poll(max(0.0, min(seconds, 3600.0)) * 1000))
        if ready.pop(self._wake, None):
            os.eventfd_read(self._wake)
        return bool(ready)

    def wake(self) -> None:
        """End the `wait` of the I/O thread; callable from any thread."""
        os.eventfd_write(self._wake, 1)
