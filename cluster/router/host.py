"""What a router knows of the other processes on its host: what the supervisor's record says, and where it is itself.

Decides nothing; reading the record is left to whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..run_record import RunRecord
from .config import RouterConfig


class Host:
    """`record` tells what the supervisor has running, `usage` the memory and CPU of this process, and `endpoint` where
    clients reach it.
    """

    def __init__(
        self, config: RouterConfig, record: Callable[[], RunRecord | None], usage: Callable[[], Mapping[str, float]]
    ) -> None:
        self._usage = usage
        self.endpoint = config.listen
        self._number = config.number
        self._record = record

    @property
    def routers(self) -> list[str]:
        """Where all routers of the cluster are, this one among them however little was recorded yet."""
        record = self._record()
        return list(dict.fromkeys([*(record.endpoints if record else ()), self.endpoint]))

    def status(self, figures: Mapping[str, int]) -> dict[str, Any]:
        """What a status says beyond the replicas; `figures` are this router's own."""
        record = self._record()
        return {
            "endpoints": self.routers,
            "compactor": record.compactor if record else None,
            "routers": [list(router) for router in record.routers] if record else [],
            "router": {"id": self._number, "endpoint": self.endpoint, **figures, **self._usage()},
        }
