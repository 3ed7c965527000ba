"""The latch's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, MachineError

pytestmark = pytest.mark.system

SECONDS_MAX = 20


def test_operations(client, endpoints, name):
    latch = client.latch(name)
    assert (latch.count(), latch.waiting()) == (None, 0)
    with pytest.raises(MachineError, match="no count yet"):
        latch.count_down()
    with pytest.raises(DeadlineExceeded):
        latch.wait(timeout=0)
    assert [latch.set_count(3), latch.set_count(5)] == [True, False]
    with ocelog.connect(endpoints) as other, ThreadPoolExecutor() as pool:
        waiting = [pool.submit(other.latch(name).wait, timeout=wait) for wait in (SECONDS_MAX, math.inf)]
        deadline = time.monotonic() + SECONDS_MAX
        while latch.waiting() < 2:
            assert time.monotonic() < deadline
        assert latch.count_down() == 2
        assert not any(wait.done() for wait in waiting)
        assert latch.count_down(2) == 0
        assert [wait.result(SECONDS_MAX) for wait in waiting] == [None, None]
    latch.wait()
    assert latch.count() == 0
    latch.reset(2)
    assert latch.count() == 2
    latch.reset()
    assert latch.count() is None


def test_a_wait_that_times_out_leaves_nothing_behind(client, name):
    latch = client.latch(name)
    latch.set_count(1)
    with pytest.raises(DeadlineExceeded):
        latch.wait(timeout=0.1)
    assert latch.waiting() == 0


@pytest.mark.parametrize("count", [0, -1, 1 << 63, "1", True])
def test_counts_are_checked(client, name, count):
    for operation in (client.latch(name).set_count, client.latch(name).count_down, client.latch(name).reset):
        with pytest.raises(BadArgument):
            operation(count)


async def _cancelled(endpoints, name):
    async with ocelog.connect_async(endpoints) as client:
        latch = client.latch(name)
        waits = asyncio.create_task(latch.wait(timeout=math.inf))
        async with asyncio.timeout(SECONDS_MAX):
            while not await latch.waiting():
                pass
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            while await latch.waiting():
                pass


def test_a_cancelled_wait_leaves_nothing_behind(endpoints, name):
    asyncio.run(_cancelled(endpoints, name))


def test_command_line(run, name):
    assert run("latch", "count", name) == (1, "")
    assert run("latch", "set-count", name, "3") == (0, "true\n")
    assert run("latch", "wait", name, "--timeout", "0.1")[0] == 75
    assert run("latch", "count-down", name, "--by", "2") == (0, "1\n")
    assert run("latch", "count-down", name) == (0, "0\n")
    assert run("latch", "wait", name) == (0, "")
    assert run("latch", "reset", name, "4") == (0, "")
    assert run("latch", "count", name, "--json") == (0, "4\n")
