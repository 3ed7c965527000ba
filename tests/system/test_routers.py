"""Two routers, real processes: clients go on through the other one, in order and without a repetition."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import ocelog
import pytest
from ocelog.cluster import LocalCluster
from ocelog.cluster.errors import StartFailed

pytestmark = pytest.mark.system

WAIT_S_MAX = 60.0
AT_ONCE_S = 3.0
"""A router whose connection breaks is left within this time: far below every time-out of the client's."""
SILENT_S = 12.0
"""A router that says nothing any more is left within this time: heartbeats are missed after four seconds."""
CHAIN = 64
WRITERS = 8
IN_FLIGHT = CHAIN * WRITERS


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=2, replicas=3, routers=2) as cluster:
        yield cluster


class Chains:
    """Writers that put 1, 2, 3... under a key of their own, many at a time. What each put answers is the one before.

    A put that was lost, repeated, or overtaken by a later one breaks its chain.
    """

    def __init__(self, writers: int) -> None:
        self.answered = [0] * writers
        self.stopping = False

    @property
    def total(self) -> int:
        return sum(self.answered)

    async def write(self, client: ocelog.AsyncClient, writer: int) -> None:
        entries = client.map(f"chain-{writer}")  # different maps, so that both shards have some
        while not self.stopping:
            first = self.answered[writer]
            puts = [asyncio.ensure_future(entries.put("last", first + number)) for number in range(1, CHAIN + 1)]
            for before, put in enumerate(puts, first):
                assert await put == (before or None), f"writer {writer}"
                self.answered[writer] = before + 1

    async def progress(self, puts: int, seconds: float) -> float:
        """Wait until so many more were answered, more than can have been under way; how long that took."""
        started, before = time.monotonic(), self.total
        while self.total < before + IN_FLIGHT + puts:
            assert time.monotonic() - started < seconds, f"{self.total - before} puts in {seconds} s"
            await asyncio.sleep(0.005)
        return time.monotonic() - started


def run_chains(
    cluster: LocalCluster, endpoints: list[str], story: Callable[[Chains, ocelog.AsyncClient], Awaitable[None]]
) -> None:
    """Let writers run while the story is told, and check at the end that what was answered is what is there."""
    chains = Chains(WRITERS)

    async def run() -> None:
        async with ocelog.connect_async(endpoints, timeout=60) as client:
            writers = [asyncio.create_task(chains.write(client, writer)) for writer in range(WRITERS)]
            try:
                await chains.progress(500, WAIT_S_MAX)
                await story(chains, client)
            finally:
                chains.stopping = True
            await asyncio.wait_for(asyncio.gather(*writers), WAIT_S_MAX)
            for writer in range(WRITERS):
                assert await client.map(f"chain-{writer}").get("last") == chains.answered[writer]

    asyncio.run(run())


async def on_a_thread(work: Callable[..., object], *arguments: object) -> Any:
    return await asyncio.to_thread(work, *arguments)


def test_writers_go_on_through_the_other_router_at_once_when_theirs_is_killed(cluster):
    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        for victim in (0, 1, 0):
            pid = cluster.router_pid(victim)
            os.kill(pid, signal.SIGKILL)  # not through the supervisor, which would keep it down
            assert await chains.progress(500, WAIT_S_MAX) < AT_ONCE_S
            await until(lambda gone=pid, of=victim: cluster.router_pid(of) not in (None, gone), "the supervisor")
            await until(lambda: cluster.status()["healthy"], "both routers to be up")

    run_chains(cluster, cluster.endpoints, story)


def test_a_client_that_was_given_one_endpoint_learns_the_other_and_survives_the_end_of_its_own(cluster):
    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        await on_a_thread(cluster.kill_router, 0)
        assert await chains.progress(500, WAIT_S_MAX) < AT_ONCE_S
        assert cluster.router_pid(0) is None

    run_chains(cluster, cluster.endpoints[:1], story)


def test_a_paused_router_is_left_and_what_it_had_in_hand_does_no_harm_when_it_goes_on(cluster):
    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        await on_a_thread(cluster.pause_router, 0)
        assert await chains.progress(500, WAIT_S_MAX) < SILENT_S
        await on_a_thread(cluster.resume_router, 0)  # it sends on now what it had read, after all that was repeated
        await chains.progress(1000, WAIT_S_MAX)

    run_chains(cluster, cluster.endpoints, story)


def test_a_router_that_pauses_for_a_moment_costs_no_more_than_the_moment(cluster):
    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        for _ in range(5):
            await on_a_thread(cluster.pause_router, 0)
            await asyncio.sleep(0.3)
            await on_a_thread(cluster.resume_router, 0)
            assert await chains.progress(200, WAIT_S_MAX) < AT_ONCE_S

    run_chains(cluster, cluster.endpoints, story)


def test_all_routers_may_be_restarted_under_load_and_keep_their_endpoints(cluster):
    before = cluster.endpoints

    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        for router in (0, 1):
            await on_a_thread(cluster.kill_router, router)
        for router in (1, 0):
            await on_a_thread(cluster.restart_router, router)
        await chains.progress(1000, WAIT_S_MAX)

    run_chains(cluster, cluster.endpoints, story)
    assert cluster.endpoints == before


def test_a_killed_leader_and_a_killed_router_at_once(cluster):
    async def story(chains: Chains, client: ocelog.AsyncClient) -> None:
        for router in (0, 1):
            leader = await on_a_thread(cluster.leader, 0)
            await asyncio.gather(on_a_thread(cluster.kill_router, router), on_a_thread(cluster.kill, 0, leader))
            await chains.progress(500, WAIT_S_MAX)
            await on_a_thread(cluster.restart_router, router)
            await on_a_thread(cluster.restart, 0, leader)

    run_chains(cluster, cluster.endpoints, story)


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        await asyncio.sleep(0.02)


# -- what people see of them -------------------------------------------------------------------------


def eventually(condition: Callable[[], object], what: str) -> None:
    asyncio.run(until(condition, what))


def test_a_killed_router_is_named_by_the_status_and_comes_back_on_its_endpoint(cluster):
    status = cluster.status()
    assert [row["endpoint"] for row in status["routers"]] == status["endpoints"] == cluster.endpoints
    cluster.kill_router(1)
    eventually(lambda: cluster.status()["verdict"] == "degraded: router 1 is down", "the verdict")
    assert [row["pid"] is None for row in cluster.status()["routers"]] == [False, True]
    cluster.restart_router(1)
    eventually(lambda: cluster.status()["healthy"], "it to be back")
    with ocelog.connect(status["endpoints"][1]) as client:
        client.map("m").put("k", 1)


def test_socket_files_are_endpoints_of_this_user_and_of_one_cluster(tmp_path):
    listen = {"listen": f"ipc://{tmp_path}/o"}
    with LocalCluster(shards=1, replicas=1, routers=2, cluster=listen) as cluster:
        assert cluster.endpoints == [f"ipc://{tmp_path}/o", f"ipc://{tmp_path}/o.1"]
        assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("o", "o.1")] == [0o600, 0o600]
        with ocelog.connect(cluster.endpoints[1]) as client:
            client.map("m").put("k", 1)
        with pytest.raises(StartFailed, match=r"cannot listen on ipc://.*/o: address in use"):
            LocalCluster(shards=1, replicas=1, cluster=listen).start()
        pid = cluster.router_pid(0)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: cluster.router_pid(0) not in (None, pid), "another start on the same file")
        with ocelog.connect(cluster.endpoints[0], timeout=30) as client:
            assert client.map("m").get("k") == 1


def test_figures_of_all_routers_and_replicas_are_served_over_http(cluster):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ocelog", "metrics", "--listen=:0", f"--endpoints={cluster.endpoints[0]}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert url.startswith("http://127.0.0.1:")
        found = fetch(url)
        assert found.count("ocelog_router_up{") == 2
        assert found.count("ocelog_replica_up{") == 6
        cluster.kill_router(1)
        eventually(lambda: f'endpoint="{cluster.endpoints[1]}"}} 0\n' in fetch(url), "the router to be missed")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S_MAX) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()
