"""Whether the process at the other end of a connection has surely ended, which a closed connection alone does not tell.

A leader whose connection closed may live on and hold a lease; one whose process has ended does not. On the same host the
kernel says who listens on a Unix socket, and tells its end by a descriptor. Of a peer elsewhere nothing is known.

Invariant: what `ended` names was dead before it was named. A process that took the place of another on the same address
was started after the other's end, since it holds the lock of the same directory.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Mapping

_IPC = "ipc://"
_CREDENTIALS = struct.Struct("3i")


class Lives:
    """The processes of the peers, by member; `addresses` are where each of them listens, as ZeroMQ writes them."""

    def __init__(self, addresses: Mapping[int, str]) -> None:
        self._addresses = addresses
        self._watched: dict[int, int] = {}

    def watch(self, member: int) -> int | None:
        """A connection to the member stands: the descriptor to wait for, readable once its process has ended, if any.

        The one watched before is forgotten.
        """
        self.forget(member)
        descriptor = _watch(self._addresses[member])
        if descriptor is not None:
            self._watched[member] = descriptor
        return descriptor

    def ended(self, readable: Collection[int]) -> list[int]:
        """The members whose processes have ended, of those whose descriptors spoke; they are forgotten."""
        ended = [member for member, descriptor in self._watched.items() if descriptor in readable]
        for member in ended:
            self.forget(member)
        return ended

    def forget(self, member: int) -> None:
        """Watch the member's process no longer; its descriptor is closed."""
        descriptor = self._watched.pop(member, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Watch nobody any more."""
        for member in list(self._watched):
            self.forget(member)


def _watch(address: str) -> int | None:
    if not address.startswith(_IPC) or not hasattr(os, "pidfd_open"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.removeprefix(_IPC))
            pid, _, _ = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            # A number that another process has by now makes its end the later one: still no death is told too early.
            return os.pidfd_open(pid) if pid > 0 else None
        except OSError:
            return None
