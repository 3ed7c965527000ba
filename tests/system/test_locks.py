"""Locks, read-write locks and semaphores while their leader is killed again and again: nobody is inside who should not be.

One run for all tests: three clients contend for one resource of each kind on a cluster of three replicas; some wait for long,
some for a moment, some take their requests back. Whoever is granted something enters a room, which is in this process and so
knows who is inside, shows its token, and shows it again before it leaves; a token lower than one that had it alone is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random
from time import monotonic
from typing import Any

import ocelog
import pytest
from ocelog.client import Grant
from ocelog.client.protocol.errors import DeadlineExceeded, OutcomeUnknown
from ocelog.cluster import LocalCluster

KILLS = 3
CLIENTS = 3
WORKERS = 2
CAPACITY = 3
TIMEOUT = 60.0
IDLE_SECONDS_MAX = 20.0

pytestmark = pytest.mark.system


class Room:
    """What is done under a grant: `size` is how much fits, of which each who is inside has its `wants`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inside: dict[Grant, int] = {}
        self.grants: set[Grant] = set()
        self.gave_up = 0
        self.highest = 0
        self.highest_alone = 0
        self.wrong: list[str] = []

    def enter(self, grant: Grant, wants: int) -> None:
        """Somebody was granted that much."""
        if grant in self.grants:
            self.wrong.append(f"{grant} was granted twice")
        if sum(self.inside.values()) + wants > self.size:
            self.wrong.append(f"{grant} enters with {wants} while {self.inside} are inside")
        if wants == self.size and grant.token <= self.highest:
            self.wrong.append(f"{grant} has it alone behind token {self.highest}")
        if grant.token <= self.highest_alone:
            self.wrong.append(f"{grant} comes behind token {self.highest_alone}, which had it alone")
        self.grants.add(grant)
        self.inside[grant] = wants
        self.highest = max(self.highest, grant.token)
        if wants == self.size:
            self.highest_alone = grant.token

    def leave(self, grant: Grant) -> None:
        """It is about to be given back: as long as it was held nobody else can have had it alone."""
        if self.inside.pop(grant) == self.size and grant.token < self.highest:
            self.wrong.append(f"{grant} is refused: token {self.highest} was here since")


class Door:
    """How a room is entered by one client: the handle, and what it takes for so much."""

    def __init__(self, room: Room, handle: Any, choices: tuple[int, ...]) -> None:
        self.room = room
        self.handle = handle
        self.choices = choices

    def take(self, wants: int, timeout: float) -> Any:
        """Wait for it."""
        if hasattr(self.handle, "acquire"):
            return self.handle.acquire(wants, timeout=timeout)
        if hasattr(self.handle, "read"):
            return (self.handle.write if wants == self.room.size else self.handle.read)(timeout=timeout)
        return self.handle.lock(timeout=timeout)

    def try_take(self, wants: int) -> Any:
        """Take it or leave it."""
        if hasattr(self.handle, "acquire"):
            return self.handle.try_acquire(wants)
        if hasattr(self.handle, "read"):
            return (self.handle.try_write if wants == self.room.size else self.handle.try_read)()
        return self.handle.try_lock()

    def give_back(self, grant: Grant) -> Any:
        """Release it."""
        return (self.handle.release if hasattr(self.handle, "release") else self.handle.unlock)(grant)


async def attempt(door: Door, wants: int, drawn: Random) -> Grant | None:
    """One of the ways to get in; None when it did not work. Who waits long enough must get in."""
    how = drawn.random()
    if how < 0.6:
        return await door.take(wants, TIMEOUT)
    if how < 0.7:
        return await door.try_take(wants)
    if how < 0.85:
        with contextlib.suppress(DeadlineExceeded, OutcomeUnknown):
            return await door.take(wants, drawn.choice((0.001, 0.01, 0.1)))
        return None
    taking = asyncio.create_task(door.take(wants, TIMEOUT))
    await asyncio.wait((taking,), timeout=0.001 * drawn.randrange(12))
    taking.cancel()
    await asyncio.wait((taking,))
    return None if taking.cancelled() else taking.result()


async def work(door: Door, drawn: Random, over: asyncio.Event) -> None:
    """In and out, again and again."""
    while not over.is_set():
        wants = drawn.choice(door.choices)
        grant = await attempt(door, wants, drawn)
        if grant is None:
            door.room.gave_up += 1
            await asyncio.sleep(0.002)
            continue
        door.room.enter(grant, wants)
        await asyncio.sleep(0.001 * drawn.randrange(4))
        door.room.leave(grant)
        assert await door.give_back(grant), f"{grant} was not held"


async def kill_leaders(cluster: LocalCluster) -> None:
    """Kill the leader, let the clients go on with another one, bring it back; several times."""
    for _ in range(KILLS):
        leader = await asyncio.to_thread(cluster.leader, 0)
        await asyncio.to_thread(cluster.kill, 0, leader)
        await asyncio.sleep(0.8)
        await asyncio.to_thread(cluster.restart, 0, leader)
        await asyncio.to_thread(cluster.leader, 0)
        await asyncio.sleep(0.4)


@contextlib.asynccontextmanager
async def connected(cluster: LocalCluster) -> AsyncIterator[list[ocelog.AsyncClient]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ocelog.connect_async(cluster.endpoints, timeout=TIMEOUT))
            for _ in range(CLIENTS)
        ]


DOORS: dict[str, Callable[[Room, ocelog.AsyncClient], Door]] = {
    "lock": lambda room, client: Door(room, client.lock("lock"), (1,)),
    "read-write lock": lambda room, client: Door(room, client.read_write_lock("read-write lock"), (1, 1, room.size)),
    "semaphore": lambda room, client: Door(room, client.semaphore("semaphore", CAPACITY), (1, 1, 2, CAPACITY)),
}


async def contend(cluster: LocalCluster) -> tuple[dict[str, Room], dict[str, Any]]:
    """All that happened in each room, and how each resource stood when everybody had gone."""
    rooms = {"lock": Room(1), "read-write lock": Room(CLIENTS * WORKERS), "semaphore": Room(CAPACITY)}
    async with connected(cluster) as clients:
        over = asyncio.Event()
        workers = [
            asyncio.create_task(work(DOORS[kind](room, client), Random(f"{kind} {number} {worker}"), over))
            for number, client in enumerate(clients)
            for kind, room in rooms.items()
            for worker in range(WORKERS)
        ]
        killing = asyncio.create_task(kill_leaders(cluster))
        await asyncio.wait((killing, *workers), return_when=asyncio.FIRST_COMPLETED)  # a worker only ends when it fails
        over.set()
        await asyncio.gather(killing, *workers)
        return rooms, {kind: await left(DOORS[kind](room, clients[0])) for kind, room in rooms.items()}


async def left(door: Door) -> Any:
    """Who holds and who waits once what was taken back has arrived."""
    end = monotonic() + IDLE_SECONDS_MAX
    while True:
        status = await door.handle.status()
        if not (status.holding or status.waiting) or monotonic() > end:
            return status


@pytest.fixture(scope="module")
def seen() -> tuple[dict[str, Room], dict[str, Any]]:
    with LocalCluster(shards=1, replicas=3) as cluster:
        return asyncio.run(contend(cluster))


@pytest.mark.parametrize("kind", DOORS)
def test_nobody_is_inside_who_should_not_be(seen, kind):
    """One holder of a lock; a writer alone; never more permits than there are; and tokens that say who came later."""
    room = seen[0][kind]
    assert not room.wrong, "\n".join(room.wrong[:5])
    assert len(room.grants) > 100 and room.gave_up > 10, (len(room.grants), room.gave_up)


@pytest.mark.parametrize("kind", DOORS)
def test_no_grant_is_lost(seen, kind):
    """Whoever waits long enough gets in, or the run had failed; what was granted to those who had gone is free again."""
    assert tuple(seen[1][kind][2:]) == (0, 0), seen[1][kind]
