"""The semaphore's handles and `ocelog semaphore`, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import json
import queue
import sys

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, MachineError

pytestmark = pytest.mark.system

SECONDS_MAX = 20
OCELOG = (sys.executable, "-m", "ocelog")


def test_operations(client, name):
    slots = client.semaphore(name, 3)
    assert (slots.capacity(), slots.available()) == (None, 3)
    grant = slots.acquire(2, timeout=5)
    assert (slots.capacity(), slots.available()) == (3, 1)
    one = slots.try_acquire()
    assert slots.try_acquire() is None and slots.available() == 0
    with pytest.raises(DeadlineExceeded):
        slots.acquire(timeout=0.2)
    status = slots.status()
    assert [(holder[:3], holder.wants) for holder in status.holders] == [(grant, 2), (one, 1)]
    assert slots.release(grant) is True and slots.release(grant) is False and slots.release(one) is True
    assert slots.available() == 3 and slots.status().holding == 0
    for wrong in (0, -1, True, "1"):
        with pytest.raises(BadArgument):
            slots.acquire(wrong)
        with pytest.raises(BadArgument):
            client.semaphore(name, wrong)
    with pytest.raises(BadArgument):
        slots.release(1)


def test_the_capacity_is_agreed_upon(client, name):
    with pytest.raises(MachineError, match="no capacity yet"):
        client.semaphore(name).acquire()
    slots = client.semaphore(name, 2)
    slots.release(slots.acquire())
    with pytest.raises(MachineError, match="a capacity of 2, not 3"):
        client.semaphore(name, 3).acquire()
    with pytest.raises(MachineError, match="from 1 to 2"):
        slots.acquire(3)
    assert slots.with_consistency().set_capacity(3) == 2
    assert client.semaphore(name).try_acquire(3) is not None
    with pytest.raises(MachineError, match="a capacity of 3, not 2"):
        slots.try_acquire()
    assert slots.set_capacity(1) == 3
    assert slots.available() == -2 and slots.try_acquire() is None


async def _waits(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, asyncio.timeout(SECONDS_MAX):
        slots = client.semaphore(name, 3)
        held = await slots.acquire(2)
        # One session runs its commands in order, so this is the order in which they come.
        waits = [asyncio.create_task(slots.acquire(permits)) for permits in (3, 1, 1)]
        while await client.semaphore(name).available() != 1 or (await slots.status()).waiting < 3:
            pass
        waits[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits[0]
        first = await waits[1]
        assert (await slots.status()).waiting == 1
        await slots.release(first)
        second = await waits[2]
        assert held.token < first.token < second.token
        refused = asyncio.create_task(slots.acquire(3))
        while not (await slots.status()).waiting:
            pass
        await slots.set_capacity(2)
        with pytest.raises(MachineError, match="3 permits cannot be had any more"):
            await refused


def test_waits(endpoints, name):
    asyncio.run(_waits(endpoints, name))


def test_a_block_holds_permits(endpoints, name):
    lost = queue.SimpleQueue()
    with ocelog.connect(endpoints) as client:
        slots = client.semaphore(name, 2)
        with slots.held(timeout=5), slots.held(2 - 1, timeout=5, lost=lost.put) as grant:
            assert slots.available() == 0
            assert client.delete(name)
            assert lost.get(timeout=SECONDS_MAX) == grant
        assert slots.available() == 2 and lost.empty()


def test_the_command_line_holds_permits_for_a_command(run, name):
    assert run("semaphore", name, "--", "true")[0] == 65, "nobody has said how many there are"
    status = (*OCELOG, "semaphore", name, "--status", "--json")
    code, text = run("semaphore", name, "--capacity", "3", "--permits", "2", "--", *status)
    found = json.loads(text)
    assert code == 0 and (found["holding"], found["waiting"], found["holders"][0]["wants"]) == (1, 0, 2)
    nested = (*OCELOG, "semaphore", name, "--permits", "2", "--timeout", "0.2", "--", "true")
    assert run("semaphore", name, "--permits", "2", "--", *nested)[0] == 75
    assert run("semaphore", name, "--capacity", "4", "--", "true")[0] == 65
    assert run("semaphore", name, "--set-capacity", "4") == (0, "3\n")
    assert run("semaphore", name, "--capacity", "4", "--", "true")[0] == 0
    assert run("semaphore", name, "--set-capacity", "0")[0] == 64
