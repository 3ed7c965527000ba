"""The id generator's handles against a real cluster."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, Closed, MachineError

pytestmark = pytest.mark.system


def test_ids_are_new_and_grow(client, name):
    ids = client.id_generator(name, block=10)
    given = [ids.next_id() for _ in range(100)]
    assert given[0] == 1
    assert given == sorted(set(given))
    assert client.counter(name).get() >= given[-1]


def test_the_next_block_is_there_before_the_last_is_used_up(client, name):
    """With half a block left, another is fetched, so that no call has to wait."""
    ids, counter = client.id_generator(name, block=10), client.counter(name)
    assert [ids.next_id() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert counter.get() == 10
    assert ids.next_id() == 6
    while counter.get() == 10:
        pass
    assert counter.get() == 20
    assert [ids.next_id() for _ in range(9)] == list(range(7, 16)), "all of it, and what comes behind it"


def test_handles_and_clients_share_a_generator(client, endpoints, name):
    with ocelog.connect(endpoints) as other:
        given = []
        for _ in range(20):
            given += [client.id_generator(name, block=5).next_id(), other.id_generator(name, block=3).next_id()]
    assert len(set(given)) == 40
    assert given[::2] == sorted(given[::2]) and given[1::2] == sorted(given[1::2])


def test_blocks_of_one_leave_nothing_out_over_all_clients(client, endpoints, name):
    with ocelog.connect(endpoints) as other:
        one, two = client.id_generator(name, block=1), other.id_generator(name, block=1)
        assert [ids.next_id() for ids in (one, two, two, one)] == [1, 2, 3, 4]
        assert client.id_generator(name, block=10).next_id() == 5
        two.next_id()
        assert one.next_id() == 16
        assert client.id_generator(name, block=10).next_id() > 16, "above what this client was given"


def test_a_deleted_generator_begins_anew(client, name):
    ids = client.id_generator(name, block=10)
    assert [ids.next_id(), ids.next_id()] == [1, 2]
    assert client.delete(name)
    assert ids.next_id() == 1


def test_its_end_is_an_error(client, name):
    client.counter(name).set((1 << 63) - 5)
    with pytest.raises(MachineError, match="64-bit"):
        client.id_generator(name).next_id()
    assert client.id_generator(name, block=2).next_id() == (1 << 63) - 4


@pytest.mark.parametrize("block", [0, -1, "1", 1.0, True, (1 << 32) + 1])
def test_a_block_is_a_number(client, name, block):
    with pytest.raises(BadArgument):
        client.id_generator(name, block=block)


def test_a_closed_client_gives_none(endpoints, name):
    with ocelog.connect(endpoints) as client:
        ids = client.id_generator(name)
        ids.next_id()
    with pytest.raises(Closed):
        ids.next_id()


def test_threads_share_a_client(endpoints, name):
    with ocelog.connect(endpoints) as client, ThreadPoolExecutor(4) as pool:
        ids = client.id_generator(name, block=50)
        lists = list(pool.map(lambda _: [ids.next_id() for _ in range(500)], range(4)))
    assert all(given == sorted(given) for given in lists)
    assert len({number for given in lists for number in given}) == 2000


async def _together(endpoints, name):
    async with ocelog.connect_async(endpoints) as client:
        ids = client.id_generator(name, block=100)
        given = await asyncio.gather(*(ids.next_id() for _ in range(1000)))
        assert len(set(given)) == 1000
        assert await ids.next_id() > max(given)


def test_a_thousand_tasks_at_once(endpoints, name):
    asyncio.run(_together(endpoints, name))


def test_command_line(run, client, name):
    assert run("ids", name) == (0, "1\n")
    assert run("ids", name, "--count", "3", "--json") == (0, "[2, 3, 4]\n")
    assert client.id_generator(name).next_id() == 5
