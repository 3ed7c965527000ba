"""Where the routers are: reading the endpoints that a user gives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from .protocol.errors import BadArgument

DEFAULT = "tcp://127.0.0.1:7400"
VARIABLE = "OCELOG_ENDPOINTS"

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_IPC = re.compile(r"ipc://[^\n\0\ud800-\udfff]+")


def parse(endpoints: str | Iterable[str] | None) -> list[str]:
    """A list of endpoints from one, several separated by commas, or an iterable.

    None means the environment variable OCELOG_ENDPOINTS, else tcp://127.0.0.1:7400. Raises BadArgument.
    """
    if endpoints is None:
        endpoints = os.environ.get(VARIABLE) or DEFAULT
    if isinstance(endpoints, str):
        endpoints = endpoints.split(",")
    parsed = [_checked(endpoint) for endpoint in endpoints]
    if not parsed:
        raise BadArgument("no endpoint was given; expected for example tcp://127.0.0.1:7400")
    return list(dict.fromkeys(parsed))


def _checked(endpoint: object) -> str:
    if isinstance(endpoint, str):
        endpoint = endpoint.strip()
        match = _TCP.fullmatch(endpoint)
        if (match and 0 < int(match[2]) < 65536) or _IPC.fullmatch(endpoint):
            return endpoint
    raise BadArgument(f"not an endpoint: {endpoint!r:.100}; expected for example tcp://127.0.0.1:7400")
