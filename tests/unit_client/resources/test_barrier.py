"""The barrier's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, MachineError

pytestmark = pytest.mark.system

SECONDS_MAX = 20


def until(condition):
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def other(endpoints):
    with ocelog.connect(endpoints) as other:
        yield other


def test_operations(client, other, pool, name):
    barrier, second = client.barrier(name), other.barrier(name)
    assert barrier.status() == (1, None, 0, False, 0)
    waiting = pool.submit(second.wait, 2, timeout=SECONDS_MAX)
    until(lambda: barrier.status().waiting)
    assert barrier.status() == (1, 2, 1, False, 0)
    passed = barrier.wait(2, timeout=SECONDS_MAX)
    assert (passed.generation, passed.arrival) == (1, 1)
    assert waiting.result(SECONDS_MAX)[:2] == (1, 0)
    entered = barrier.enter(1)
    assert entered.generation == 2 and barrier.status().inside == 1
    with pytest.raises(DeadlineExceeded):
        second.wait(1, timeout=0)
    barrier.leave(entered)
    barrier.leave(entered)
    assert barrier.status() == (3, None, 0, False, 0)
    assert barrier.reset() is True
    assert barrier.reset(3) is False


def test_who_is_not_joined_in_time_breaks_it_until_it_is_reset(client, other, pool, name):
    barrier = client.barrier(name)
    waiting = pool.submit(other.barrier(name).wait, 3, timeout=math.inf)
    until(lambda: barrier.status().waiting)
    with pytest.raises(DeadlineExceeded):
        barrier.wait(3, timeout=0.1)
    with pytest.raises(ocelog.BrokenBarrier) as broken:
        waiting.result(SECONDS_MAX)
    assert broken.value.generation == 1 and broken.value.definite
    with pytest.raises(ocelog.BrokenBarrier):
        barrier.wait(3, timeout=5)
    assert barrier.status().broken
    assert [barrier.reset(broken.value.generation), barrier.reset(broken.value.generation)] == [True, False]
    assert barrier.wait(1).generation == 2


def test_a_session_that_ends_while_it_waits_breaks_it(endpoints, other, pool, name):
    barrier = other.barrier(name)
    with ocelog.connect(endpoints) as lost:
        pool.submit(lost.barrier(name).wait, 2, timeout=math.inf)
        until(lambda: barrier.status().waiting)
    with pytest.raises(ocelog.BrokenBarrier):
        barrier.wait(2, timeout=SECONDS_MAX)


def test_who_waits_at_a_barrier_that_is_deleted_is_told(client, other, pool, name):
    waiting = pool.submit(other.barrier(name).wait, 2, timeout=math.inf)
    until(lambda: client.barrier(name).status().waiting)
    client.delete(name)
    with pytest.raises(ocelog.ResourceDeleted):
        waiting.result(SECONDS_MAX)


def test_parties_must_agree_and_be_a_number(client, other, pool, name):
    barrier = client.barrier(name)
    for parties in (0, -1, True, "2", 1 << 63):
        with pytest.raises(BadArgument):
            barrier.wait(parties)
    with pytest.raises(BadArgument):
        barrier.leave((1, 0, 1, 1))
    waiting = pool.submit(other.barrier(name).wait, 2, timeout=SECONDS_MAX)
    until(lambda: barrier.status().waiting)
    with pytest.raises(MachineError, match="gathers 2 parties"):
        barrier.wait(3)
    barrier.wait(2)
    assert waiting.result(SECONDS_MAX).arrival == 0


def test_blocks_begin_and_end_together(endpoints, name):
    inside, met, lock = set(), [], threading.Lock()

    def work(number):
        with ocelog.connect(endpoints) as client, client.barrier(name).inside(3, timeout=SECONDS_MAX) as entered:
            with lock:
                inside.add(number)
            until(lambda: len(inside) == 3)
            met.append(entered.arrival)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, number) for number in range(3)]:
            done.result(SECONDS_MAX)
    assert sorted(met) == [0, 1, 2]


def test_a_block_that_raises_leaves_and_waits_for_nobody(client, other, pool, name):
    barrier = client.barrier(name)
    entering = pool.submit(other.barrier(name).enter, 2, timeout=SECONDS_MAX)
    with pytest.raises(KeyError), barrier.inside(2, timeout=SECONDS_MAX):
        assert barrier.status().inside == 2
        raise KeyError
    assert barrier.status().inside == 1
    other.barrier(name).leave(entering.result(SECONDS_MAX))
    assert barrier.status().inside == 0


async def _cancelled(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        barrier = client.barrier(name)
        waits = asyncio.create_task(other.barrier(name).wait(2, timeout=math.inf))
        async with asyncio.timeout(SECONDS_MAX):
            while not (await barrier.status()).waiting:
                pass
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            with pytest.raises(ocelog.BrokenBarrier):
                await barrier.wait(2, timeout=SECONDS_MAX)
            while not (await barrier.status()).broken:
                pass


def test_a_cancelled_wait_breaks_it(endpoints, name):
    asyncio.run(_cancelled(endpoints, name))


async def _crossed(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        barrier = client.barrier(name)
        enters = asyncio.create_task(other.barrier(name).enter(2, timeout=math.inf))
        async with asyncio.timeout(SECONDS_MAX):
            while not (await barrier.status()).waiting:
                pass
            entered = await barrier.enter(2)
            enters.cancel()
            await asyncio.wait((enters,))
            if not enters.cancelled():  # the answer was faster: then it is inside, and leaves as others do
                with contextlib.suppress(DeadlineExceeded):
                    await other.barrier(name).leave(enters.result(), timeout=0)
            await barrier.leave(entered)


def test_who_is_cancelled_while_it_enters_is_not_waited_for(endpoints, name):
    asyncio.run(_crossed(endpoints, name))


def test_command_line(run, endpoints, name, pool):
    assert run("barrier", "enter", name, "2")[0] == 64
    first = pool.submit(run, "barrier", "enter", name, "2", "--", "sh", "-c", 'echo "$OCELOG_BARRIER_ARRIVAL"; exit 7')
    second = pool.submit(run, "barrier", "enter", name, "2", "--", "sh", "-c", 'echo "$OCELOG_BARRIER_ARRIVAL"')
    results = sorted((first.result(60), second.result(60)))
    assert [code for code, _ in results] == [0, 7]
    assert sorted(printed for _, printed in results) == ["0\n", "1\n"]
    assert run("barrier", "wait", name, "1") == (0, '{"generation": 2, "arrival": 0}\n')
    assert run("barrier", "wait", name, "2", "--timeout", "0.1")[0] == 75
    assert '"broken": true' in run("barrier", "status", name)[1]
    assert run("barrier", "reset", name, "--generation", "9") == (1, "false\n")
    assert run("barrier", "reset", name) == (0, "true\n")
