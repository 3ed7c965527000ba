"""What a client keeps of resources that it created, used and deleted: nothing, whatever their type."""

from __future__ import annotations

import asyncio
import time

import ocelog
import pytest
from ocelog.bench.leftovers import Lives
from ocelog.client.requests import ARRIVED_MAX, Requests

from ...census import census

pytestmark = pytest.mark.system

SECONDS_MAX = 20


def parts_of(client):
    """What a client keeps: listeners, requests, known resources, ids, and the sessions of its I/O thread."""
    return client.listening, client._resources, client.stocks, client._io


async def _lives(endpoints, count):
    async with ocelog.connect_async(endpoints) as client:
        lives = Lives([client])
        await lives.live(count)
        loop = asyncio.get_running_loop()

        async def at_rest():
            await client.exists("nothing")
            await asyncio.sleep(0.01)  # the last listeners are taken back behind the calls
            return census(*parts_of(client), but=(asyncio.AbstractEventLoop,))

        before = await at_rest()
        await lives.live(4 * count)
        deadline = loop.time() + SECONDS_MAX
        # What is still on its way (acknowledgements, the last batch of events) is a few objects.
        while (after := await at_rest()) > before + count // 2 and loop.time() < deadline:
            pass
        assert after <= before + count // 2, f"{after - before} more for {4 * count} resources"
        assert not client._resources._known and not len(client.stocks)


def test_an_asyncio_client_keeps_nothing(endpoints):
    asyncio.run(_lives(endpoints, 60))


def test_a_blocking_client_keeps_nothing(endpoints, name):
    with ocelog.connect(endpoints) as client:

        def live(count):
            for number in range(count):
                queue, counter, users = (
                    client.queue(f"{name}/q{number}"),
                    client.counter(f"{name}/c{number}"),
                    client.map(f"{name}/m{number}"),
                )
                queue.offer(1)
                assert queue.take() == 1
                client.id_generator(f"{name}/c{number}", block=5).next_id()
                with users.events() as events:
                    users.put("a", 1)
                    events.next(timeout=5)
                counter.on_change(print).close()
                for each in (queue, counter, users):
                    client.delete(each.resource.name)

        live(5)
        before = census(*parts_of(client))
        live(40)
        deadline = time.monotonic() + SECONDS_MAX
        while (after := census(*parts_of(client))) > before + 40 and time.monotonic() < deadline:
            client.exists("nothing")
        assert after <= before + 40, f"{after - before} more for 120 resources"


def test_what_has_arrived_of_resources_that_others_delete_is_bounded():
    requests = Requests()
    for number in range(ARRIVED_MAX + 5):
        requests.arrived(0, str(number), number)
    assert requests.take_arrived(0, "4") == []
    assert requests.take_arrived(0, "5") == [5]
    requests.arrived(0, "none")
    assert len(requests._arrived) == ARRIVED_MAX - 1
