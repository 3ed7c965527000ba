"""The header of every message of one session: who it is, over which connection, and what it has seen."""

from __future__ import annotations

from .protocol.frames import LINEARIZABLE, NO_KEY, REQUEST, VERSION, Frame, request_frames

MILLISECONDS_MAX = 0xFFFFFFFF


def milliseconds(seconds: float) -> int:
    """What is left of a deadline as the header carries it: 1 to 2**32 - 1 (which also stands for no deadline)."""
    return max(1, int(seconds * 1000)) if seconds < MILLISECONDS_MAX / 1000 else MILLISECONDS_MAX


class Envelope:
    """What the headers of one shard's messages have in common.

    `seen` is the highest log index seen: of the session itself, of results and events received, of answers to queries that
    were delivered. Not what other answers say is applied: that would make a query wait for what nobody here has seen.
    """

    __slots__ = ("connection", "endpoint", "key", "request", "seen", "session", "shard")

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.session = 0
        self.key = NO_KEY
        self.connection = 0
        self.endpoint = ""
        self.seen = 0
        self.request = 0

    def next_request(self) -> int:
        """A request id that no earlier message of this shard had, whatever its session."""
        self.request += 1
        return self.request

    def message(
        self,
        kind: int,
        request: int,
        body: Frame = b"",
        *,
        level: int = LINEARIZABLE,
        flags: int = 0,
        count: int = 0,
        first_sequence: int = 0,
        acknowledged: int = 0,
        milliseconds_left: int = MILLISECONDS_MAX,
    ) -> list[Frame]:
        """One message in frames."""
        header = REQUEST.pack(
            VERSION,
            kind,
            self.shard,
            level,
            flags,
            count,
            request,
            self.session,
            self.key,
            first_sequence,
            acknowledged,
            self.seen,
            self.connection,
            milliseconds_left,
        )
        return request_frames(header, body)
