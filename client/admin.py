"""Asking replicas for a compaction or a snapshot: what each of them answers at once, not what becomes of it.

rows = ocelog.client.admin.request("tcp://127.0.0.1:7400", AdminRequest("compact"), timeout=5)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .protocol import frames
from .protocol.admin import AdminRequest, pack_admin
from .question import ask


def request(
    endpoints: str | Iterable[str] | None, wanted: AdminRequest, *, shard: int | None = None, timeout: float = 5.0
) -> list[dict[str, Any]]:
    """Ask every replica of a shard (None: of all shards): one dictionary each, with `shard`, `replica` and `ok`.

    docs/protocol.md says what else is in them. Raises BadArgument, ConnectFailed when no router answers,
    DeadlineExceeded when one answers but does not report in time, Refused when it refuses (an unknown shard, an older
    version).
    """
    number = frames.NO_SHARD if shard is None else shard
    report = ask(endpoints, frames.ADMIN, timeout, shard=number, body=pack_admin(wanted))
    rows = report.get("replicas")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
