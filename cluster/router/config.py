"""What a router is told when it is started: one JSON object, checked here before any socket exists."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from ...client.protocol.routing import SlotTable
from ..config import LoggingSection, Settings
from ..endpoint import SOCKET_PATH_BYTES_MAX, listen_of
from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """One cluster as a router sees it. Members are numbered through: `shard * replicas + replica`.

    `number` is the router's own, `data` the cluster's directory, in which only its log is written.
    """

    data: str
    number: int
    logging: LoggingSection
    cluster_id: str
    shards: int
    replicas: int
    sockets: str
    listen: str
    slots: tuple[tuple[int, int, int], ...]
    message_bytes_max: int

    def __post_init__(self) -> None:
        if self.shards < 1 or self.replicas < 1:
            raise ConfigError(f"{self.shards} shards of {self.replicas} replicas: at least one of each is needed")
        try:
            table = SlotTable(self.slots)
        except ValueError as error:
            raise ConfigError(f"slots: {error}") from None
        served = {shard for _, _, shard in table.ranges}
        if not served <= set(range(self.shards)):
            raise ConfigError(f"slots name shards {sorted(served)}, the cluster has {self.shards}")
        longest = self.path_of(self.members - 1)
        if len(longest.encode()) > SOCKET_PATH_BYTES_MAX:
            raise ConfigError(f"the socket path {longest} is longer than {SOCKET_PATH_BYTES_MAX} bytes")

    @property
    def log_path(self) -> str:
        """File of this router's log."""
        return os.path.join(self.data, "logs", f"router-{self.number}.log")

    @property
    def members(self) -> int:
        """Number of replicas in the whole cluster."""
        return self.shards * self.replicas

    def path_of(self, member: int) -> str:
        """File of the socket on which a member serves routers."""
        shard, replica = divmod(member, self.replicas)
        return f"{self.sockets}/s{shard}r{replica}.c"

    @classmethod
    def from_json(cls, text: str) -> RouterConfig:
        """Read the argument of the process. Raises ConfigError naming what is missing or malformed."""
        try:
            fields: dict[str, Any] = json.loads(text)
            settings = Settings.from_sections(fields.get("settings", {}))
            return cls(
                data=str(fields["data"]),
                number=int(fields.get("router", 0)),
                logging=settings.logging,
                cluster_id=str(fields["cluster_id"]),
                shards=int(fields["shards"]),
                replicas=int(fields["replicas"]),
                sockets=str(fields["sockets"]),
                listen=listen_of(str(fields["listen"]), 0),
                slots=tuple((int(first), int(last), int(shard)) for first, last, shard in fields["slots"]),
                message_bytes_max=settings.limits.message_bytes_max,
            )
        except KeyError as error:
            raise ConfigError(f"the router's argument lacks {error.args[0]!r}") from None
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"the router's argument cannot be read: {error}") from None
