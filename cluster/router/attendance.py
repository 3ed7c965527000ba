"""Which client is behind which descriptor, so that the end of a connection is the end of its client at once.

A ROUTER socket tells that a peer is gone only when something is sent to it, and a listener may be sent nothing for
long. Its monitor tells of each connection that closed, also of one whose peer answers no heartbeat, but knows only the
descriptor; a greeting knows both.

Invariant: an identity is behind one descriptor at most, the one of its latest greeting. The caller reads the monitor to
its end before it notes a greeting: descriptors are used again, and a new connection's comes after the old one's end.
"""

from __future__ import annotations


class Attendance:
    """Identities by descriptor and the other way round; those that never greeted are not here."""

    def __init__(self) -> None:
        self._identities: dict[int, bytes] = {}
        self._descriptors: dict[bytes, int] = {}

    def note(self, descriptor: int, identity: bytes) -> None:
        """A client greets over that connection."""
        self._identities.pop(self._descriptors.pop(identity, -1), None)
        self._descriptors.pop(self._identities.get(descriptor, b""), None)
        self._identities[descriptor] = identity
        self._descriptors[identity] = descriptor

    def closed(self, descriptor: int) -> bytes | None:
        """The connection has ended: whose it was, None when nobody's who is not elsewhere by now."""
        identity = self._identities.pop(descriptor, None)
        if identity is not None:
            del self._descriptors[identity]
        return identity
