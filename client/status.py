"""Asking a router how its cluster is: one question, one answer, no session and no thread.

status = ocelog.client.status.fetch("tcp://127.0.0.1:7400", timeout=5)
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
from .protocol.errors import DeadlineExceeded
from .transport import ZmqTransport

ASK_AGAIN_SECONDS = 2.0
"""A router gathers for up to a second; after this long the question is repeated."""


def fetch(endpoints: str | Iterable[str] | None = None, timeout: float = 5.0) -> dict[str, Any]:
    """The status dictionary of the first router that answers.

    `endpoints` as for `connect`; `timeout` in seconds. Raises BadArgument, ConnectFailed when no router answers,
    DeadlineExceeded when one answers but does not report in time.
    """
    started = monotonic()
    deadline = started + seconds("timeout", timeout)
    transport = ZmqTransport()
    connection = Connection(parse(endpoints), transport, Random())
    try:
        return _ask(connection, transport, started, deadline)
    finally:
        transport.destroy()


def _ask(connection: Connection, transport: ZmqTransport, started: float, deadline: float) -> dict[str, Any]:
    envelope = Envelope(frames.NO_SHARD)
    ask_at = started
    while (now := monotonic()) < deadline:
        connection.tick(now)
        if connection.ready and now >= ask_at:
            transport.send(envelope.message(frames.STATUS, envelope.next_request()))
            ask_at = now + ASK_AGAIN_SECONDS
        transport.wait(min(deadline, connection.wake_at, ask_at if connection.ready else deadline) - now)
        while (event := transport.event()) is not None:
            connection.event(event, monotonic())
        while (message := transport.receive()) is not None:
            report = _report(connection, message)
            if report is not None:
                return report
    if connection.ready:
        raise DeadlineExceeded("the router did not report its cluster in time", endpoint=connection.endpoint)
    raise connect_failed(connection, monotonic() - started)


def _report(connection: Connection, message: list[bytes]) -> dict[str, Any] | None:
    try:
        reply, body = frames.parse_reply(message)
        if reply.kind != frames.STATUS_REPORT:
            connection.receive(message, monotonic())
            return None
        report = msgpack.unpackb(body, raw=False, max_ext_len=0)
    except Exception:  # whatever this was, it is no report; the question is repeated
        return None
    return report if isinstance(report, dict) else None
