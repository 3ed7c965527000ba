"""Messages to persistent members while leaders are killed and a member moves to another client: each at least once, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import ocelog
import pytest
from ocelog.client.protocol.errors import Closed, DeadlineExceeded
from ocelog.cluster import LocalCluster

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3, raft={"tick_ms": 20}) as cluster:
        yield cluster


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.01)


class Member(threading.Thread):
    """Handles messages under one id until it is told to stop, and notes them before it acknowledges."""

    def __init__(self, cluster: LocalCluster, id: str, handled: list[int]) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.id = id
        self.handled = handled
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with (
                ocelog.connect(self.cluster.endpoints, timeout=WAIT_S_MAX) as client,
                client.group("crew").join(self.id) as member,
            ):
                while not self.over.is_set():
                    try:
                        message = member.next(timeout=0.1)
                    except DeadlineExceeded:
                        continue
                    self.handled.append(message.value)
                    message.ack(timeout=WAIT_S_MAX)
        except Closed:
            return
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self.over.set()
        self.join(WAIT_S_MAX)
        assert not self.is_alive()
        assert self.error is None, self.error


def in_order(handled: list[int]) -> list[int]:
    """What was handled, without repetitions; a message may only come again before a later one was acknowledged."""
    return list(dict.fromkeys(handled))


def test_no_message_is_lost_and_each_member_gets_them_in_order(cluster: LocalCluster) -> None:
    handled: dict[str, list[int]] = {"ada": [], "bob": []}
    members = {id: Member(cluster, id, handled[id]) for id in handled}
    with ocelog.connect(cluster.endpoints, timeout=WAIT_S_MAX) as client:
        group = client.group("crew")
        eventually(lambda: len([one for one in group.members() if one.present]) == 2, "both members")
        for number in range(60):
            if number in (15, 40):
                leader = cluster.leader(0)
                cluster.kill(0, leader)
            if number in (25, 50):
                cluster.restart(0, leader)
            if number == 30:
                members["bob"].stop()  # away: what comes now waits for it
            if number == 35:
                members["bob"] = Member(cluster, "bob", handled["bob"])
            if number % 10 == 5 and not 30 <= number <= 35:
                assert sorted(group.send(number, timeout=WAIT_S_MAX)) == ["ada", "bob"]
            else:
                assert group.post(number) == 2
        eventually(lambda: all(len(set(got)) == 60 for got in handled.values()), "all messages to be handled")
        terms = {group.leader().term}
        assert len(terms) == 1
        assert sorted(one.id for one in group.members()) == ["ada", "bob"]
    for member in members.values():
        member.stop()
    for id, got in handled.items():
        assert in_order(got) == list(range(60)), id
