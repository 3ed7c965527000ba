"""A fault schedule: kill the leader of every shard at a given time into the load and start it again a little later.

Knows a cluster only by `leader`, `kill` and `restart`; runs in a thread beside the load, on the clock it is given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RESTART_AFTER_SECONDS = 3.0
LEADER_SECONDS_MAX = 30.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kill: which replica, and when (seconds into the load) it was killed and started again."""

    shard: int
    replica: int
    killed_at_s: float
    restarted_at_s: float | None


def leader_of(cluster: Any, shard: int, timeout: float = LEADER_SECONDS_MAX) -> int:
    """The replica that leads a shard, as soon as one does. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        leader: int | None = cluster.leader(shard)
        if leader is not None:
            return leader
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"shard {shard} had no leader for {timeout:g} s")


class KillLeaders:
    """Kills each shard's leader `at` seconds after `start`, restarts it RESTART_AFTER_SECONDS later.

    `restarted` is called with shard and replica after each restart. `finish` waits for a schedule under way (who was
    killed is started again also when the load ended meanwhile) and re-raises what went wrong in it.
    """

    def __init__(self, cluster: Any, shards: int, at: float, restarted: Callable[[int, int], None]) -> None:
        self.cluster = cluster
        self.shards = shards
        self.at = at
        self.restarted = restarted
        self.faults: list[Fault] = []
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        """The load begins now."""
        self._thread.start()

    def finish(self) -> list[Fault]:
        """The load is over: what was done to the cluster."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self.faults

    def _run(self) -> None:
        try:
            began = time.monotonic()
            if self._over.wait(self.at):
                return
            killed = [self._kill(shard, began) for shard in range(self.shards)]
            self._over.wait(RESTART_AFTER_SECONDS)
            for shard, replica, killed_at in killed:
                self.cluster.restart(shard, replica)
                self.restarted(shard, replica)
                back = time.monotonic() - began
                self.faults.append(Fault(shard=shard, replica=replica, killed_at_s=killed_at, restarted_at_s=back))
        except BaseException as error:
            self._error = error

    def _kill(self, shard: int, began: float) -> tuple[int, int, float]:
        replica = leader_of(self.cluster, shard)
        self.cluster.kill(shard, replica)
        return shard, replica, time.monotonic() - began
