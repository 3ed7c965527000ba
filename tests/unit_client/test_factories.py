"""What a client finds, names and deletes, against a real cluster of two shards."""

from __future__ import annotations

import asyncio

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, WrongType


@pytest.mark.ocelog_cluster(shards=2, replicas=1)
def test_resources_are_found_named_and_deleted(ocelog_cluster):
    with ocelog.connect(ocelog_cluster.endpoints) as client:
        assert client.exists("users") is None
        assert client.delete("users") is False
        client.map("users").put("ada", 1)
        names = {f"hits-{number}": "counter" for number in range(20)}
        for name in names:
            client.counter(name).increment()
        assert client.exists("users") == "map"
        assert client.resources() == {"users": "map", **names}
        assert client.resources("counter") == names
        assert client.delete("users") is True
        assert client.resources("map") == {}


@pytest.mark.ocelog_cluster(shards=1, replicas=1)
def test_a_name_is_free_again_when_its_resource_is_deleted(ocelog_cluster):
    with ocelog.connect(ocelog_cluster.endpoints) as client:
        users = client.map("users")
        users.put("ada", 1)
        with pytest.raises(WrongType):
            client.counter("users").get()
        client.delete("users")
        assert client.counter("users").increment() == 1
        client.delete("users")
        assert users.get("ada") is None, "the old handle begins with a new map"


async def _deleted(endpoints):
    async with ocelog.connect_async(endpoints) as client:
        await client.map("users").put("ada", 1)
        assert await client.resources() == {"users": "map"}
        assert await client.delete("users")
        assert await client.exists("users") is None


@pytest.mark.ocelog_cluster(shards=1, replicas=1)
def test_the_same_in_an_event_loop(ocelog_cluster):
    asyncio.run(_deleted(ocelog_cluster.endpoints))


@pytest.mark.ocelog_cluster(shards=1, replicas=1)
def test_a_name_is_a_text(ocelog_cluster):
    with ocelog.connect(ocelog_cluster.endpoints) as client:
        for name in ("", 7, "x" * 256, None):
            with pytest.raises(BadArgument):
                client.delete(name)
