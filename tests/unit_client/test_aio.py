"""The asyncio client against a router on a real socket."""

from __future__ import annotations

import asyncio
import gc
import threading

import ocelog
import pytest
from ocelog.client.protocol import frames
from ocelog.client.protocol.errors import (
    BadArgument,
    Closed,
    ConnectFailed,
    DeadlineExceeded,
    OutcomeUnknown,
    SessionExpired,
    WrongType,
)


def test_every_map_method(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            users = client.map("users")
            assert await users.put("ada", {"born": 1815}) is None
            assert await users.put("ada", [1, 2.5, b"x", "y", True, {"z": 1}]) == {"born": 1815}
            assert await users.get("ada") == [1, 2.5, b"x", "y", True, {"z": 1}]
            assert await users.get("bob") is None
            assert await users.put_if_absent("ada", 1) == [1, 2.5, b"x", "y", True, {"z": 1}]
            assert await users.put_if_absent(7, "seven") is None
            assert await users.replace(b"raw", 1) is None
            assert await users.replace(7, "VII") == "seven"
            assert await users.keys() == ["ada", 7]
            assert await users.size() == 2
            assert await users.contains(7) is True
            assert await users.contains("7") is False
            assert await users.remove(7) == "VII"
            assert await users.remove(7) is None
            assert await users.clear() is None
            assert await users.size() == 0

    asyncio.run(scenario())


def test_every_counter_method(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            hits = client.counter("hits")
            assert await hits.get() == 0
            assert await hits.increment() == 1
            assert await hits.increment(4) == 5
            assert await hits.decrement() == 4
            assert await hits.decrement(10) == -6
            assert await hits.add(6) == 0
            assert await hits.set(41) is None
            assert await hits.compare_and_set(41, 42) is True
            assert await hits.compare_and_set(41, 43) is False
            assert await hits.get() == 42

    asyncio.run(scenario())


def test_any_operation_can_be_named(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            assert await client.command("raw", "map", "put", b"k", b"v") is None
            assert await client.query("raw", "map", "get", b"k") == b"v"

    asyncio.run(scenario())


def test_calls_of_one_turn_travel_together_and_each_gets_its_own_result(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            hits = client.counter("hits")
            await hits.get()
            before = len(router.requests)
            values = await asyncio.gather(*[hits.increment() for _ in range(500)])
            assert values == list(range(1, 501))
            assert len(router.requests) - before <= 4

    asyncio.run(scenario())


def test_resources_find_their_shards_and_each_shard_its_session(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            await asyncio.gather(*[client.counter(f"c{n}").increment() for n in range(40)])
        shards = {sent.header.shard for sent in router.requests if sent.kind == frames.REGISTER}
        assert shards == {0, 1}
        assert sum(len(shard.resources) for shard in router.shards) == 40

    asyncio.run(scenario())


def test_connecting_can_be_awaited_and_closing_ends_the_session_and_the_thread(router, kit):
    async def scenario():
        client = await ocelog.connect_async([router.endpoint], timeout=5)
        await client.map("users").put(1, 1)
        await client.close()
        await client.close()
        with pytest.raises(Closed):
            await client.map("users").put(1, 2)

    asyncio.run(scenario())
    assert not any(shard.sessions for shard in router.shards)
    kit.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocelog-client"])


def test_options_are_checked_before_anything_else():
    for options in (
        {"endpoints": "nonsense"},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": "10"},
        {"timeout": True},
        {"session_timeout": 0.5},
        {"session_timeout": 7200},
        {"client_id": ""},
        {"client_id": "x" * 256},
    ):
        with pytest.raises(BadArgument):
            ocelog.connect_async(**{"endpoints": "tcp://127.0.0.1:1", **options})


def test_connecting_to_nobody_names_the_endpoints_and_the_reasons(kit):
    router = kit.FakeRouter([])
    router.refuse_hello = True
    endpoints = ["tcp://127.0.0.1:9", router.endpoint]

    async def scenario():
        async with ocelog.connect_async(endpoints, timeout=0.5):
            raise AssertionError("connected to nobody")

    with pytest.raises(ConnectFailed, match=r"0\.5 s") as caught:
        asyncio.run(scenario())
    router.stop()
    assert "tcp://127.0.0.1:9: connection refused" in str(caught.value)
    assert "UNKNOWN_VERSION: too old" in str(caught.value)


def test_a_cancelled_call_never_shifts_the_results_of_others(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            numbers = client.map("numbers")
            await asyncio.gather(*[numbers.put(n, n) for n in range(100)])
            for round_ in range(20):
                tasks = [asyncio.ensure_future(numbers.get(n)) for n in range(100)]
                await asyncio.sleep(0.0003 * round_)
                for task in tasks[::3]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for n, result in enumerate(results):
                    assert result == n or isinstance(result, asyncio.CancelledError)
                    assert n % 3 == 0 or result == n

    asyncio.run(scenario())


def test_a_cancelled_command_that_was_sent_is_settled_as_a_void(router, kit):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            users = client.map("users")
            await users.put("a", 1)
            router.deaf = True
            before = len(router.requests)
            task = asyncio.ensure_future(users.put("a", 2))
            await asyncio.to_thread(kit.until, lambda: len(router.requests) > before)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            router.deaf = False
            assert await users.get("a") == 1
            assert await users.put("a", 3) == 1

    asyncio.run(scenario())


def test_wait_for_is_a_cancellation(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            users = client.map("users")
            await users.size()
            router.deaf = True
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(users.get("a"), 0.05)
            router.deaf = False
            assert await users.get("a") is None

    asyncio.run(scenario())


def test_deadlines_say_where_and_what_and_whether_it_may_have_been_done(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint, timeout=5) as client:
            users = client.map("users")
            await users.put("a", 1)
            router.deaf = True
            with pytest.raises(OutcomeUnknown) as unknown:
                await users.put("a", 2, timeout=0.1)
            with pytest.raises(DeadlineExceeded) as late:
                await users.get("a", timeout=0.1)
            router.deaf = False
        assert unknown.value.context["endpoint"] == router.endpoint
        assert unknown.value.context["sequence"] > 1
        assert unknown.value.context["resource"] == "users"
        assert isinstance(unknown.value, TimeoutError)
        assert not unknown.value.definite
        assert late.value.definite

    asyncio.run(scenario())


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_timeout_is_a_positive_number_of_seconds(router, timeout):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            with pytest.raises(BadArgument, match="timeout"):
                await client.map("users").get("a", timeout=timeout)

    asyncio.run(scenario())


def test_what_cannot_be_a_name_a_key_or_a_value_is_refused_at_once(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            for name in ("", None, b"users", "x" * 256, "\ud800", ["users"]):
                with pytest.raises(BadArgument):
                    client.map(name)
            users = client.map("users")
            for key in (None, 1.5, True, 2**64, ("a",)):
                with pytest.raises(BadArgument):
                    await users.put(key, 1)
            for value in (None, object(), {1.5: 2}, 2**64, {"set"}):
                with pytest.raises(BadArgument):
                    await users.put("a", value)
            for number in (1.0, True, 2**63, "1"):
                with pytest.raises(BadArgument):
                    await client.counter("hits").add(number)
            with pytest.raises(BadArgument):
                await client.counter("hits").decrement(-(2**63))
            assert await users.size() == 0

    asyncio.run(scenario())


def test_one_name_has_one_type(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            await client.map("users").put("a", 1)
            with pytest.raises(WrongType) as caught:
                await client.counter("users").increment()
            assert "users" in str(caught.value)
            assert await client.map("users").get("a") == 1

    asyncio.run(scenario())


def test_a_lost_router_is_replaced_by_the_next_and_sessions_go_on(router, kit):
    second = kit.FakeRouter(router.shards)

    async def scenario():
        async with ocelog.connect_async([router.endpoint, second.endpoint]) as client:
            hits = client.counter("hits")
            assert await hits.increment() == 1
            await asyncio.to_thread(router.stop)
            values = await asyncio.gather(*[hits.increment() for _ in range(20)])
            assert values == list(range(2, 22))

    asyncio.run(scenario())
    assert not [sent for sent in second.requests if sent.kind == frames.REGISTER]
    assert {sent.header.connection for sent in second.requests} == {2}
    second.stop()


def test_what_was_unanswered_when_the_router_was_lost_is_repeated_through_the_next(router, kit):
    second = kit.FakeRouter(router.shards)

    async def scenario():
        async with ocelog.connect_async([router.endpoint, second.endpoint]) as client:
            hits = client.counter("hits")
            await hits.increment()
            router.deaf = True
            before = len(router.requests)
            tasks = [asyncio.ensure_future(hits.increment()) for _ in range(10)]
            await asyncio.to_thread(kit.until, lambda: len(router.requests) > before)
            await asyncio.to_thread(router.stop)
            assert await asyncio.gather(*tasks) == list(range(2, 12))

    asyncio.run(scenario())
    second.stop()


def test_an_expired_session_fails_what_was_in_flight_and_the_next_call_opens_another(router):
    async def scenario():
        async with ocelog.connect_async(router.endpoint) as client:
            hits = client.counter("hits")
            await hits.increment()
            for shard in router.shards:
                shard.sessions.clear()
            with pytest.raises(SessionExpired):
                await hits.increment()
            assert await hits.increment() == 2

    asyncio.run(scenario())


def test_closing_without_a_majority_is_bounded(router, kit):
    async def scenario():
        client = await ocelog.connect_async(router.endpoint, timeout=0.5)
        await client.map("users").put("a", 1, timeout=5)
        router.deaf = True
        before = len(router.requests)
        waiting = asyncio.ensure_future(client.map("users").put("a", 2, timeout=600))
        await asyncio.to_thread(kit.until, lambda: len(router.requests) > before)
        await asyncio.wait_for(client.close(), 60)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await waiting

    asyncio.run(scenario())


def test_a_client_belongs_to_the_loop_that_connected_it(router):
    async def connect():
        return await ocelog.connect_async(router.endpoint)

    async def use(client):
        with pytest.raises(BadArgument, match="another event loop"):
            await client.map("users").get("a")

    client = asyncio.run(connect())
    asyncio.run(use(client))


def test_a_forgotten_client_ends_its_session_and_its_thread(router, kit):
    async def scenario():
        client = await ocelog.connect_async(router.endpoint)
        await client.map("users").put("a", 1)

    with pytest.warns(ResourceWarning, match="<AsyncClient of .*> was never closed"):
        asyncio.run(scenario())
        gc.collect()
    kit.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocelog-client"])
    assert not any(shard.sessions for shard in router.shards)


def test_cancelling_the_connecting_ends_its_thread(kit):
    async def scenario():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ocelog.connect_async("tcp://127.0.0.1:9", timeout=60)._connect(), 0.1)

    asyncio.run(scenario())
    kit.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocelog-client"])
