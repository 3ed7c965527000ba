"""Fault schedules: kill one replica of every shard at a given time into the load and start it again later.

Knows a cluster only by `leader`, `status`, `kill` and `restart`; runs in a thread beside the load, on the clock it is
given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RESTART_AFTER_SECONDS = 3.0
LEADER_SECONDS_MAX = 30.0
LEVEL_SECONDS_MAX = 120.0
LEVEL_ENTRIES = 2000
"""A replica that is no further behind than this has caught up: under load nobody is ever quite level."""
POLL_SECONDS = 0.01
STATUS_SECONDS = 0.2

Restarted = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kill: which replica, what it was, and when (seconds into the load) it was killed, back and level again.

    `caught_up_at_s` is None where nobody looked or it did not happen in time.
    """

    shard: int
    replica: int
    killed_at_s: float
    restarted_at_s: float | None
    role: str = "leader"
    caught_up_at_s: float | None = None


def leader_of(cluster: Any, shard: int, timeout: float = LEADER_SECONDS_MAX) -> int:
    """The replica that leads a shard, as soon as one does. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        leader: int | None = cluster.leader(shard)
        if leader is not None:
            return leader
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"shard {shard} had no leader for {timeout:g} s")


class Schedule:
    """Kills one replica of each shard `at` seconds after `start` and restarts it at `back_at`.

    `restarted` is called with shard and replica after each restart. `finish` waits for a schedule under way (who was
    killed is started again also when the load ended meanwhile) and re-raises what went wrong in it.
    """

    role = ""

    def __init__(self, cluster: Any, shards: int, at: float, back_at: float, restarted: Restarted) -> None:
        self.cluster = cluster
        self.shards = shards
        self.at = at
        self.back_at = back_at
        self.restarted = restarted
        self.faults: list[Fault] = []
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def victim(self, shard: int) -> int:
        """The replica of a shard to kill."""
        raise NotImplementedError

    def level_at(self, shard: int, replica: int, began: float) -> float | None:
        """When a replica that is back had caught up, None to leave it untold."""
        return None

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
            self._over.wait(max(0.0, began + self.back_at - time.monotonic()))
            for shard, replica, killed_at in killed:
                self.cluster.restart(shard, replica)
                self.restarted(shard, replica)
                back = time.monotonic() - began
                fault = Fault(
                    shard=shard,
                    replica=replica,
                    killed_at_s=killed_at,
                    restarted_at_s=back,
                    role=self.role,
                    caught_up_at_s=self.level_at(shard, replica, began),
                )
                self.faults.append(fault)
        except BaseException as error:
            self._error = error

    def _kill(self, shard: int, began: float) -> tuple[int, int, float]:
        replica = self.victim(shard)
        self.cluster.kill(shard, replica)
        return shard, replica, time.monotonic() - began


class KillLeaders(Schedule):
    """Kills each shard's leader, and restarts it RESTART_AFTER_SECONDS later."""

    role = "leader"

    def __init__(self, cluster: Any, shards: int, at: float, restarted: Restarted) -> None:
        super().__init__(cluster, shards, at, at + RESTART_AFTER_SECONDS, restarted)

    def victim(self, shard: int) -> int:
        return leader_of(self.cluster, shard)


class StopFollowers(Schedule):
    """Takes one follower of each shard away for a while, and watches how it catches up when it is back."""

    role = "follower"

    def victim(self, shard: int) -> int:
        leader = leader_of(self.cluster, shard)
        return next(int(row["id"]) for row in self._replicas(shard) if row["id"] != leader)

    def level_at(self, shard: int, replica: int, began: float) -> float | None:
        deadline = time.monotonic() + LEVEL_SECONDS_MAX
        while time.monotonic() < deadline:
            rows = self._replicas(shard)
            highest = max((row["commit_index"] or 0 for row in rows), default=0)
            if highest and (rows[replica]["applied_index"] or 0) >= highest - LEVEL_ENTRIES:
                return time.monotonic() - began
            time.sleep(STATUS_SECONDS)
        return None

    def _replicas(self, shard: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.cluster.status()["shards"][shard]["replicas"]
        return rows
