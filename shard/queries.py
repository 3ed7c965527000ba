"""A message of queries, whoever answers it: how it is read, what waits of it, and how its answers are made.

It knows nothing of leaders, rounds or leases; when a query may run is decided by `reads` (what needs the leader) and by
`local_reads` (what any replica may answer).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..client.protocol import errors, frames
from ..client.protocol.frames import BadFrame, Request
from ..client.protocol.limits import Limits
from .executor import Executor
from .outbox import Origin, Outbox
from .receipts import microseconds, send_receipt
from .results import encode_error
from .sessions import Session

ANSWERS_BYTES_MAX = 32 * 1024 * 1024
"""What one message of answers may hold. Larger ones would make a client drop its connection, and ask again."""

READ_WAIT_MS_MAX = 10_000
"""A read that cannot run for so long is forgotten; a client that still cares has repeated it meanwhile."""


class Read(NamedTuple):
    """A query or a keep-alive, from arrival to its answer; `deadline` is in ticks of whoever keeps it.

    `parts` is None for a message of a session that was not known when it arrived: a leader may have been replaced
    without knowing it, and its successor may have opened the session. `arrived` is in seconds of the clock for receipts, of
    one that asks for a receipt.
    """

    origin: Origin
    header: Request
    parts: list[bytes] | None
    deadline: int
    arrived: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of the queries."""
        return sum(map(len, self.parts or ()))


def parts_of(header: Request, body: memoryview | bytes, limits: Limits) -> list[bytes]:
    """The queries of a message. Raises BadFrame when it has too few, too many, or cannot be read."""
    if not 1 <= header.count <= limits.operations_max:
        raise BadFrame(f"{header.count} queries in a message; 1 to {limits.operations_max}")
    return frames.unpack_parts(body, header.count)


def answer(
    executor: Executor,
    outbox: Outbox,
    read: Read,
    session: Session,
    bytes_max: int,
    path: str,
    clock: Callable[[], float],
) -> None:
    """Run the queries of a message at the applied index and answer them, in order, as one message.

    `path` is by what right they run now, and `clock` (seconds) says when, for the receipt of one that wants to know.
    """
    header = read.header
    traced = header.flags & frames.TRACED
    begun = clock() if traced else 0.0
    room = bytes_max
    results = []
    for part in read.parts or ():
        result = executor.run_query(header.session, part)
        if len(result) > room:
            text = f"the answers to one message of queries have at most {bytes_max} bytes"
            result = encode_error(errors.TOO_LARGE, text)
        room -= len(result)
        results.append(result)
    if traced:
        send_receipt(
            outbox,
            read.origin,
            header.request,
            session,
            header.first_sequence,
            len(results),
            index=executor.applied_index,
            path=path,
            times={"queued": microseconds(begun - read.arrived), "applied": microseconds(clock() - begun)},
        )
    body = frames.pack_parts(results)
    outbox.answer(
        read.origin,
        frames.ANSWERS,
        header.request,
        header.session,
        body,
        count=len(results),
        event_index=session.event_index,
    )


def refuse(outbox: Outbox, read: Read, code: int, text: str = "", *, retry_after_ms: int = 0) -> None:
    """Refuse a whole message."""
    header = read.header
    outbox.refuse(
        read.origin,
        header.request,
        header.session,
        code,
        text,
        first_sequence=header.first_sequence,
        retry_after_ms=retry_after_ms,
    )


def refuse_unknown(outbox: Outbox, read: Read) -> None:
    """The session has ended, or was never opened, or the key is not its own."""
    refuse(outbox, read, errors.UNKNOWN_SESSION, f"session {read.header.session} is not open on shard {outbox.shard}")
