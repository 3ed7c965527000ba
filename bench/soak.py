"""Thousands of listening sessions on one shard while its leader is killed again and again: nothing lost, memory bounded.

    python -m ocelog.bench.soak --sessions 2000 --seconds 180 --kill-every 5

A cluster of 1 x 3. One session of a crowd puts, some times a second; every other one listens to all of it. At the end each
listener has had the event of each put, once, in order: the number of the put is in the event. A put is repeated until it
is answered, as any client does, and counts once.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import psutil

from ..client.protocol import operations
from .crowd import Crowd, CrowdFailed, Member
from .events import SECONDS, memory_of, opened
from .faults import leader_of
from .report import Rows, show

DOWN_SECONDS = 2.0
"""A killed leader stays away so long."""

CATCHING_UP_SECONDS = 60.0
"""After the load every event has to be there within this time."""

MEMORY_SECONDS = 5.0
SESSION_SECONDS = 30.0


class Kills:
    """Kills the leader of shard 0 every so many seconds and starts it again, on a thread, between entering and leaving."""

    def __init__(self, cluster: Any, every: float) -> None:
        self.cluster = cluster
        self.every = every
        self.count = 0
        self._error: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kills", daemon=True)

    def __enter__(self) -> Kills:
        if self.every:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.wait(self.every):
                leader = leader_of(self.cluster, 0)
                self.cluster.kill(0, leader)
                self.count += 1
                self._over.wait(DOWN_SECONDS)
                self.cluster.restart(0, leader)
        except BaseException as error:
            self._error = error


@dataclass(slots=True)
class Ledger:
    """What each listener has had: the number of the last put, by its place in the crowd; and what was wrong."""

    last: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(self, member: Member, indexes: Sequence[int], batches: Sequence[bytes]) -> None:
        """Events of one listener; each has to be of the put after the one before."""
        expected = self.last.get(member.number, -1) + 1
        for batch in batches:
            for _, _, (_, _, _, new) in msgpack.unpackb(batch):
                number = msgpack.unpackb(new)
                if number != expected:
                    self.wrong.append(f"listener {member.number} had the event of put {number}, {expected} was next")
                expected = number + 1
        self.last[member.number] = expected - 1

    def behind(self, members: Sequence[Member], last: int) -> int:
        """How many of these listeners have not had the event of put `last`."""
        return sum(self.last.get(member.number, -1) < last for member in members)


@dataclass(frozen=True, kw_only=True, slots=True)
class Soaked:
    """What a soak found; `memory` is the most that a replica had for itself, in bytes, every few seconds."""

    sessions: int
    puts: int
    events: int
    kills: int
    repeated: int
    wrong: list[str]
    missing: int
    memory: list[int]

    @property
    def good(self) -> bool:
        """Whether every listener had every event once and in order."""
        return not self.wrong and not self.missing


def soak(cluster: Any, *, sessions: int, seconds: float, kill_every: float, rate: float) -> Soaked:
    """See the module. Raises CrowdFailed when a session is lost or a put is not answered in a minute."""
    ledger = Ledger()
    with Crowd(cluster.endpoints[0], size=1 + sessions, timeout_s=SESSION_SECONDS) as crowd:
        crowd.register(SECONDS)
        index = opened(crowd)
        listen = operations.encode([index, "listen", None])
        listeners = crowd.members[1:]
        crowd.command(lambda number: listen, SECONDS, listeners)
        crowd.on_events = ledger.take
        crowd.keep_alive()
        with Kills(cluster, kill_every) as kills:
            puts, memory = _load(cluster, crowd, index, seconds, rate)
        crowd.run(CATCHING_UP_SECONDS, until=lambda: not ledger.behind(listeners, puts - 1))
    return Soaked(
        sessions=sessions,
        puts=puts,
        events=crowd.events,
        kills=kills.count,
        repeated=crowd.repeated,
        wrong=ledger.wrong,
        missing=ledger.behind(listeners, puts - 1),
        memory=memory,
    )


def _load(cluster: Any, crowd: Crowd, index: int, seconds: float, rate: float) -> tuple[int, list[int]]:
    """Put at that rate: how many puts were answered, and the replicas' memory meanwhile."""
    writer, key = crowd.members[0], operations.encode("key")
    began = time.monotonic()
    memory: list[int] = []
    puts = 0
    while (now := time.monotonic()) - began < seconds:
        if (now - began) / MEMORY_SECONDS >= len(memory):
            memory.append(_memory(cluster))
        crowd.start(writer, operations.encode([index, "put", key, operations.encode(puts)]))
        if not crowd.run(SECONDS, until=lambda: bool(writer.result)):
            raise CrowdFailed(f"put {puts} was not answered within {SECONDS:g} s")
        puts += 1
        crowd.run(max(0.0, began + puts / rate - time.monotonic()))
    return puts, memory


def _memory(cluster: Any) -> int:
    """The most that a replica has for itself, of those that run."""
    sizes = []
    for replica in range(3):
        try:
            pid = cluster.pid(0, replica)
            sizes.append(memory_of(pid) if pid is not None else 0)
        except psutil.Error:
            continue  # it was killed while it was looked at
    return max(sizes, default=0)


def rows(soaked: Soaked) -> Rows:
    """What the table says."""
    first, *others = [size / 2**20 for size in soaked.memory] or [0.0]
    said = soaked.wrong[:3] or [f"{soaked.missing} listeners lack events"] * bool(soaked.missing)
    return [
        ("load", f"{soaked.puts:,} puts to {soaked.sessions:,} listening sessions, {soaked.kills} leaders killed"),
        ("events", f"{soaked.events:,} received, {soaked.repeated:,} batches came again and were dropped"),
        (
            "memory",
            f"{first:.0f} MiB at first, at most {max(others, default=first):.0f} MiB afterwards, per replica",
        ),
        ("check", "passed: every event once, in order" if soaked.good else f"failed: {'; '.join(said)}"),
    ]


def main() -> int:
    """Soak and show; 1 when an event was lost, repeated or out of order."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--kill-every", type=float, default=5.0, help="seconds between two kills; 0: none")
    parser.add_argument("--rate", type=float, default=5.0, help="puts a second")
    options = parser.parse_args()
    with LocalCluster(shards=1, replicas=3) as cluster:
        soaked = soak(
            cluster,
            sessions=options.sessions,
            seconds=options.seconds,
            kill_every=options.kill_every,
            rate=options.rate,
        )
    show(f"soak of {options.seconds:g} s", rows(soaked))
    return 0 if soaked.good else 1


if __name__ == "__main__":
    sys.exit(main())
