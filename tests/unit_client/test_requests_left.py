"""A request whose session ends before its command has left goes into the next session with it: it must not stay there."""

from __future__ import annotations

import asyncio
import threading

import ocelog
import pytest
from ocelog.client.calls import Resource
from ocelog.client.protocol.errors import SessionExpired


@pytest.fixture
def shard(kit):
    """A shard whose maps can be asked for something that one waits for, for ever."""

    class Asked(kit.FakeShard):
        def _map_ask(self, _, state, number, wait_ms):
            return None

        def _map_cancel(self, _, state, number):
            return True

    return Asked(0)


@pytest.fixture
def endpoint(kit, shard):
    router = kit.FakeRouter([shard])
    yield router.endpoint
    router.stop()


def operations(shard):
    """What was applied, by name, with the request's number."""
    return [operation[1:3] for _, _, operation in shard.history if operation[1] in ("ask", "cancel")]


def test_it_is_taken_back_from_the_next_session(endpoint, shard, kit):
    async def scenario():
        async with ocelog.connect_async(endpoint) as client:
            asked = asyncio.create_task(client.request(Resource("r", "map", 0), "ask", wait=30))
            await asyncio.sleep(0)
            client.listening.requests.fail(0, SessionExpired("the session before"))
            with pytest.raises(SessionExpired):
                await asked
            kit.until(lambda: operations(shard) == [["ask", 1], ["cancel", 1]])

    asyncio.run(scenario())


def test_so_is_a_blocking_one(endpoint, shard, kit):
    with ocelog.connect(endpoint) as client:
        perform = client.perform

        def overtaken(*arguments):
            client.listening.requests.fail(0, SessionExpired("the session before"))
            return perform(*arguments)

        client.perform = overtaken
        errors = []
        thread = threading.Thread(target=lambda: errors.append(_error(client)))
        thread.start()
        thread.join(10)
        assert [type(error) for error in errors] == [SessionExpired]
        kit.until(lambda: operations(shard) == [["ask", 1], ["cancel", 1]])


def _error(client):
    try:
        return client.request(Resource("r", "map", 0), "ask", wait=30)
    except SessionExpired as error:
        return error
