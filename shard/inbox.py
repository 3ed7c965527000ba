"""Reading a ZeroMQ socket that is waited for by its descriptor, among others in one epoll."""

from __future__ import annotations

from collections.abc import Iterator

import zmq

MESSAGES_PER_TURN_MAX = 256
"""Messages read from one socket in one turn, so that no peer starves another."""

# As plain integers: combining pyzmq's flags costs more than passing them.
_NOBLOCK = int(zmq.NOBLOCK)
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)


class Inbox:
    """A socket that is read when its descriptor says so.

    The descriptor is edge-triggered in effect: it speaks once for what arrived, and falls silent when the socket is
    used, whether or not messages are left. So `rest` remembers that there may be more, and whoever sends on the socket
    says so with `used`. One descriptor per socket in an epoll costs a turn far fewer system calls than zmq_poll.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.descriptor = int(socket.getsockopt(zmq.FD))
        self.rest = True

    def used(self) -> None:
        """The socket was sent on, which may have silenced its descriptor."""
        self.rest = self.rest or bool(int(self.socket.getsockopt(_EVENTS)) & _POLLIN)

    def messages(self) -> Iterator[list[bytes]]:
        """What has arrived, at most MESSAGES_PER_TURN_MAX messages."""
        receive = self.socket.recv_multipart
        self.rest = True
        for _ in range(MESSAGES_PER_TURN_MAX):
            try:
                frames = receive(_NOBLOCK)
            except zmq.Again:
                self.rest = False
                return
            yield frames
