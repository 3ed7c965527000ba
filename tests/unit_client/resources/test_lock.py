"""The lock's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, Closed, DeadlineExceeded, ResourceDeleted
from ocelog.cluster import LocalCluster

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


def eventually(condition):
    """Wait until it holds."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline


def test_a_holder_whose_session_ends_is_told(endpoints, name):
    lost, entered, leave, took = queue.SimpleQueue(), threading.Event(), threading.Event(), queue.SimpleQueue()

    def hold_up(event):
        entered.set()
        assert leave.wait(SECONDS_MAX)

    with ocelog.connect(endpoints) as other, ocelog.connect(endpoints, session_timeout=1) as client:
        lock = client.lock(name)
        grant, released = lock.lock(lost=lost.put), lock.try_lock()
        assert released is None
        # Whoever does not handle its events in time is expired, however well it keeps alive.
        counter = client.counter(f"{name}/same shard")
        for number in range(100):
            counter = client.counter(f"{name}/{number}")
            if counter.resource.shard == lock.resource.shard:
                break
        with counter.on_change(hold_up):
            counter.increment()
            assert entered.wait(SECONDS_MAX)
            took.put(other.lock(name).lock(timeout=SECONDS_MAX))
            assert lost.empty(), "callbacks run one after the other"
            leave.set()
            assert lost.get(timeout=SECONDS_MAX) == grant
        assert took.get().token > grant.token
        assert lock.unlock(grant) is False
        assert lost.empty()


def test_a_holder_of_a_lock_that_is_deleted_is_told(endpoints, name):
    lost = queue.SimpleQueue()
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        lock = client.lock(name)
        grant = lock.lock(lost=lost.put)
        assert other.delete(name)
        assert lost.get(timeout=SECONDS_MAX) == grant
        again = lock.try_lock(lost=lost.put)
        assert again.token > grant.token, "tokens grow over the life of the lock"
        assert lock.unlock(grant) is False and lock.unlock(again) is True
        assert other.delete(name) and lost.empty()


async def _told(endpoints, name):
    told = asyncio.Queue()

    async def lost(grant):
        await told.put(grant)

    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        async with asyncio.timeout(SECONDS_MAX):
            first = await other.lock(name).lock()
            waits = asyncio.create_task(client.lock(name).lock(timeout=math.inf, lost=lost))
            while not await other.lock(name).waiting():
                pass
            await other.lock(name).unlock(first)
            grant = await waits
            assert await other.delete(name)
            assert await told.get() == grant
            async with client.lock(name).held(lost=lost):
                pass
            assert told.empty()


def test_a_holder_in_an_event_loop_is_told(endpoints, name):
    asyncio.run(_told(endpoints, name))


def test_a_reentrant_lock_is_granted_again_to_the_thread_that_holds_it(endpoints, name):
    found = []
    with ocelog.connect(endpoints) as client:
        lock = client.lock(name, reentrant=True)
        grant = lock.lock(timeout=5)
        with lock.held(timeout=5) as again, lock.with_consistency().held(timeout=5) as once_more:
            assert grant == again == once_more == lock.try_lock()
            thread = threading.Thread(target=lambda: found.append(lock.try_lock()))
            thread.start()
            thread.join(SECONDS_MAX)
            assert found == [None]
            assert lock.unlock(grant) is True
        assert lock.holder() == grant
        assert client.lock(name).try_lock() is None, "another handle's grants are not this one's"
        assert lock.unlock(grant) is True and lock.holder() is None
        assert lock.unlock(grant) is False


def test_a_reentrant_lock_that_was_lost_is_not_entered_again(endpoints, name):
    lost = queue.SimpleQueue()
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        lock = client.lock(name, reentrant=True)
        grant = lock.lock(lost=lost.put)
        assert other.delete(name)
        assert lost.get(timeout=SECONDS_MAX) == grant
        with other.lock(name).held():
            assert lock.try_lock() is None
        again = lock.lock()
        assert again.token > grant.token and lock.unlock(again) is True and lock.holder() is None


async def _tasks(endpoints, name):
    async with ocelog.connect_async(endpoints) as client:
        lock = client.lock(name, reentrant=True)
        async with lock.held() as grant, lock.held() as again:
            assert grant == again
            assert await asyncio.create_task(lock.try_lock()) is None
        assert await lock.holder() is None


def test_a_reentrant_lock_is_granted_again_to_the_task_that_holds_it(endpoints, name):
    asyncio.run(_tasks(endpoints, name))


def test_an_unlock_that_times_out_goes_on(client, name):
    lock = client.lock(name)
    grant = lock.lock()
    with pytest.raises(TimeoutError):
        lock.unlock(grant, timeout=1e-9)
    eventually(lambda: lock.holder() is None)


async def _interrupted(endpoints, name):
    async with ocelog.connect_async(endpoints) as client:
        lock = client.lock(name)
        for turns in range(4):
            unlocks = asyncio.create_task(lock.unlock(await lock.lock(timeout=SECONDS_MAX)))
            for _ in range(turns):
                await asyncio.sleep(0)
            unlocks.cancel()
            with pytest.raises(asyncio.CancelledError):
                await unlocks
            async with asyncio.timeout(SECONDS_MAX):
                while turns and await lock.holder() is not None:
                    pass
            if not turns:  # it never ran at all, so nobody has asked for anything
                assert await lock.unlock(await lock.holder()) is True


def test_an_unlock_that_is_cancelled_goes_on(endpoints, name):
    asyncio.run(_interrupted(endpoints, name))


def test_a_block_that_raises_says_so_also_when_its_release_fails(endpoints, name):
    with ocelog.connect(endpoints) as client:
        with pytest.raises(KeyError), client.lock(name).held():
            client.close()
            raise KeyError
        with ocelog.connect(endpoints) as other, pytest.raises(Closed), other.lock(name).held():
            other.close()


def test_the_status_tells_who_holds_and_who_waits(client, endpoints, name):
    lock = client.lock(name)
    grant = lock.lock()
    with ocelog.connect(endpoints) as other:
        waits = threading.Thread(target=lambda: other.lock(name).lock(timeout=SECONDS_MAX))
        waits.start()
        eventually(lock.waiting)
        status = lock.status()
        assert [holder[:3] for holder in status.holders] == [grant] and status.holders[0].wants is None
        assert (status.holding, status.waiting, len(status.waiters)) == (1, 1, 1)
        assert status.waiters[0].index > grant.token and status.waiters[0].session != grant.session
        lock.unlock(grant)
        waits.join(SECONDS_MAX)


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


# -- the command line --------------------------------------------------------------------------------


@pytest.fixture
def plain(endpoints):
    with ocelog.connect(endpoints) as client:
        yield client


def test_the_command_line_holds_the_lock_for_a_command(run, plain, name):
    code, text = run("lock", name, "--timeout", "5", "--", "sh", "-c", 'echo "$OCELOG_LOCK_TOKEN"; exit 3')
    first = int(text)
    assert code == 3 and plain.lock(name).holder() is None
    assert run("lock", name, "--status") == (0, "free\nwaiting: 0\n")
    code, text = run(
        "lock", name, "--", "sh", "-c", f"echo $OCELOG_LOCK_TOKEN; {sys.executable} -m ocelog lock {name!r} --status"
    )
    token, held, waiting = text.splitlines()
    assert int(token) > first and held.endswith(f", with token {token}") and waiting == "waiting: 0"
    assert run("lock", name, "--", "sh", "-c", "kill -KILL $$")[0] == 128 + 9
    grant = plain.lock(name).lock(timeout=SECONDS_MAX)
    assert run("lock", name, "--timeout", "0.2", "--", "echo", "not mine") == (75, "")
    rows = json.loads(run("lock", name, "--status", "--json")[1])
    assert rows["holders"] == [{"index": grant.token, "session": grant.session, "number": grant.number, "wants": None}]
    plain.lock(name).unlock(grant)
    assert run("lock", name)[0] == run("lock", name, "--status", "--", "true")[0] == 64
    assert run("lock", name, "--", "/no/such/command")[0] == 74


def started(endpoints, name, *options):
    """`ocelog lock` with a command that waits, and that command's process number, once it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ocelog", "lock", name, *options, "--", "sh", "-c", "echo $$; exec sleep 60"],
        env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, int(process.stdout.readline())


def test_the_command_is_stopped_when_the_lock_is_lost(endpoints, plain, name):
    process, child = started(endpoints, name)
    assert plain.delete(name)
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 75 and errors == "ocelog: sh was stopped: it is lost\n"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_the_command_is_stopped_with_the_program_that_holds_the_lock_for_it(endpoints, plain, name):
    process, child = started(endpoints, name)
    process.terminate()
    process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 128 + 15
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert plain.lock(name).try_lock() is not None


def test_a_program_that_is_stopped_while_it_waits_waits_no_more(endpoints, plain, name):
    lock = plain.lock(name)
    grant = lock.lock()
    process = subprocess.Popen(
        [sys.executable, "-m", "ocelog", "lock", name, "--", "echo", "mine"],
        env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
        stdout=subprocess.PIPE,
    )
    eventually(lock.waiting)
    process.terminate()
    assert process.communicate(timeout=SECONDS_MAX)[0] == b"" and process.returncode == 128 + 15
    assert lock.waiting() == 0 and lock.unlock(grant)


def test_the_command_is_stopped_when_the_cluster_has_been_silent_for_too_long(name):
    with LocalCluster(shards=1, replicas=1) as cluster:
        process, child = started(cluster.endpoints, name, "--session-timeout", "1")
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 75 and "must be taken for lost" in errors
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
