"""A replica's end of the connection to its host's compactor process; it decides nothing.

The compactor answers every request. When the connection breaks, or there is none, the request is lost and said to be:
the replica then works on without, and asks again with its next run.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import parse_monitor_message

from ..log.compaction_request import CompactionRequest, CompactionResult
from .inbox import Inbox

NO_COMPACTOR = "no compactor is running on this host"
LOST = "the compactor went away"


class CompactorLink:
    """Send a request with `send`; `receive` says what came of it.

    A request may be sent while one that was given up is still unanswered: the compactor answers both.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        # What waits for an absent compactor would reach its successor, whose answer nobody waits for any more.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        self._monitor = Inbox(socket.get_monitor_socket(zmq.EVENT_DISCONNECTED))
        socket.connect(address)
        self._socket = socket
        self._inbox = Inbox(socket)
        self._unanswered = 0
        self.descriptors = (self._inbox.descriptor, self._monitor.descriptor)

    @property
    def rest(self) -> bool:
        """Whether there may be something to `receive` of which no descriptor speaks any more."""
        return self._inbox.rest or self._monitor.rest

    def send(self, request: CompactionRequest) -> bool:
        """Hand the request over; False when there is nobody to take it."""
        try:
            self._socket.send(request.to_wire(), int(zmq.NOBLOCK))
        except zmq.Again:
            return False
        self._inbox.used()
        self._unanswered += 1
        return True

    def receive(self) -> list[CompactionResult | str]:
        """What has come back: results, or the reason why there will be none."""
        found: list[CompactionResult | str] = []
        for frames in self._inbox.messages():
            self._unanswered = max(0, self._unanswered - 1)
            found.append(CompactionResult.from_wire(frames[-1]))
        for event in self._monitor.messages():
            if parse_monitor_message(event)["event"] == zmq.EVENT_DISCONNECTED and self._unanswered:
                self._unanswered = 0
                found.append(LOST)
        return found

    def close(self) -> None:
        """Close the sockets; the monitor first, as libzmq's own thread writes into it."""
        self._socket.disable_monitor()
        self._monitor.socket.close(linger=0)
        self._socket.close(linger=0)
