"""Asking a router one thing and waiting for the one answer: no session and no thread.

What is asked this way may be asked again when no answer comes, since nothing here knows whether it arrived.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from time import monotonic
from typing import Any

import msgpack

from .connection import Connection
from .endpoints import parse
from .envelope import Envelope
from .io import connect_failed
from .options import seconds
from .protocol import frames
from .protocol.errors import ROWS, DeadlineExceeded, error_for
from .transport import ZmqTransport

ASK_AGAIN_SECONDS = 2.0
"""A router gathers for up to a second; after this long the question is repeated."""

ANSWER_OF = {frames.STATUS: frames.STATUS_REPORT, frames.ADMIN: frames.ADMIN_REPORT}


def ask(
    endpoints: str | Iterable[str] | None,
    kind: int,
    timeout: float,
    *,
    shard: int = frames.NO_SHARD,
    body: bytes = b"",
) -> dict[str, Any]:
    """The map that the first router which answers reports, for a question of one of the kinds in ANSWER_OF.

    `endpoints` as for `connect`; `timeout` in seconds. Raises BadArgument, ConnectFailed when no router answers,
    DeadlineExceeded when one answers but does not report in time, Refused when it refuses for good.
    """
    started = monotonic()
    transport = ZmqTransport()
    question = _Question(Connection(parse(endpoints), transport, Random()), transport, kind, shard, body)
    try:
        return question.ask(started, started + seconds("timeout", timeout))
    finally:
        transport.destroy()


class _Question:
    def __init__(self, connection: Connection, transport: ZmqTransport, kind: int, shard: int, body: bytes) -> None:
        self._connection = connection
        self._transport = transport
        self._kind = kind
        self._body = body
        self._envelope = Envelope(shard)
        self._ask_at = 0.0

    def ask(self, started: float, deadline: float) -> dict[str, Any]:
        connection, transport, envelope = self._connection, self._transport, self._envelope
        while (now := monotonic()) < deadline:
            connection.tick(now)
            if connection.ready and now >= self._ask_at:
                transport.send(envelope.message(self._kind, envelope.next_request(), self._body))
                self._ask_at = now + ASK_AGAIN_SECONDS
            transport.wait(min(deadline, connection.wake_at, self._ask_at if connection.ready else deadline) - now)
            while (event := transport.event()) is not None:
                connection.event(event, monotonic())
            while (message := transport.receive()) is not None:
                report = self._report(message)
                if report is not None:
                    return report
        if connection.ready:
            raise DeadlineExceeded("the router did not report in time", endpoint=connection.endpoint)
        raise connect_failed(connection, monotonic() - started)

    def _report(self, message: list[bytes]) -> dict[str, Any] | None:
        """The report in a message; None when it is something else. Raises Refused."""
        try:
            reply, body = frames.parse_reply(message)
        except frames.BadFrame:
            return None
        if reply.kind == frames.REFUSED and reply.request and self._connection.ready:
            row = ROWS.get(reply.code)
            if row is None or not row.retry:
                raise error_for(reply.code, bytes(body).decode("utf-8", "replace"), endpoint=self._connection.endpoint)
            self._ask_at = monotonic() + reply.retry_after_ms / 1000
            return None
        if reply.kind != ANSWER_OF[self._kind]:
            self._connection.receive(message, monotonic())
            return None
        try:
            report = msgpack.unpackb(body, raw=False, max_ext_len=0)
        except Exception:  # msgpack raises a dozen unrelated types; this is no report, and the question is repeated
            return None
        return report if isinstance(report, dict) else None
