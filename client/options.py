"""What the asyncio and the blocking client have in common: their options and the resources they know."""

from __future__ import annotations

import math
import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from .backoff import Exponential, Fibonacci, Once, Strategy
from .calls import Resource
from .connection import Connection
from .endpoints import parse
from .protocol.errors import BadArgument
from .protocol.frames import TO_FOLLOWERS, TO_LEADER
from .protocol.limits import CLIENT_ID_BYTES_MAX, Limits
from .protocol.operations import SHARD
from .protocol.routing import SlotTable

TIMEOUT = 10.0
"""Default deadline of a call, in seconds."""

SESSION_TIMEOUT = 30.0
"""Default session timeout to ask for, in seconds."""

SELECTIONS = {"any": 0, "leader": TO_LEADER, "followers": TO_FOLLOWERS}
"""Which replicas a client's queries are for, by name."""

RECOVERIES = ("recover", "close")
"""What follows when a shard has ended the session: another one, or nothing more on that shard."""

PARTITIONED = "partitioned/"
"""What the names of the maps begin with that a partitioned map is made of; no other resource may be called so."""

RESOURCES_MAX = 100_000
"""Resources whose index is remembered; an older one that is used again is merely opened again."""


def seconds(name: str, value: float) -> float:
    """A positive, finite number of seconds. Raises BadArgument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise BadArgument(f"{name} is a positive number of seconds, not {value!r:.60}")
    return float(value)


class Options(NamedTuple):
    """How to connect; times in seconds. `retry` None is the default; `selection` is one of the numbers in SELECTIONS."""

    endpoints: list[str]
    timeout: float
    session_timeout: float
    client_id: str
    recovery: str = "recover"
    retry: Strategy | None = None
    selection: int = 0


def check(
    endpoints: str | Iterable[str] | None,
    timeout: float,
    session_timeout: float,
    client_id: str | None,
    *,
    recovery: str = "recover",
    retry: Strategy | None = None,
    selection: str = "any",
) -> Options:
    """The options a user gave, checked and complete. Raises BadArgument."""
    lowest, highest = Limits().session_timeout_ms_min / 1000, Limits().session_timeout_ms_max / 1000
    if not lowest <= seconds("session_timeout", session_timeout) <= highest:
        raise BadArgument(f"session_timeout is from {lowest:g} to {highest:g} seconds, not {session_timeout!r}")
    if client_id is None:
        client_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    if not isinstance(client_id, str) or not 0 < len(client_id.encode()) <= CLIENT_ID_BYTES_MAX:
        raise BadArgument(f"client_id is a str of 1 to {CLIENT_ID_BYTES_MAX} bytes in UTF-8, not {client_id!r:.60}")
    if recovery not in RECOVERIES:
        raise BadArgument(f"recovery is one of {', '.join(RECOVERIES)}, not {recovery!r:.60}")
    if retry is not None and not isinstance(retry, (Once, Exponential, Fibonacci)):
        raise BadArgument(f"retry is Once(), Exponential(first, last) or Fibonacci(first, last), not {retry!r:.60}")
    if selection not in SELECTIONS:
        raise BadArgument(f"selection is one of {', '.join(SELECTIONS)}, not {selection!r:.60}")
    return Options(
        parse(endpoints),
        seconds("timeout", timeout),
        float(session_timeout),
        client_id,
        recovery,
        retry,
        SELECTIONS[selection],
    )


class Resources:
    """The resources a client has used, by type and name, so that handles made twice share what is known."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], Resource] = {}
        self._types: dict[str, None] = {}
        self._partitioned: dict[str, dict[int, Resource]] = {}

    def get(self, name: str, type_name: str) -> Resource:
        """The resource of that name and type; makes no call. Raises BadArgument for an unusable name."""
        try:
            resource = self._known.get((type_name, name))
        except TypeError:
            resource = None
        return resource or self._make(name, type_name)

    def shard_of(self, name: str) -> Resource:
        """The shard itself on which the resource of that name lives. Raises BadArgument for an unusable name."""
        return self.shard(self._routed(name))

    def shard(self, shard: int) -> Resource:
        """A shard itself, whose operations open, delete and name resources."""
        itself = Resource("", "shard", shard)
        itself.index = SHARD
        return itself

    def shards(self) -> list[int]:
        """The numbers of all shards."""
        return sorted({shard for _, _, shard in self.slots.ranges})

    @property
    def slots(self) -> SlotTable:
        """Which shard serves a routing key."""
        assert self._connection.slots is not None, "connected clients know the slots"
        return self._connection.slots

    def partitioned(self, name: str) -> dict[int, Resource]:
        """The maps that a partitioned map is made of, by shard; makes no call. Raises BadArgument for an unusable name."""
        self._routed(name)
        stored = PARTITIONED + name
        parts = self._partitioned.get(name)
        if parts is None:
            _encoded(stored)
            parts = {shard: Resource(stored, "map", shard) for shard in self.shards()}
            parts = self._partitioned.setdefault(name, parts)
            if len(self._partitioned) > RESOURCES_MAX:
                self._partitioned.pop(next(iter(self._partitioned)), None)
        return parts

    def forget(self, name: str) -> None:
        """What was known of the resource of that name; handles that were made before keep what they know."""
        for type_name in list(self._types):
            self._known.pop((type_name, name), None)

    def _make(self, name: Any, type_name: Any) -> Resource:
        resource = Resource(name, type_name, self._routed(name))
        if not isinstance(type_name, str) or not type_name:
            raise BadArgument(f"types are non-empty str, not {type_name!r:.60}")
        if len(self._known) >= RESOURCES_MAX:
            self._known.pop(next(iter(self._known)), None)
        self._types[type_name] = None
        return self._known.setdefault((type_name, name), resource)

    def _routed(self, name: Any) -> int:
        routing_key = _encoded(name)
        if name.startswith(PARTITIONED):
            raise BadArgument(f"names that begin with {PARTITIONED} are those of partitioned maps, not {name!r:.60}")
        return self.slots.shard_of(routing_key)


def _encoded(name: Any) -> bytes:
    if not isinstance(name, str) or not name:
        raise BadArgument(f"names are non-empty str, not {name!r:.60}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise BadArgument(f"the name {name!r:.60} has no UTF-8: {error.reason}") from None
    limit = Limits().name_bytes_max
    if len(encoded) > limit:
        raise BadArgument(f"a name has at most {limit} bytes in UTF-8, this one has {len(encoded)}")
    return encoded
