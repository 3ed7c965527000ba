"""The queue's handles and `ocelog queue`, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, Closed

pytestmark = pytest.mark.system


def test_operations(client, name):
    queue = client.queue(name)
    assert queue.poll() is None and queue.peek() is None and queue.is_empty() is True
    assert queue.offer({"page": 7}) is None
    queue.offer([1, "b"])
    queue.offer(b"raw")
    queue.offer({"page": 7})
    assert queue.size() == 4 and queue.is_empty() is False
    assert queue.peek() == {"page": 7}
    assert queue.contains(b"raw") is True and queue.contains("raw") is False
    assert queue.remove({"page": 7}) is True and queue.remove("x") is False
    assert queue.poll() == [1, "b"]
    assert queue.take() == b"raw"
    assert queue.take(timeout=0) == {"page": 7}
    assert queue.take(timeout=0) is None
    started = time.monotonic()
    assert queue.take(timeout=0.2) is None
    assert 0.15 < time.monotonic() - started < 5
    queue.offer(1)
    assert queue.clear() is None and queue.size() == 0


def test_none_is_no_item(client, name):
    with pytest.raises(BadArgument):
        client.queue(name).offer(None)
    with pytest.raises(BadArgument):
        client.queue(name).take(timeout=-1)


def test_events(client, name):
    queue = client.queue(name)
    with queue.events() as events:
        queue.offer("a")
        queue.offer("b")
        queue.poll()
        queue.clear()
        found = [events.next(10) for _ in range(4)]
    assert [(event.kind, event.old, event.new) for event in found] == [
        ("added", None, "a"),
        ("added", None, "b"),
        ("removed", "a", None),
        ("cleared", None, None),
    ]
    assert found[0].as_dict() == {"kind": "added", "key": None, "old": None, "new": "a", "index": found[0].index}


def test_what_an_event_stream_missed_is_a_list(client, name):
    queue = client.queue(name)
    with queue.events(buffer=2) as events:
        for number in range(5):
            queue.offer(number)
        kinds = []
        while (event := events.next(10)).kind != "resync":
            kinds.append(event.kind)
        assert event.state == [0, 1, 2, 3, 4]


def test_takes_in_threads_are_woken_in_turn(endpoints, name):
    with ocelog.connect(endpoints) as client:
        queue, got = client.queue(name), []
        threads = [threading.Thread(target=lambda: got.append(queue.take(timeout=30))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(3):
            queue.offer(number)
        for thread in threads:
            thread.join(30)
        assert sorted(got) == [0, 1, 2]
        assert queue.size() == 0


def test_takes_that_are_cancelled_lose_nothing(endpoints, name):
    """Cancelled at whatever moment, before, while and after the item is given: in the end each item was got exactly once."""

    async def scenario():
        async with ocelog.connect_async(endpoints) as consumers, ocelog.connect_async(endpoints) as producer:
            queue, got = consumers.queue(name), []
            for number in range(60):
                takes = [asyncio.create_task(queue.take(timeout=math.inf)) for _ in range(2)]
                await asyncio.sleep(0.001 * (number % 4))
                offered = asyncio.create_task(producer.queue(name).offer(number))
                await asyncio.sleep(0.0007 * (number % 7))
                for take in takes:
                    take.cancel()
                results = await asyncio.gather(*takes, return_exceptions=True)
                got += [result for result in results if not isinstance(result, BaseException)]
                await offered
            while (item := await queue.take(timeout=0.5)) is not None:
                got.append(item)
            assert sorted(got) == list(range(60))
            assert await queue.size() == 0

    asyncio.run(scenario())


def test_a_take_ends_with_its_client(endpoints, name):
    client = ocelog.connect(endpoints)
    errors = []

    def take():
        try:
            client.queue(name).take(timeout=math.inf)
        except Closed as error:
            errors.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    time.sleep(0.3)
    client.close()
    thread.join(10)
    assert errors
    with ocelog.connect(endpoints) as other:
        other.queue(name).offer("a")
        assert other.queue(name).take() == "a", "the waiter that is gone gets nothing"


def test_command_line(run, name):
    assert run("queue", "poll", name) == (1, "")
    assert run("queue", "offer", name, '{"page": 7}') == (0, "")
    assert run("queue", "offer", name, "b") == (0, "")
    assert run("queue", "size", name) == (0, "2\n")
    assert run("queue", "peek", name) == (0, '{"page": 7}\n')
    assert run("queue", "take", name, "--timeout", "5") == (0, '{"page": 7}\n')
    assert run("queue", "contains", name, "b") == (0, "true\n")
    assert run("queue", "remove", name, "x") == (1, "false\n")
    assert run("queue", "poll", name, "--json") == (0, '"b"\n')
    assert run("queue", "take", name, "--timeout", "0.2") == (75, "")
    assert run("queue", "clear", name) == (0, "")
