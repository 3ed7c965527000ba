"""The client's ZeroMQ side: one DEALER to one router, what became of its connection, and a way to wake the I/O thread.

Nothing here knows the protocol. All methods but `wake` belong to one thread at a time: two that share a transport do so under
a lock. Every open makes a fresh socket: what was queued for a lost router must not reach its successor late.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from . import context
from .connection import Event
from .protocol.frames import Frame
from .protocol.limits import UNCOPIED_BYTES_MIN

HEARTBEAT_MS = 1500
SILENCE_MS = 4000
"""A router that answers no heartbeat for so long counts as lost."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Answers may be larger than what a client may send (the keys of a map); beyond this the connection is dropped."""

LONGEST_SLEEP_SECONDS = 3600.0

# As plain integers: an operation on pyzmq's flags costs a microsecond, and these are used in every turn.
_READABLE = int(zmq.POLLIN)
_NOBLOCK = int(zmq.NOBLOCK)
_STATE = int(zmq.EVENTS)

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
    """A `connection.Transport` over ZeroMQ, with the selector that the I/O thread sleeps in.

    Once it is shared, somebody else waits for messages, and `wait` no longer ends when one comes.
    """

    def __init__(self) -> None:
        self._context: Any = context.acquire()
        self._socket: Any = None
        self._monitor: Any = None
        self._descriptors: tuple[int, int] = (-1, -1)
        self._monitor_spoke = False
        # A pair of sockets and not an eventfd or a pipe: it works wherever pyzmq does.
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._messages: selectors.BaseSelector | None = None

    def share(self, watch: Callable[[int], None]) -> int | None:
        """From now on somebody else waits for messages: `watch` is given what becomes readable when one may have come.

        Returns that descriptor, a copy which outlives the transport: whoever watches it closes it. None, and all stays as it
        was, where there is none, and when `watch` raises NotImplementedError.
        """
        messages = selectors.DefaultSelector()
        fileno = getattr(messages, "fileno", None)
        if fileno is None:
            messages.close()
            return None
        descriptor = os.dup(fileno())
        try:
            watch(descriptor)
        except NotImplementedError:
            os.close(descriptor)
            messages.close()
            return None
        if self._socket is not None:
            self._selector.unregister(self._descriptors[0])
            messages.register(self._descriptors[0], selectors.EVENT_READ)
        self._messages = messages
        return descriptor

    def open(self, endpoint: str) -> None:
        """Connect a fresh socket. Raises OSError when the endpoint cannot be used."""
        self.close()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in _OPTIONS.items():
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        self._descriptors = self._socket.getsockopt(zmq.FD), self._monitor.getsockopt(zmq.FD)
        spoken, happened = self._descriptors
        (self._messages or self._selector).register(spoken, selectors.EVENT_READ)
        self._selector.register(happened, selectors.EVENT_READ)
        self._monitor_spoke = True  # a descriptor says nothing before its socket was read to the end once
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise OSError(error.errno, str(error)) from None

    def close(self) -> None:
        """Drop the connection and what is queued on it."""
        if self._socket is not None:
            spoken, happened = self._descriptors
            (self._messages or self._selector).unregister(spoken)
            self._selector.unregister(happened)
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(0)
            self._socket = self._monitor = None
            self._monitor_spoke = False

    def destroy(self) -> None:
        """Free the sockets; the transport is of no use afterwards, but `wake` stays harmless."""
        self.close()
        self._selector.close()
        if self._messages is not None:
            self._messages.close()
        self._wakened.close()
        self._waker.close()
        context.release(self._context)

    def send(self, message: Sequence[Frame]) -> None:
        """Send one message; dropped when there is no connection or it is clogged."""
        if self._socket is None:
            return
        try:
            if len(message) == 1:
                self._socket.send(message[0], _NOBLOCK)
            else:
                self._socket.send_multipart(message, _NOBLOCK, copy=len(message[-1]) < UNCOPIED_BYTES_MIN)
        except zmq.Again:
            pass

    @property
    def readable(self) -> bool:
        """Whether there is a message. To be asked after sending, which may silence the descriptors that tell of one."""
        return self._socket is not None and bool(self._socket.getsockopt(_STATE) & _READABLE)

    def receive(self) -> list[bytes] | None:
        """The next message, or None."""
        if not self.readable:
            return None
        return self._socket.recv_multipart(_NOBLOCK)  # type: ignore[no-any-return]

    def event(self) -> Event | None:
        """The next event of the connection, or None."""
        if self._monitor is None or not self._monitor_spoke:
            return None
        try:
            frame = self._monitor.recv_multipart(_NOBLOCK)[0]
        except zmq.Again:
            self._monitor_spoke = False
            return None
        event = int.from_bytes(frame[:2], "little")
        return Event.OPENED if event == zmq.EVENT_HANDSHAKE_SUCCEEDED else Event.LOST

    def wait(self, seconds: float) -> bool:
        """Sleep until something can be read, `wake` is called or the time is over; True when the connection may have spoken."""
        shared = self._messages is not None
        # ZeroMQ's descriptors tell of changes only, and sending takes notice of them too: ask before sleeping. A socket that
        # somebody else reads is not touched outside the lock.
        if self._monitor_spoke or (not shared and self.readable):
            seconds = 0.0
        spoke = shared or seconds <= 0
        for key, _ in self._selector.select(max(0.0, min(seconds, LONGEST_SLEEP_SECONDS))):
            if key.fileobj is self._wakened:
                self._drain()
            else:
                spoke = True
                self._monitor_spoke |= key.fd == self._descriptors[1]
        return spoke

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(self._wakened.recv(64)) == 64:
                pass

    def wake(self) -> None:
        """End the `wait` of the I/O thread; callable from any thread, and harmless when there is none any more."""
        with contextlib.suppress(OSError):
            self._waker.send(b"!")
