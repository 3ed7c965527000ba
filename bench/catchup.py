"""What it takes to bring a member back that has lost everything: bytes sent and seconds.

    python -m ocelog.bench.catchup --live 1000000 --written 10000000

A cluster of 1 x 3 is written to until so many entries are live of so many written, and its logs are compacted. Then one
follower is killed, its files are deleted, and it is started again: the clock runs until it has applied what the others
have, has restored its state and votes. Bytes sent are those of the leader's installs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

from ..cluster.status import bytes_text
from .faults import leader_of
from .filled import clean, fill
from .report import Rows, show

REPLICAS = 3
WAIT_SECONDS_MAX = 600.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """`sent_bytes` went to the member until it was level, `seconds` after its start."""

    live_entries: int
    written_entries: int
    live_bytes: int
    sent_bytes: int
    seconds: float


def measure(cluster: Any, *, live: int, written: int, value_bytes: int) -> Measured:
    """Fill, clean, wipe a follower and wait for it. Raises TimeoutError, and what `filled` raises."""
    fill(cluster, keys=live, entries=written, value_bytes=value_bytes)
    clean(cluster, compact=True)
    leader = leader_of(cluster, 0)
    member = (leader + 1) % REPLICAS
    before = _row(cluster, leader)
    cluster.kill(0, member)
    cluster.wipe(0, member)
    began = time.monotonic()
    cluster.restart(0, member)
    _await_level(cluster, leader, member)
    seconds = time.monotonic() - began
    return Measured(
        live_entries=live,
        written_entries=written,
        live_bytes=before["live_bytes"],
        sent_bytes=_row(cluster, leader)["install_bytes_sent"] - before["install_bytes_sent"],
        seconds=seconds,
    )


def _await_level(cluster: Any, leader: int, member: int) -> None:
    """Wait until the member has all that the leader had committed, its state restored, and its vote."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    goal = _row(cluster, leader)["commit_index"]
    while time.monotonic() < deadline:
        row = _row(cluster, member)
        if (row["applied_index"] or 0) >= goal and not (row["rebuilding"] or row["probation"]):
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"the member was not level within {WAIT_SECONDS_MAX:g} s")


def _row(cluster: Any, replica: int) -> dict[str, Any]:
    row: dict[str, Any] = cluster.status()["shards"][0]["replicas"][replica]
    return row


def rows(measured: Measured) -> Rows:
    """The table of a measurement."""
    ratio = measured.sent_bytes / max(measured.live_bytes, 1)
    return [
        ("entries", f"{measured.live_entries:,} live of {measured.written_entries:,} written"),
        ("live", bytes_text(measured.live_bytes)),
        ("sent", f"{bytes_text(measured.sent_bytes)}, {ratio:.2f} times the live bytes"),
        ("level after", f"{measured.seconds:.1f} s"),
    ]


def main() -> None:
    """Measure and show."""
    from ..cluster import LocalCluster

    parser = argparse.ArgumentParser(description="Bytes and time to bring back a member that has lost everything.")
    parser.add_argument("--live", type=int, default=1_000_000, help="keys")
    parser.add_argument("--written", type=int, default=10_000_000, help="puts, of the keys in turn")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--segment-bytes", type=int, default=64 << 20)
    options = parser.parse_args()
    with LocalCluster(shards=1, replicas=REPLICAS, log={"segment_bytes_max": options.segment_bytes}) as cluster:
        measured = measure(cluster, live=options.live, written=options.written, value_bytes=options.value_bytes)
    show("a wiped member of a 1 x 3 cluster comes back", rows(measured))


if __name__ == "__main__":
    main()
