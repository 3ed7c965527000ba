"""Events through routers that die, real processes: a stream has no gap, no repetition, and is not late for long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import ocelog
import pytest
from ocelog.cluster import LocalCluster

pytestmark = pytest.mark.system

WAIT_S_MAX = 60.0
SOON_S = 3.0
"""Less than the first of a leader's repetitions that would find the client, and than its next keep-alive."""
CHANGES = 100


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3, routers=2) as cluster:
        yield cluster


def taken(stream: ocelog.client.streams.Events, count: int) -> list[int]:
    """The new values of the next events."""
    return [next(stream).new for _ in range(count)]


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.02)


def test_events_follow_a_listener_to_the_other_router(cluster):
    with (
        ocelog.connect(cluster.endpoints[0], timeout=WAIT_S_MAX) as listener,
        ocelog.connect(cluster.endpoints[1], timeout=WAIT_S_MAX) as writer,
        listener.map("m").events(timeout=WAIT_S_MAX) as stream,
    ):
        entries = writer.map("m")
        for number in range(CHANGES):
            entries.put("k", number)
        assert taken(stream, CHANGES // 2) == list(range(CHANGES // 2))
        cluster.kill_router(0)
        started = time.monotonic()
        for number in range(CHANGES, 2 * CHANGES):
            entries.put("k", number)
        assert taken(stream, 3 * CHANGES // 2) == list(range(CHANGES // 2, 2 * CHANGES))
        assert time.monotonic() - started < SOON_S


def test_a_new_leader_pushes_to_a_listener_that_says_nothing(cluster):
    with (
        ocelog.connect(cluster.endpoints, timeout=WAIT_S_MAX) as client,
        client.map("m").events(timeout=WAIT_S_MAX) as stream,
        ocelog.connect(cluster.endpoints, timeout=WAIT_S_MAX) as writer,
    ):
        entries = writer.map("m")
        for round_ in range(3):
            leader = cluster.leader(0)
            cluster.kill(0, leader)
            entries.put("k", round_)  # returns when there is another leader
            started = time.monotonic()
            assert taken(stream, 1) == [round_]
            assert time.monotonic() - started < SOON_S
            cluster.restart(0, leader)
            eventually(lambda: cluster.status()["healthy"], "the replica to be back")


def test_no_event_is_missed_or_repeated_while_routers_and_leaders_are_killed_in_turn(cluster):
    with (
        ocelog.connect(cluster.endpoints, timeout=WAIT_S_MAX) as client,
        client.map("m").events(timeout=WAIT_S_MAX) as stream,
        ocelog.connect(cluster.endpoints[1], timeout=WAIT_S_MAX) as writer,
    ):
        entries = writer.map("m")
        written = 0
        for turn in range(4):
            for _ in range(CHANGES):
                entries.put("k", written)
                written += 1
            if turn % 2:
                leader = cluster.leader(0)
                cluster.kill(0, leader)
                cluster.restart(0, leader)
            else:
                os.kill(cluster.router_pid(turn // 2), signal.SIGKILL)
            for _ in range(CHANGES):
                entries.put("k", written)
                written += 1
        assert taken(stream, written) == list(range(written))


def test_a_paused_router_holds_events_back_only_until_it_is_missed(cluster):
    with (
        ocelog.connect(cluster.endpoints[0], timeout=WAIT_S_MAX) as listener,
        ocelog.connect(cluster.endpoints[1], timeout=WAIT_S_MAX) as writer,
        listener.map("m").events(timeout=WAIT_S_MAX) as stream,
    ):
        writer.map("m").put("k", 0)
        assert taken(stream, 1) == [0]
        cluster.pause_router(0)
        try:
            writer.map("m").put("k", 1)
            assert taken(stream, 1) == [1]
        finally:
            cluster.resume_router(0)
        writer.map("m").put("k", 2)
        assert taken(stream, 1) == [2]
