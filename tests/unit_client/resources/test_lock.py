"""The lock's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, ResourceDeleted

pytestmark = pytest.mark.system

SECONDS_MAX = 20


def test_operations(client, name):
    lock = client.lock(name)
    assert (lock.holder(), lock.waiting()) == (None, 0)
    grant = lock.lock(timeout=5)
    assert (lock.holder(), lock.waiting()) == (grant, 0)
    assert lock.try_lock() is None
    assert lock.unlock(grant) is True
    assert lock.unlock(grant) is False
    again = lock.try_lock()
    assert again.token > grant.token
    assert lock.unlock(grant) is False, "an earlier grant releases nothing"
    assert lock.holder() == again
    with pytest.raises(BadArgument):
        lock.unlock(again.token)


def test_a_block_holds_the_lock_and_releases_it_when_it_raises(endpoints, name):
    with ocelog.connect(endpoints) as client:
        lock = client.lock(name)
        with pytest.raises(KeyError), lock.held(timeout=5) as grant:
            assert lock.holder() == grant
            raise KeyError
        assert lock.holder() is None


def test_a_wait_that_times_out_leaves_nothing_behind(client, name):
    lock = client.lock(name)
    grant = lock.lock()
    with pytest.raises(DeadlineExceeded):
        lock.lock(timeout=0.2)
    assert lock.waiting() == 0
    lock.unlock(grant)
    assert lock.holder() is None


def test_a_closed_session_hands_the_lock_over(endpoints, name):
    with ocelog.connect(endpoints) as second:
        with ocelog.connect(endpoints) as first:
            grant = first.lock(name).lock()
            found = []
            thread = threading.Thread(target=lambda: found.append(second.lock(name).lock(timeout=math.inf)))
            thread.start()
            deadline = time.monotonic() + SECONDS_MAX
            while not first.lock(name).waiting():
                assert time.monotonic() < deadline
        thread.join(SECONDS_MAX)
        assert found[0].token > grant.token


async def _cancelled(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        lock, second = client.lock(name), other.lock(name)
        grant = await lock.lock()
        waits = asyncio.create_task(second.lock(timeout=math.inf))
        async with asyncio.timeout(SECONDS_MAX):
            while not await lock.waiting():
                pass
            # The cancellation crosses the grant: whichever comes first, the lock is free in the end.
            release = asyncio.create_task(lock.unlock(grant))
            waits.cancel()
            assert await release
            with pytest.raises(asyncio.CancelledError):
                await waits
            while await lock.holder() is not None or await lock.waiting():
                pass


def test_a_cancelled_wait_leaves_nothing_behind(endpoints, name):
    asyncio.run(_cancelled(endpoints, name))


async def _deleted(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        await other.lock(f"{name}/lock").lock()
        await client.queue(f"{name}/queue").size()
        await client.task_queue(f"{name}/tasks").size()
        await client.lock(f"{name}/lock").holder()
        waits = {
            f"{name}/lock": client.lock(f"{name}/lock").lock(timeout=math.inf),
            f"{name}/queue": client.queue(f"{name}/queue").take(timeout=math.inf),
            f"{name}/tasks": client.task_queue(f"{name}/tasks").submit_and_wait("x", timeout=math.inf),
        }
        async with asyncio.timeout(SECONDS_MAX):
            for which, waiting in waits.items():
                # One session runs its commands in order, so the wait has begun when the resource is deleted.
                waiting = asyncio.ensure_future(waiting)
                await asyncio.sleep(0)
                assert await client.delete(which)
                with pytest.raises(ResourceDeleted, match=f"deleted while .*{which}"):
                    await waiting


def test_whoever_waits_at_a_resource_that_is_deleted_is_told_so(endpoints, name):
    asyncio.run(_deleted(endpoints, name))


def test_two_clients_never_hold_it_at_once(endpoints, name):
    held, tokens, errors = [], [], []

    def work():
        try:
            with ocelog.connect(endpoints) as client:
                lock = client.lock(name)
                for _ in range(20):
                    grant = lock.lock(timeout=SECONDS_MAX)
                    held.append(grant)
                    assert len(held) == 1
                    tokens.append(grant.token)
                    held.clear()
                    assert lock.unlock(grant)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert tokens == sorted(set(tokens)) and len(tokens) == 60
