"""Asking a router how its cluster is: one question, one answer, no session and no thread.

status = ocelog.client.status.fetch("tcp://127.0.0.1:7400", timeout=5)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .protocol import frames
from .question import ask


def fetch(endpoints: str | Iterable[str] | None = None, timeout: float = 5.0) -> dict[str, Any]:
    """The status dictionary of the first router that answers.

    `endpoints` as for `connect`; `timeout` in seconds. Raises BadArgument, ConnectFailed when no router answers,
    DeadlineExceeded when one answers but does not report in time.
    """
    return ask(endpoints, frames.STATUS, timeout)
