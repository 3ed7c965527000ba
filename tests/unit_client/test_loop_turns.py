"""An event loop reads and sends for its client; the client's own thread keeps the time, and does what the loop does not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import time
from math import inf

import ocelog
import pytest
from ocelog.client import io as client_io
from ocelog.client.calls import Call, ClientState
from ocelog.client.io import IoThread
from ocelog.client.protocol import frames
from ocelog.client.protocol.errors import Closed
from ocelog.client.sessions import Sessions
from ocelog.client.transport import ZmqTransport

SECONDS = 10.0


@pytest.fixture
def turns(monkeypatch):
    """A list with an item for each turn that a client's own thread takes."""
    taken = []
    turn = IoThread._turn

    def counted(self, spoke):
        taken.append(threading.current_thread().name)
        return turn(self, spoke)

    monkeypatch.setattr(IoThread, "_turn", counted)
    return taken


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_calls_are_sent_and_answered_in_the_loop_alone(router, turns):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            users = client.map("users")
            await users.put("first", 0)  # opens the session and the map
            before = len(turns)
            for number in range(100):
                await users.put("ada", number)
            during = len(turns) - before
            assert await users.get("ada") == 99
            return during

    during = asyncio.run(scenario())
    assert during < 10, "and these are the turns of timers"


def test_a_loop_that_is_busy_for_long_keeps_its_session(kit, router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint, session_timeout=1.0) as client:
            users = client.map("users")
            await users.put("ada", 1)
            before = sum(sent.kind == frames.KEEP_ALIVE for sent in router.requests)
            end = time.monotonic() + SECONDS
            # The loop stands still all the while: nothing but the client's thread can send these.
            while sum(sent.kind == frames.KEEP_ALIVE for sent in router.requests) < before + 3:
                assert time.monotonic() < end
                time.sleep(0.01)
            assert await users.get("ada") == 1
            assert client.state is ClientState.CONNECTED

    for shard in router.shards:
        shard.timeout_ms = 1000
    asyncio.run(scenario())


def test_a_loop_that_waits_for_no_descriptors_leaves_all_to_the_thread(router, turns):
    class Plain(asyncio.SelectorEventLoop):
        def add_reader(self, *arguments):
            raise NotImplementedError

    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            before = len(turns)
            for number in range(20):
                await client.map("users").put("ada", number)
            assert await client.map("users").get("ada") == 19
            return len(turns) - before

    loop = Plain()
    try:
        assert loop.run_until_complete(scenario()) >= 20
    finally:
        loop.close()


def test_what_both_have_read_comes_in_the_order_of_the_log(router):
    """Turns of the thread, forced here all the time, read between those of the loop."""
    count = 300

    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            hits, seen, over = client.counter("hits"), [], threading.Event()
            await hits.get()

            def take(batch_of):
                original = client._owner.listening.take

                def taken(item):
                    if hasattr(item, "index") and hasattr(item, "events"):
                        batch_of.append(item.index)
                    return original(item)

                return taken

            client._owner.listening.take = take(seen)

            def disturb():
                while not over.is_set():
                    client._io.signal()
                    over.wait(0.0005)

            thread = threading.Thread(target=disturb)
            thread.start()
            try:
                for _ in range(count // 10):
                    await asyncio.gather(*(client.submit(("told", "map"), "tell", 1) for _ in range(10)))
            finally:
                over.set()
                thread.join(SECONDS)
            end = time.monotonic() + SECONDS
            while len(seen) < count and time.monotonic() < end:
                await asyncio.sleep(0.01)
            return seen

    seen = asyncio.run(scenario())
    assert len(seen) == count
    assert seen == sorted(seen)


def test_answers_beyond_what_one_turn_reads_come_with_the_next(router, monkeypatch):
    monkeypatch.setattr(client_io, "READS_MAX", 1)

    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            # Each call is a message, and so is each event.
            for _ in range(20):
                await asyncio.gather(*(client.submit(("told", "map"), "tell", n) for n in range(5)))

    asyncio.run(asyncio.wait_for(scenario(), SECONDS))


def test_an_answer_that_comes_while_the_thread_sends_is_not_left_lying(kit, router, monkeypatch):
    """Sending takes notice of what has come, and the descriptor that the loop waits for says nothing of it any more."""
    send = IoThread._send

    def sent(self):
        done = send(self)
        if done and threading.current_thread().name == "ocelog-client":
            self._transport._socket.poll(1000)  # the answer is there, and has been noticed
            noticed.set()
        return done

    noticed = threading.Event()

    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            users = client.map("users")
            await users.put("ada", 1)
            monkeypatch.setattr(IoThread, "_send", sent)
            # No timer is to come to its help.
            monkeypatch.setattr(IoThread, "_wake_at", lambda self: inf)
            client._io.signal()
            kit.until(lambda: client._io._sleeps_until == inf)
            future = asyncio.get_running_loop().create_future()
            now = time.monotonic()
            call = Call(users.resource, ("size",), True, now, now + 60, client._owner, future)
            client._io.submit([call])  # to the thread
            assert noticed.wait(SECONDS)  # the loop does not look meanwhile
            assert await asyncio.wait_for(future, SECONDS) == 1
            monkeypatch.undo()
            client._io.signal()

    asyncio.run(scenario())


def test_no_descriptor_is_left_when_clients_have_closed(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            await client.map("users").put("ada", 1)

    asyncio.run(scenario())
    before = descriptors()
    for _ in range(5):
        asyncio.run(scenario())
    assert descriptors() == before


def test_a_client_that_outlives_its_loop_ends_when_it_is_forgotten(kit, router):
    async def scenario():
        client = await ocelog.connect_async(router.endpoint)
        await client.map("users").put("ada", 1)
        return client

    asyncio.run(scenario())
    gc.collect()
    before = descriptors()
    client = asyncio.run(scenario())
    io = client._io
    del client
    gc.collect()
    io.ended.result(SECONDS)
    kit.until(lambda: descriptors() <= before)


def test_a_turn_that_is_cut_short_ends_the_client_and_everybody_is_told(router, monkeypatch):
    """A loop that KeyboardInterrupt is raised in: what a session was about to do then is not known."""
    tick = Sessions.tick
    loop = asyncio.new_event_loop()

    async def begin():
        client = await ocelog.connect_async(router.endpoint)
        await client.map("users").put("ada", 1)
        return client

    async def rest():
        with pytest.raises(Closed):
            await first
        with pytest.raises(Closed):
            await client.map("users").put("ada", 3)
        await client.close()

    try:
        client = loop.run_until_complete(begin())
        router.deaf = True
        first = loop.create_task(client.map("users").put("ada", 2))

        def interrupted(self, now):
            if threading.get_ident() == mine:
                raise KeyboardInterrupt
            tick(self, now)

        mine = threading.get_ident()
        monkeypatch.setattr(Sessions, "tick", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(first)
        monkeypatch.setattr(Sessions, "tick", tick)
        loop.run_until_complete(asyncio.wait_for(rest(), SECONDS))
    finally:
        loop.close()


def test_connecting_anew_is_the_threads_affair(kit, router, monkeypatch):
    """It may have to look a name up, and the loop must not wait for that."""
    opened = []
    real = ZmqTransport.open

    def opening(self, endpoint):
        opened.append(threading.current_thread().name)
        real(self, endpoint)

    monkeypatch.setattr(ZmqTransport, "open", opening)
    other = kit.FakeRouter(router.shards)

    async def scenario():
        async with ocelog.connect_async([router.endpoint, other.endpoint], timeout=SECONDS) as client:
            first = router if client._io.connection.endpoint == router.endpoint else other
            await client.map("users").put("ada", 1)
            await asyncio.to_thread(first.stop)
            assert await client.map("users").get("ada") == 1

    try:
        asyncio.run(scenario())
    finally:
        other.stop()
    assert len(opened) >= 2
    assert set(opened) == {"ocelog-client"}


def test_a_call_that_is_cancelled_in_flight_is_given_up_in_the_loop(router, turns):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            await client.map("users").put("ada", 1)
            router.deaf = True
            task = asyncio.create_task(client.map("users").put("ada", 2))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            router.deaf = False
            assert await client.map("users").put("ada", 3) in (1, 2)

    asyncio.run(scenario())
